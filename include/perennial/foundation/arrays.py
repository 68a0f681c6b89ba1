"""The types of NumPy arrays in signatures. Shapes stand in the docstrings."""

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Int32Array = NDArray[np.int32]
FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
RealArray = NDArray[np.floating]
"""In single or in double precision."""
StringArray = NDArray[np.object_]
