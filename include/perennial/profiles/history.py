"""The customer in the space of the item vectors: the weighted mean of what was bought."""

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.foundation.contracts import VECTOR


@dataclass(frozen=True)
class TextVectors:
    """The vectors of texts as a matrix: row i is the vector of the i-th hash. The hashes are in order."""

    hashes: pa.Array
    matrix: NDArray[np.float32]


def text_vectors(held: ir.Table) -> TextVectors:
    """The matrix of `text_hash, vector`, each text once."""
    found = held.select("text_hash", "vector").order_by("text_hash").to_pyarrow().combine_chunks()
    flat = found["vector"].combine_chunks().flatten().to_numpy()
    return TextVectors(
        found["text_hash"].combine_chunks(), flat.reshape(found.num_rows, -1 if len(flat) else 0)
    )


def vectors(weights: ir.Table, texts: ir.Table, known: TextVectors) -> pa.Table:
    """The weighted mean of each customer's text vectors, unit length: `customer, vector`.

    Texts without a vector do not count; a customer without any has no row. The result is the same whatever
    the order of the rows: weights are whole numbers, and the products are added up in the order of the texts.

    Args:
        weights: `customer` (a number from 0), `item, weight`.
        texts: `item, text_hash`.
        known: the vectors.
    """
    from scipy.sparse import csr_array

    columns = ibis.memtable(pa.table({"text_hash": known.hashes, "column": np.arange(len(known.hashes))}))
    of_item = texts.join(columns, "text_hash").select("item", "column")
    cells = weights.join(of_item, "item").select("customer", "column", "weight").to_pyarrow()
    customer, column = cells["customer"].to_numpy(), cells["column"].to_numpy()
    shape = (int(customer.max(initial=-1)) + 1, len(known.hashes))
    grid = csr_array((cells["weight"].to_numpy().astype(np.float64), (customer, column)), shape)
    grid.sum_duplicates()
    sums = grid.astype(np.float32) @ known.matrix
    lengths = np.linalg.norm(sums, axis=1)
    some = np.flatnonzero(lengths)
    return pa.table({"customer": pa.array(some), "vector": _lists(sums[some] / lengths[some, None])})


def _lists(matrix: NDArray[np.float32]) -> pa.Array:
    rows, width = matrix.shape
    ends = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(ends, pa.array(matrix.ravel())).cast(VECTOR)
