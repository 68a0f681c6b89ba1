"""What speaks most for each item of a pool: the few purchases that a source's score for it rests on."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import Float32Array, IntArray

_NEAREST = 300
"""Items that may speak for an item of the pool."""
_AT_ONCE = 100


def nearest_items(said: Callable[[slice], Float32Array], pool: int) -> sparse.csr_array:
    """The items that say most for each item of a pool, as far as they speak for it, shape (pool, items).

    Args:
        said: what each item says for some of the pool, shape (items, some).
        pool: how many it has.
    """
    items, worth = [], []
    for start in range(0, pool, _AT_ONCE):
        one = said(slice(start, start + _AT_ONCE)).T
        width = one.shape[1]
        count = min(_NEAREST, width)
        best = np.sort(np.argpartition(one, width - count, axis=1)[:, width - count :], axis=1)
        items.append(best.astype(np.int32))
        worth.append(np.maximum(np.take_along_axis(one, best, axis=1), 0))
    starts = np.arange(0, pool * count + 1, count, dtype=np.int32)
    parts = np.concatenate(worth).ravel(), np.concatenate(items).ravel(), starts
    found = sparse.csr_array(parts, shape=(pool, width))
    found.eliminate_zeros()
    return found


def strongest_evidence(near: sparse.csr_array, bought: sparse.csr_array) -> IntArray:
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
