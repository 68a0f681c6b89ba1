"""Sparse rows as plain arrays in a file, and back."""

from collections.abc import Mapping

import numpy as np
from scipy import sparse

_PARTS = ("data", "indices", "indptr")


def to_arrays(name: str, rows: sparse.csr_array) -> dict[str, np.ndarray]:
    """The arrays of sparse rows, each under the name of its part."""
    arrays = {f"{name}_{part}": getattr(rows, part) for part in _PARTS}
    return arrays | {f"{name}_width": np.array(rows.shape[1])}


def from_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> sparse.csr_array:
    """What `to_arrays` took apart."""
    data, indices, starts = (arrays[f"{name}_{part}"] for part in _PARTS)
    return sparse.csr_array((data, indices, starts), shape=(len(starts) - 1, int(arrays[f"{name}_width"])))
