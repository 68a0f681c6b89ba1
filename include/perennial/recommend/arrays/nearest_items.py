"""The items nearest to each item of a pool, and the purchase that supports a score most."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import Float32Array, IntArray

_NEAREST = 300
"""So many nearest items are kept for each item of the pool."""
_AT_ONCE = 100


def nearest_items(likeness_to: Callable[[slice], Float32Array], pool: int) -> sparse.csr_array:
    """The likeness of the nearest items to each item of a pool where it is above 0, shape (pool, items).

    Args:
        likeness_to: of all items to a slice of the pool, shape (items, slice).
        pool: how many items it has.
    """
    items, weights = [], []
    for start in range(0, pool, _AT_ONCE):
        likeness = likeness_to(slice(start, start + _AT_ONCE)).T
        width = likeness.shape[1]
        count = min(_NEAREST, width)
        best = np.sort(np.argpartition(likeness, width - count, axis=1)[:, width - count :], axis=1)
        items.append(best.astype(np.int32))
        weights.append(np.maximum(np.take_along_axis(likeness, best, axis=1), 0))
    starts = np.arange(0, pool * count + 1, count, dtype=np.int32)
    parts = np.concatenate(weights).ravel(), np.concatenate(items).ravel(), starts
    matrix = sparse.csr_array(parts, shape=(pool, width))
    matrix.eliminate_zeros()
    return matrix


def strongest_evidence(near: sparse.csr_array, bought: sparse.csr_array) -> IntArray:
    """The item bought whose weight times likeness is greatest, −1 where there is none, shape (n,).

    Args:
        near: likeness of items, shape (n, items).
        bought: weight of purchases, shape (n, items).
    """
    worth = near.multiply(bought).tocsr()
    strongest, lengths = np.full(worth.shape[0], -1, np.int64), np.diff(worth.indptr)
    is_filled = np.flatnonzero(lengths)
    if len(is_filled):
        starts = worth.indptr[is_filled]
        most = np.repeat(np.maximum.reduceat(worth.data, starts), lengths[is_filled])
        best = np.flatnonzero(worth.data == most)
        strongest[is_filled] = worth.indices[best[np.searchsorted(best, starts)]]
    return strongest
