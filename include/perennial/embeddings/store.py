"""The vectors that are there and the texts that still need one."""

from collections.abc import Sequence
from datetime import date

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.foundation import contracts
from perennial.foundation.item_vectors import EmbeddingSettings, texts
from perennial.foundation.lake import Lake


def missing(lake: Lake, chosen: EmbeddingSettings, day: date) -> ir.Table:
    """The different texts of the items known at the end of `day` that have no vector: `text_hash, text`."""
    said = texts(lake.known("items", day), chosen.text).select("text_hash", "text").distinct()
    held = lake.read("item_embeddings")
    return said.anti_join(held.filter(held.encoder == chosen.key), "text_hash")


def add(
    lake: Lake, chosen: EmbeddingSettings, said: Sequence[str], hashes: Sequence[str], vectors: NDArray
) -> None:
    """Write the vectors (n, width) of the texts in one commit. A text that has one by now keeps it."""
    rows, width = vectors.shape
    ends = pa.array(np.arange(0, (rows + 1) * width, width, dtype=np.int32))
    columns = {
        "encoder": pa.array([chosen.key] * rows),
        "text_hash": pa.array(hashes),
        "text": pa.array(said),
        "vector": pa.ListArray.from_arrays(ends, pa.array(vectors.ravel())),
    }
    lake.add("item_embeddings", pa.table(columns, schema=_schema()))


def _schema() -> pa.Schema:
    return contracts.CONTRACTS["item_embeddings"].schema
