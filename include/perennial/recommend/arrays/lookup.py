"""Places of names, sorting by keys, a sample by chance."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.arrays import IntArray, StringArray


def sample_rows(count: int, most: int) -> IntArray:
    """Rows of at most `most` of `count`, ascending; the same ones for the same numbers."""
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def find(wanted: pa.Array | pa.ChunkedArray, among: StringArray) -> IntArray:
    """The place of each name among others, −1 for those that are not there."""
    found = pc.index_in(wanted, pa.array(among, pa.string()))
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    return pc.fill_null(found, -1).cast(pa.int64()).to_numpy()


def sort_keys(keys: IntArray) -> tuple[IntArray, IntArray]:
    """Which places put not negative keys in order, equals in theirs, and the keys in order, shape (n,) each.

    Numbers without equals need no stable sort, which takes ten times as long.
    """
    bits = len(keys).bit_length()
    found = np.sort(keys << bits | np.arange(len(keys)))
    return found & ((1 << bits) - 1), found >> bits
