"""The customer in the space of the item vectors: what was bought, seen from the middle of the catalogue.

The vectors of items have much in common, and so have those of customers, who all buy many things. What they
have in common is taken away: the mean vector of the different texts of the catalogue. The rest sets a
customer apart, and orders items for the customer by their inner product with it.
"""

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from perennial.foundation import encoder
from perennial.foundation.arrays import Float32Array, IntArray
from perennial.foundation.contracts import VECTOR
from perennial.foundation.encoder import Choice
from perennial.foundation.engine import kept
from perennial.profiles.purchases import UNIT
from perennial.profiles.settings import TasteVectorSettings, VectorKind

_AT_ONCE = 10_000
"""Customers whose vectors are made at a time, so that memory stays bounded."""
_NOTHING = 1e-4
"""A customer closer than this to the middle of the catalogue has no vector."""


@dataclass(frozen=True)
class TextVectors:
    """The vectors of texts as a matrix: row i is the vector of the i-th hash. The hashes are in order."""

    hashes: pa.Array
    matrix: Float32Array


def text_vectors(rows: ir.Table) -> TextVectors:
    """The matrix of `text_hash, vector`, each text once."""
    texts = rows.select("text_hash", "vector").order_by("text_hash").to_pyarrow().combine_chunks()
    flat = texts["vector"].combine_chunks().flatten().to_numpy()
    return TextVectors(
        texts["text_hash"].combine_chunks(), flat.reshape(texts.num_rows, -1 if len(flat) else 0)
    )


def vectors(
    weights: ir.Table, items: ir.Table, known: TextVectors, settings: TasteVectorSettings, choice: Choice
) -> pa.Table:
    """The vector of each customer's history, unit length: `customer, vector`.

    A customer without any item that has a vector has no row, nor has one in the middle of the catalogue.
    The result is the same whatever the order of the rows.

    Args:
        weights: `customer, item` (their numbers), `weight`.
        items: `item, title, text_hash` of those that count: the catalogue.
        known: the vectors.
        settings: what the vector is made of.
        choice: the encoder that made them.
    """
    columns = ibis.memtable(pa.table({"text_hash": known.hashes, "column": np.arange(len(known.hashes))}))
    with kept(items.join(columns, "text_hash").select("item", "title", "column")) as described:
        rows = described.select("column").distinct().order_by("column").to_pyarrow()["column"].to_numpy()
        counted = weights.filter(weights.weight > 0).join(described, "item")
        if settings.kind is VectorKind.SENTENCE:
            texts = sentences(counted, settings.titles)
            customers = texts["customer"].to_numpy()
            means = encoder.load(choice).encode(texts["sentence"].to_pylist())
        else:
            customers, means = _means(counted, known.matrix, settings.weight_exponent)
    apart = means - known.matrix[rows].mean(axis=0) if len(rows) else means
    lengths = np.linalg.norm(apart, axis=1)
    apart_enough = lengths > _NOTHING
    return _table(customers[apart_enough], apart[apart_enough] / lengths[apart_enough, None])


def sentences(weights: ir.Table, titles: int) -> pa.Table:
    """What each customer bought, in words: `customer, sentence`, the heaviest titles first, equals by title.

    Args:
        weights: `customer, title, weight`, any number of rows for each customer and title.
        titles: how many are named at most.
    """
    sums = weights.group_by("customer", "title").aggregate(weight=weights.weight.sum())
    order = ibis.window(group_by="customer", order_by=[ibis.desc("weight"), "title"])
    ranked = sums.mutate(place=ibis.row_number().over(order))
    heaviest = ranked.filter(ranked.place < titles)
    titled = ibis.struct({"place": heaviest.place, "title": heaviest.title})
    lists = heaviest.group_by("customer").aggregate(named=titled.collect())
    sentence = ibis.literal("bought ") + lists.named.sort().map(lambda titled: titled["title"]).join("; ")
    return lists.select("customer", sentence=sentence).order_by("customer").to_pyarrow()


def _means(weights: ir.Table, matrix: Float32Array, exponent: float) -> tuple[IntArray, Float32Array]:
    """The customers and the weighted means of the vectors of their texts.

    Args:
        weights: `customer, column, weight`; the column is the text's row of the matrix.
        matrix: shape (texts, width).
        exponent: to this power the summed weight of a text is raised.
    """
    from scipy.sparse import csr_array

    sums = weights.group_by("customer", "column").aggregate(weight=weights.weight.sum())
    with kept(sums) as sums:
        customers = (
            sums.select("customer").distinct().order_by("customer").to_pyarrow()["customer"].to_numpy()
        )
        means = np.empty((len(customers), matrix.shape[1]), np.float32)
        for start in range(0, len(customers), _AT_ONCE):
            block = customers[start : start + _AT_ONCE]
            among = sums.customer.between(int(block[0]), int(block[-1]))
            cells = sums.filter(among).order_by("customer", "column").to_pyarrow()
            first = np.searchsorted(cells["customer"].to_numpy(), block)
            ends = np.append(first, cells.num_rows)
            raised = (cells["weight"].to_numpy() / UNIT) ** exponent
            rows = np.repeat(np.arange(len(block)), np.diff(ends))
            shares = (raised / np.bincount(rows, raised)[rows]).astype(np.float32)
            grid = csr_array((shares, cells["column"].to_numpy(), ends), shape=(len(block), len(matrix)))
            means[start : start + len(block)] = grid @ matrix
    return customers, means


def _table(customers: IntArray, matrix: Float32Array) -> pa.Table:
    rows, width = matrix.shape
    ends = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    lists = pa.ListArray.from_arrays(ends, pa.array(matrix.ravel())).cast(VECTOR)
    return pa.table({"customer": pa.array(customers), "vector": lists})
