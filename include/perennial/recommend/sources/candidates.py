"""The candidates of each customer: items bought often and lately, and the best new ones of each source."""

from collections.abc import Mapping

import numpy as np

from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.recommend.arrays.ragged import RaggedLists
from perennial.recommend.features.pairs import HALF_LIFE_DAYS, Candidates, PurchasedPairs

_BOUGHT = 100
"""So many of the items that a customer bought are candidates, and all that tie with the last one."""


def find_candidates(
    pairs: PurchasedPairs,
    scores: Mapping[str, Float32Array],
    pool: IntArray,
    offered: BoolArray,
    counts: Mapping[str, int],
) -> Candidates:
    """Items that the customers of a block bought, and the best items by each score that they never bought.

    Args:
        pairs: what they bought.
        scores: by name, shape (customers, pool).
        pool: the row of each item of the pool, ascending.
        offered: may the item be a candidate, shape (items,).
        counts: how many items never bought a score names, without those that tie with the next one; a score
            that is missing here names none.
    """
    column_of_item = np.full(len(offered), -1)
    column_of_item[pool] = np.arange(len(pool))
    bought = _likeliest(pairs, offered)
    new, columns = np.nonzero(_named(pairs, scores, column_of_item[pairs.items], offered[pool], counts))
    items = np.r_[pool[columns], pairs.items[bought]]
    rows = np.r_[new, pairs.rows[bought]]
    # Both parts are in order already: a stable sort is fast.
    order = np.argsort(rows * len(offered) + items, kind="stable")
    rows, items = rows[order], items[order]
    cells = rows * len(pool) + column_of_item[items]
    table = np.empty((len(scores), len(rows)), np.float32)
    for column, of_score in zip(table, scores.values(), strict=True):
        np.take(of_score, cells, out=column, mode="clip")
    table[:, column_of_item[items] < 0] = np.nan
    return Candidates(rows, items, table.T, np.r_[np.full(len(new), -1), bought][order])


def _likeliest(pairs: PurchasedPairs, offered: BoolArray) -> IntArray:
    """Positions of the offered items that each customer bought most; newer purchases count more."""
    positions = np.flatnonzero(offered[pairs.items])
    lists = RaggedLists(pairs.rows[positions], len(pairs.history))
    if lists.width <= _BOUGHT:
        return positions
    weight = pairs.weight(HALF_LIFE_DAYS)[positions].astype(np.float32)
    # With many ties, sorting is faster than partitioning.
    least = np.sort(lists.table(weight, 0), axis=1)[:, -_BOUGHT]
    return positions[weight >= least[lists.rows]]


def _named(
    pairs: PurchasedPairs,
    scores: Mapping[str, Float32Array],
    places: IntArray,
    offered: BoolArray,
    counts: Mapping[str, int],
) -> BoolArray:
    """Which items are named, shape (customers, pool); `places` of the pairs in the pool, −1 outside it."""
    is_closed = np.tile(~offered, (len(pairs.history), 1))
    is_in_pool = places >= 0
    is_closed[pairs.rows[is_in_pool], places[is_in_pool]] = True
    is_named = np.zeros_like(is_closed)
    for name, count in counts.items():
        open_scores = np.where(is_closed, -np.inf, scores[name])
        if count < len(offered):
            is_named |= open_scores > np.partition(open_scores, -count - 1, axis=1)[:, -count - 1, None]
        else:
            is_named |= ~is_closed
    return is_named
