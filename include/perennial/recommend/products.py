"""Products of sparse rows, by those libraries that are quickest at them."""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import safe_sparse_dot

from perennial.recommend.history import Reals


def with_sparse(rows: sparse.csr_array, others: sparse.csr_array) -> Reals:
    """`rows @ others`, dense."""
    return safe_sparse_dot(rows, others, dense_output=True)


def with_dense(rows: sparse.csr_array, table: Reals) -> Reals:
    """`rows @ table`: each row is a weighted bag of rows of the table."""
    parts = (torch.from_numpy(part) for part in (rows.indices, table, rows.indptr))
    weights = torch.from_numpy(rows.data)
    found = torch.nn.functional.embedding_bag(
        *parts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )
    return np.asarray(found)
