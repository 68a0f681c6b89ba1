"""How good are rankings? Measures at k, customer by customer, over the whole catalogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import BoolArray, Float32Array, FloatArray, IntArray, RealArray, StringArray
from perennial.foundation.bootstrap import Interval, bounds, interval
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice

Scores = Callable[[IntArray], Float32Array]
"""How much each customer (a row of the split) wants each item of it: shape (customers, items)."""

DEPTHS = (10, 20)
MEASURES = ("ndcg", "precision", "recall", "hit")
_BLOCK = 128


@dataclass(frozen=True)
class RankingMetrics:
    """The measures of each customer, in the customers' order, shape (n,) each, 0 to 1."""

    ndcg: FloatArray
    precision: FloatArray
    recall: FloatArray
    hit: FloatArray

    def figures(self, k: int) -> dict[str, float]:
        """Means with 95 % bootstrap intervals over customers (`<measure>_low`, `<measure>_high`)."""
        found: dict[str, float] = {}
        for name in MEASURES:
            figure = interval(getattr(self, name))
            found |= {f"{name}_{k}": figure.mean}
            found |= {f"{name}_{k}_low": figure.low, f"{name}_{k}_high": figure.high}
        return found


@dataclass(frozen=True)
class JudgedLists:
    """What rankings were worth on a slice.

    Args:
        rows: the customers of the split who wanted something of the slice, shape (n,).
        at: the outcome at each of `DEPTHS`.
        items: what was ranked first, as columns of the split, −1 for none, shape (n, max(DEPTHS)).
    """

    rows: IntArray
    at: dict[int, RankingMetrics]
    items: IntArray

    @property
    def shown(self) -> int:
        """How many different items are among the first `DEPTHS[0]` of any of them."""
        first = self.items[:, : DEPTHS[0]]
        return len(np.unique(first[first >= 0]))


def over_months(
    values: Sequence[FloatArray], customer_ids: Sequence[StringArray], draws: int = 1000
) -> Interval:
    """The mean over months of the means over customers, bootstrapped.

    Customers are drawn with all their months, since those of one customer are alike.

    Args:
        values: of each month, one for each customer.
        customer_ids: whose they are, each customer once in a month.
        draws: of the bootstrap.
    """
    lengths = [len(ids) for ids in customer_ids]
    names, places = np.unique(np.concatenate(customer_ids).astype(str), return_inverse=True)
    at = np.repeat(np.arange(len(lengths)), lengths), places
    sums, there = np.zeros((2, len(lengths), len(names)))
    sums[at], there[at] = np.concatenate(values), 1
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), draws).T
    means = (sums @ drawn / (there @ drawn)).mean(axis=0)
    low, high = bounds(means)
    return Interval(float((sums.sum(axis=1) / there.sum(axis=1)).mean()), float(low), float(high))


def hits(lists: IntArray, wanted: sparse.csr_array) -> BoolArray:
    """Which items of each list were wanted.

    Args:
        lists: columns of `wanted`, −1 where nothing fills a place, shape (customers, k).
        wanted: what each customer bought, shape (customers, items).
    """
    found = np.zeros(lists.shape, bool)
    rows, places = np.nonzero(lists >= 0)
    found[rows, places] = np.asarray(wanted[rows, lists[rows, places]]).ravel()
    return found


def evaluate(hits: BoolArray, wanted: IntArray) -> RankingMetrics:
    """NDCG (Järvelin and Kekäläinen, 2002, binary gains), precision, recall and hit rate at k.

    Args:
        hits: whether the item at each rank was wanted, best rank first, shape (n, k).
        wanted: how many different items each customer wanted, in the ranking or not; at least 1.
    """
    k = hits.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(wanted, k) - 1]
    return RankingMetrics(
        ndcg=(hits.astype(np.float64) @ discounts) / ideal,
        precision=hits.mean(axis=1),
        recall=hits.sum(axis=1) / wanted,
        hit=(hits.sum(axis=1) > 0).astype(np.float64),
    )


def judge(split: RankingTask, part: Slice, scores: Scores) -> JudgedLists:
    """Rank the candidates of a slice for each customer by their scores, and see what was wanted.

    Of equal scores the item that was bought more often before the month comes first.
    """
    rows, ranked, hits, wanted = [], [], [], []
    columns = split.columns(part)
    for start in range(0, len(split.customer_ids), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(split.customer_ids)))
        allowed = split.candidates(part, block)
        targets = split.wanted[block, columns].toarray() & allowed
        some = targets.any(axis=1)
        items = top_items(np.where(allowed, scores(block)[:, columns], -np.inf)[some], max(DEPTHS))
        rows.append(block[some])
        ranked.append(np.where(items >= 0, items + columns.start, -1))
        hits.append(np.take_along_axis(targets[some], items, axis=1) & (items >= 0))
        wanted.append(targets[some].sum(axis=1))
    found, counts = np.concatenate(hits), np.concatenate(wanted)
    at = {k: evaluate(found[:, :k], counts) for k in DEPTHS}
    return JudgedLists(np.concatenate(rows), at, np.concatenate(ranked))


def novelty(lists: IntArray, shares: FloatArray) -> FloatArray:
    """Mean surprise of each list in bits: −log2 of the share who bought an item (Zhou et al. 2010).

    Args:
        lists: items, −1 for none, shape (n, k).
        shares: of the customers who bought each item before, above 0.
    """
    there = lists >= 0
    bits = np.where(there, -np.log2(shares)[lists], 0)
    return bits.sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def diversity(lists: IntArray, vectors: Float32Array) -> FloatArray:
    """Mean distance (1 − cosine) of the pairs of items in each list; 1 where there are no two of them.

    Args:
        lists: items, −1 for none, shape (n, k).
        vectors: of unit length, zeros for what is like nothing, shape (items, width).
    """
    found = []
    for start in range(0, len(lists), _BLOCK):
        block = lists[start : start + _BLOCK]
        held = np.where((block >= 0)[..., None], vectors[block], 0).astype(np.float64)
        alike = (held.sum(axis=1) ** 2).sum(axis=1) - (held**2).sum(axis=(1, 2))
        count = (block >= 0).sum(axis=1)
        found.append(1 - alike / np.maximum(count * (count - 1), 1))
    return np.concatenate(found)


def top_items(scores: RealArray, k: int) -> IntArray:
    """The columns of the k highest finite scores of each row, best first, equals by column; −1 fills up."""
    k_th = np.partition(scores, max(0, scores.shape[1] - k), axis=1)[:, max(0, scores.shape[1] - k)]
    rows, columns = np.nonzero((scores >= k_th[:, None]) & (scores > -np.inf))
    order = np.lexsort((columns, -scores[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    found = np.full((len(scores), k), -1, np.int64)
    found[rows[place < k], place[place < k]] = columns[place < k]
    return found
