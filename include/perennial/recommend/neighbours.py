"""What speaks most for each item of a pool: the few purchases that a source's score for it rests on."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from perennial.recommend.history import Reals
from perennial.recommend.shelf import Whole

_NEAREST = 300
"""Items that may speak for an item of the pool."""
_AT_ONCE = 100


def nearest(said: Callable[[slice], Reals], pool: int) -> sparse.csr_array:
    """The items that say most for each item of a pool, as far as they speak for it, shape (pool, items).

    Args:
        said: what each item says for some of the pool, shape (items, some).
        pool: how many it has.
    """
    parts = []
    for start in range(0, pool, _AT_ONCE):
        worth = said(slice(start, start + _AT_ONCE)).T
        if worth.shape[1] > _NEAREST:
            worth = np.where(worth >= np.partition(worth, -_NEAREST, axis=1)[:, -_NEAREST, None], worth, 0)
        parts.append(sparse.csr_array(np.maximum(worth, 0)))
    return sparse.vstack(parts, format="csr")


def strongest(near: sparse.csr_array, bought: sparse.csr_array) -> Whole:
    """Of what was bought, the item whose weight times what it says is most, −1 where nothing speaks.

    Args:
        near: what items say, shape (n, items).
        bought: how much they were bought, of the same shape.
    """
    worth = near.multiply(bought).tocsr()
    found, lengths = np.full(worth.shape[0], -1, np.int64), np.diff(worth.indptr)
    some = np.flatnonzero(lengths)
    if len(some):
        starts = worth.indptr[some]
        most = np.repeat(np.maximum.reduceat(worth.data, starts), lengths[some])
        best = np.flatnonzero(worth.data == most)
        found[some] = worth.indices[best[np.searchsorted(best, starts)]]
    return found
