"""How good are rankings? NDCG, recall and hit rate at k, customer by customer, over the whole catalogue."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.recommend.split import Slice, Split, Whole

Numbers = NDArray[np.float64]
Scores = Callable[[Whole], NDArray[np.float32]]
"""How much each customer (a row of the split) wants each item of it: shape (customers, items)."""

DEPTHS = (10, 20)
_BLOCK = 128


@dataclass(frozen=True)
class Interval:
    """A mean over customers with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """The measures of each customer, in the customers' order, shape (n,) each, 0 to 1."""

    ndcg: Numbers
    recall: Numbers
    hit: Numbers

    def figures(self, k: int) -> dict[str, float]:
        """Means with 95 % bootstrap intervals over customers (`<measure>_low`, `<measure>_high`)."""
        found: dict[str, float] = {}
        for name in ("ndcg", "recall", "hit"):
            figure = interval(getattr(self, name))
            found |= {f"{name}_{k}": figure.mean}
            found |= {f"{name}_{k}_low": figure.low, f"{name}_{k}_high": figure.high}
        return found


@dataclass(frozen=True)
class Judged:
    """What rankings were worth on a slice.

    Args:
        rows: the customers of the split who wanted something of the slice, shape (n,).
        at: the outcome at each of `DEPTHS`.
        shown: how many different items are among the first `DEPTHS[0]` of any of them.
    """

    rows: Whole
    at: dict[int, Outcome]
    shown: int


def interval(values: Numbers, draws: int = 1000) -> Interval:
    """The mean over customers, bootstrapped; of differences between two rankings it compares them paired."""
    random, n = np.random.default_rng(0), len(values)
    means = [values[random.integers(0, n, n)].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def evaluate(hits: NDArray[np.bool_], wanted: NDArray[np.int64]) -> Outcome:
    """NDCG (Järvelin and Kekäläinen, 2002, binary gains), recall and hit rate at k.

    Args:
        hits: whether the item at each rank was wanted, best rank first, shape (n, k).
        wanted: how many different items each customer wanted, in the ranking or not; at least 1.
    """
    k = hits.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(wanted, k) - 1]
    return Outcome(
        ndcg=(hits.astype(np.float64) @ discounts) / ideal,
        recall=hits.sum(axis=1) / wanted,
        hit=(hits.sum(axis=1) > 0).astype(np.float64),
    )


def judge(split: Split, part: Slice, scores: Scores) -> Judged:
    """Rank the candidates of a slice for each customer by their scores, and see what was wanted.

    Of equal scores the item that was bought more often before the month comes first.
    """
    rows, hits, wanted = [], [], []
    columns, shown = split.columns(part), np.zeros(len(split.item_ids), bool)
    for start in range(0, len(split.customer_ids), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(split.customer_ids)))
        allowed = split.candidates(part, block)
        targets = split.wanted[block, columns].toarray() & allowed
        some = targets.any(axis=1)
        items = best(np.where(allowed, scores(block)[:, columns], -np.inf)[some], max(DEPTHS))
        rows.append(block[some])
        hits.append(np.take_along_axis(targets[some], items, axis=1) & (items >= 0))
        wanted.append(targets[some].sum(axis=1))
        first = items[:, : DEPTHS[0]]
        shown[first[first >= 0]] = True
    found, counts = np.concatenate(hits), np.concatenate(wanted)
    return Judged(np.concatenate(rows), {k: evaluate(found[:, :k], counts) for k in DEPTHS}, int(shown.sum()))


def best(scores: NDArray[np.floating], k: int) -> Whole:
    """The columns of the k highest finite scores of each row, best first, equals by column; −1 fills up."""
    k_th = np.partition(scores, max(0, scores.shape[1] - k), axis=1)[:, max(0, scores.shape[1] - k)]
    rows, columns = np.nonzero((scores >= k_th[:, None]) & (scores > -np.inf))
    order = np.lexsort((columns, -scores[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    found = np.full((len(scores), k), -1, np.int64)
    found[rows[place < k], place[place < k]] = columns[place < k]
    return found
