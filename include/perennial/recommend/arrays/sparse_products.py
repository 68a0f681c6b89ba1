"""Products of sparse rows, by those libraries that are quickest at them."""

import warnings

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import safe_sparse_dot

from perennial.foundation.arrays import Float32Array
from perennial.foundation.hardware import Precision, matrix_dtype

# What is used of it has been the same for years.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")


def times_sparse(rows: sparse.csr_array, others: sparse.csr_array) -> Float32Array:
    """`rows @ others`, dense."""
    # Without MKL torch cannot; scikit-learn is as quick, but two threads of it take turns.
    if not torch.backends.mkl.is_available():
        return np.asarray(safe_sparse_dot(rows, others, dense_output=True))
    zeros = torch.zeros(rows.shape[0], others.shape[1])
    return np.asarray(torch.addmm(zeros, _in_torch(rows), _in_torch(others), beta=0))


def _in_torch(rows: sparse.csr_array) -> torch.Tensor:
    starts, columns, values = (torch.from_numpy(part) for part in (rows.indptr, rows.indices, rows.data))
    return torch.sparse_csr_tensor(starts, columns, values, rows.shape, check_invariants=False)


def weighted_bags(rows: sparse.csr_array, table: torch.Tensor) -> Float32Array:
    """`rows @ table`, in the precision of the table: each row is a weighted bag of rows of the table."""
    sums = torch.nn.functional.embedding_bag(
        torch.from_numpy(rows.indices),
        table,
        torch.from_numpy(rows.indptr),
        mode="sum",
        per_sample_weights=torch.from_numpy(rows.data).to(table.dtype),
        include_last_offset=True,
    )
    return np.asarray(sums.float())


def to_fast(table: Float32Array) -> torch.Tensor:
    """The table in the precision that the processor multiplies quickest: bfloat16 where it can."""
    return torch.from_numpy(table).to(matrix_dtype(Precision.AUTO, "cpu"))


def times_fast(rows: Float32Array | torch.Tensor, table: torch.Tensor) -> Float32Array:
    """`rows @ table`, to three digits where the table holds no more."""
    return np.asarray((torch.as_tensor(rows).to(table.dtype) @ table).float())
