"""How good are rankings? Measures at k, customer by customer, over the whole catalogue."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import BoolArray, Float32Array, FloatArray, IntArray, RealArray
from perennial.foundation.bootstrap import interval
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice

Scores = Callable[[IntArray], Float32Array]
"""From rows of customers in the task to their scores of all items of the task, shape (customers, items)."""

DEPTHS = (10, 20)
MEASURES = ("ndcg", "precision", "recall", "hit")
_BLOCK = 128


@dataclass(frozen=True)
class RankingMetrics:
    """The measures of each customer, in the order of the customers, shape (n,) each, 0 to 1."""

    ndcg: FloatArray
    precision: FloatArray
    recall: FloatArray
    hit: FloatArray

    def figures(self, k: int) -> dict[str, float]:
        """Means with 95 % bootstrap intervals over customers (`<measure>_low`, `<measure>_high`)."""
        figures: dict[str, float] = {}
        for name in MEASURES:
            mean = interval(getattr(self, name))
            figures |= {f"{name}_{k}": mean.mean}
            figures |= {f"{name}_{k}_low": mean.low, f"{name}_{k}_high": mean.high}
        return figures


@dataclass(frozen=True)
class JudgedLists:
    """How good the rankings of a slice were.

    Args:
        rows: the customers of the task who bought something of the slice, shape (n,).
        at: their metrics at each of `DEPTHS`.
        items: the items ranked first, as columns of the task, −1 for an empty place, shape (n, max(DEPTHS)).
    """

    rows: IntArray
    at: dict[int, RankingMetrics]
    items: IntArray

    @property
    def shown(self) -> int:
        """How many different items are in the first `DEPTHS[0]` places of all lists."""
        first = self.items[:, : DEPTHS[0]]
        return len(np.unique(first[first >= 0]))


def hits(lists: IntArray, wanted: sparse.csr_array) -> BoolArray:
    """Which items of each list the customer bought afterwards.

    Args:
        lists: columns of `wanted`, −1 for an empty place, shape (customers, k).
        wanted: what each customer bought, shape (customers, items).
    """
    is_hit = np.zeros(lists.shape, bool)
    rows, places = np.nonzero(lists >= 0)
    is_hit[rows, places] = np.asarray(wanted[rows, lists[rows, places]]).ravel()
    return is_hit


def evaluate(hits: BoolArray, wanted: IntArray) -> RankingMetrics:
    """NDCG (Järvelin and Kekäläinen, 2002, binary gains), precision, recall and hit rate at k.

    Args:
        hits: whether the customer bought the item at each rank, best rank first, shape (n, k).
        wanted: how many different items each customer bought, in the ranking or not; at least 1.
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


def judge(task: RankingTask, part: Slice, scores: Scores) -> JudgedLists:
    """Rank the candidates of a slice for each customer by score, and compare with what the customer bought.

    Of two items with the same score, the one with more purchases before the month comes first.

    Args:
        task: the test month.
        part: the slice.
        scores: called with blocks of customers.
    """
    rows, ranked, is_hit, wanted = [], [], [], []
    columns = task.columns(part)
    for start in range(0, len(task.customer_ids), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(task.customer_ids)))
        candidates = task.candidates(part, block)
        targets = task.wanted[block, columns].toarray() & candidates
        has_target = targets.any(axis=1)
        candidate_scores = np.where(candidates, scores(block)[:, columns], -np.inf)
        items = top_items(candidate_scores[has_target], max(DEPTHS))
        rows.append(block[has_target])
        ranked.append(np.where(items >= 0, items + columns.start, -1))
        is_hit.append(np.take_along_axis(targets[has_target], items, axis=1) & (items >= 0))
        wanted.append(targets[has_target].sum(axis=1))
    all_hits, counts = np.concatenate(is_hit), np.concatenate(wanted)
    at = {k: evaluate(all_hits[:, :k], counts) for k in DEPTHS}
    return JudgedLists(np.concatenate(rows), at, np.concatenate(ranked))


def novelty(lists: IntArray, shares: FloatArray) -> FloatArray:
    """Mean surprise of each list in bits: −log2 of the share of buyers of an item (Zhou et al. 2010).

    Args:
        lists: items, −1 for an empty place, shape (n, k).
        shares: the share of customers who bought each item before, above 0, shape (items,).
    """
    filled = lists >= 0
    bits = np.where(filled, -np.log2(shares)[lists], 0)
    return bits.sum(axis=1) / np.maximum(filled.sum(axis=1), 1)


def diversity(lists: IntArray, vectors: Float32Array) -> FloatArray:
    """Mean distance (1 − cosine) over the pairs of items in each list; 1 for a list of fewer than two items.

    Args:
        lists: items, −1 for an empty place, shape (n, k).
        vectors: of unit length, or zeros for an item without a vector, shape (items, width).
    """
    distances = []
    for start in range(0, len(lists), _BLOCK):
        block = lists[start : start + _BLOCK]
        of_items = np.where((block >= 0)[..., None], vectors[block], 0).astype(np.float64)
        cosines = (of_items.sum(axis=1) ** 2).sum(axis=1) - (of_items**2).sum(axis=(1, 2))
        count = (block >= 0).sum(axis=1)
        distances.append(1 - cosines / np.maximum(count * (count - 1), 1))
    return np.concatenate(distances)


def top_items(scores: RealArray, k: int) -> IntArray:
    """The columns of the k highest finite scores of each row, best first, equal scores by column.

    −1 stands in the places that are left, shape (rows, k).
    """
    k_th = np.partition(scores, max(0, scores.shape[1] - k), axis=1)[:, max(0, scores.shape[1] - k)]
    rows, columns = np.nonzero((scores >= k_th[:, None]) & (scores > -np.inf))
    order = np.lexsort((columns, -scores[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    top = np.full((len(scores), k), -1, np.int64)
    top[rows[place < k], place[place < k]] = columns[place < k]
    return top
