"""Which items are considered for each customer: what they bought, and the best of what each source names."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.recommend.history import Reals
from perennial.recommend.pairs import Pairs
from perennial.recommend.shelf import Whole


@dataclass(frozen=True)
class Candidates:
    """Pairs of a customer and an item, by customer.

    Args:
        rows: the customer's row in the block, ascending, shape (n,).
        items: the item's row on the shelf.
        scores: what each source says, shape (n, sources).
        pair: position among the block's `Pairs`, −1 where never bought.
    """

    rows: Whole
    items: Whole
    scores: Reals
    pair: Whole

    def __len__(self) -> int:
        """How many."""
        return len(self.rows)

    def where(self, kept: np.ndarray) -> "Candidates":
        """Some of them."""
        return Candidates(self.rows[kept], self.items[kept], self.scores[kept], self.pair[kept])


def of(
    pairs: Pairs,
    scores: Mapping[str, Reals],
    pool: Whole,
    offered: NDArray[np.bool_],
    counts: Mapping[str, int],
) -> Candidates:
    """What the customers of a block bought, and the best of what each source names that they never bought.

    Args:
        pairs: what they bought.
        scores: of each source, shape (customers, pool).
        pool: the row of each item of the pool, ascending.
        offered: may the item be a candidate, shape (items,).
        counts: how many never bought items a source names; a source that is not here names none.
    """
    at = np.full(len(offered), -1)
    at[pool] = np.arange(len(pool))
    closed = np.broadcast_to(~offered[pool], (len(pairs.history), len(pool))).copy()
    inside = at[pairs.items] >= 0
    closed[pairs.rows[inside], at[pairs.items[inside]]] = True
    named = np.zeros_like(closed)
    for source, count in counts.items():
        some = np.where(closed, -np.inf, scores[source])
        best = np.argpartition(some, max(0, len(pool) - count), axis=1)[:, max(0, len(pool) - count) :]
        np.put_along_axis(named, best, True, axis=1)
    rows, columns = np.nonzero(named & ~closed)
    own = np.flatnonzero(offered[pairs.items])
    rows, items = np.r_[rows, pairs.rows[own]], np.r_[pool[columns], pairs.items[own]]
    pair = np.r_[np.full(len(columns), -1), own]
    order = np.lexsort((items, rows))
    rows, items, pair, place = rows[order], items[order], pair[order], at[items[order]]
    said = np.column_stack([one[rows, np.maximum(place, 0)] for one in scores.values()]).astype(np.float32)
    said[place < 0] = np.nan
    return Candidates(rows, items, said, pair)
