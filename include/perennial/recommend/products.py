"""Products of sparse rows, by those libraries that are quickest at them."""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import safe_sparse_dot

from perennial.foundation.encoder import Precision, kind
from perennial.recommend.history import Reals


def with_sparse(rows: sparse.csr_array, others: sparse.csr_array) -> Reals:
    """`rows @ others`, dense."""
    return safe_sparse_dot(rows, others, dense_output=True)


def with_dense(rows: sparse.csr_array, table: Reals) -> Reals:
    """`rows @ table`: each row is a weighted bag of rows of the table."""
    found = torch.nn.functional.embedding_bag(
        torch.from_numpy(rows.indices),
        torch.from_numpy(table),
        torch.from_numpy(rows.indptr),
        mode="sum",
        per_sample_weights=torch.from_numpy(rows.data),
        include_last_offset=True,
    )
    return np.asarray(found)


def quick(table: Reals) -> torch.Tensor:
    """The table in the precision that the processor multiplies quickest: bfloat16 where it can."""
    return torch.from_numpy(table).to(kind(Precision.AUTO, "cpu"))


def with_quick(rows: Reals, table: torch.Tensor) -> Reals:
    """`rows @ table`, to three digits where the table holds no more."""
    return np.asarray((torch.from_numpy(rows).to(table.dtype) @ table).float())
