"""At most so many of many, by chance."""

import numpy as np

from perennial.foundation.arrays import IntArray


def sample_rows(count: int, most: int) -> IntArray:
    """Rows of at most `most` of `count`, ascending; the same ones for the same numbers."""
    return np.sort(np.random.default_rng(0).permutation(count)[:most])
