"""Which items are considered for each customer: the likeliest of what they bought, and what sources name."""

from collections.abc import Mapping

import numpy as np

from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.recommend.arrays.ragged import RaggedLists
from perennial.recommend.features.pairs import HALF_LIFE_DAYS, Candidates, PurchasedPairs

_BOUGHT = 100
"""How many of the things that a customer bought are considered; equals of the last one too."""


def find_candidates(
    pairs: PurchasedPairs,
    scores: Mapping[str, Float32Array],
    pool: IntArray,
    offered: BoolArray,
    counts: Mapping[str, int],
) -> Candidates:
    """What the customers of a block bought, and the best of what each source names that they never bought.

    Args:
        pairs: what they bought.
        scores: of each source, shape (customers, pool).
        pool: the row of each item of the pool, ascending.
        offered: may the item be a candidate, shape (items,).
        counts: how many never bought items a source names, without those that tie with the next; a source
            that is not here names none.
    """
    at = np.full(len(offered), -1)
    at[pool] = np.arange(len(pool))
    own = _likeliest(pairs, offered)
    new, columns = np.nonzero(_named(pairs, scores, at[pairs.items], offered[pool], counts))
    items = np.r_[pool[columns], pairs.items[own]]
    rows = np.r_[new, pairs.rows[own]]
    # Both parts are in order already, which a stable sort notices.
    order = np.argsort(rows * len(offered) + items, kind="stable")
    rows, items = rows[order], items[order]
    flat = rows * len(pool) + at[items]
    said = np.empty((len(scores), len(rows)), np.float32)
    for row, one in zip(said, scores.values(), strict=True):
        np.take(one, flat, out=row, mode="clip")
    said[:, at[items] < 0] = np.nan
    return Candidates(rows, items, said.T, np.r_[np.full(len(new), -1), own][order])


def _likeliest(pairs: PurchasedPairs, offered: BoolArray) -> IntArray:
    """Of what each customer bought and is offered, the positions of what they bought most, lately."""
    own = np.flatnonzero(offered[pairs.items])
    lists = RaggedLists(pairs.rows[own], len(pairs.history))
    if lists.width <= _BOUGHT:
        return own
    weight = pairs.weight(HALF_LIFE_DAYS)[own].astype(np.float32)
    # Where most is equal, sorting is quicker than looking for one place.
    least = np.sort(lists.table(weight, 0), axis=1)[:, -_BOUGHT]
    return own[weight >= least[lists.rows]]


def _named(
    pairs: PurchasedPairs,
    scores: Mapping[str, Float32Array],
    places: IntArray,
    offered: BoolArray,
    counts: Mapping[str, int],
) -> BoolArray:
    """What is named, shape (customers, pool); `places`: in the pool, of what was bought, −1 for none."""
    closed = np.tile(~offered, (len(pairs.history), 1))
    inside = places >= 0
    closed[pairs.rows[inside], places[inside]] = True
    named = np.zeros_like(closed)
    for source, count in counts.items():
        said = np.where(closed, -np.inf, scores[source])
        if count < len(offered):
            named |= said > np.partition(said, -count - 1, axis=1)[:, -count - 1, None]
        else:
            named |= ~closed
    return named
