"""Places of names, sorting by keys, a sample by chance."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.arrays import IntArray, StringArray


def sample_rows(count: int, most: int) -> IntArray:
    """Rows of at most `most` of `count`, ascending; the same ones for the same numbers."""
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def find(names: pa.Array | pa.ChunkedArray, known: StringArray) -> IntArray:
    """The place of each name among the known ones, −1 for unknown ones, shape (n,)."""
    places = pc.index_in(names, pa.array(known, pa.string()))
    if isinstance(places, pa.ChunkedArray):
        places = places.combine_chunks()
    return pc.fill_null(places, -1).cast(pa.int64()).to_numpy()


def sort_keys(keys: IntArray) -> tuple[IntArray, IntArray]:
    """The places of keys (0 or above) in ascending order, and the keys in that order, shape (n,) each.

    Ties keep their order: the place is a part of the number that is sorted. A stable sort would take ten
    times as long.
    """
    bits = len(keys).bit_length()
    keys_and_places = np.sort(keys << bits | np.arange(len(keys)))
    return keys_and_places & ((1 << bits) - 1), keys_and_places >> bits
