"""The vectors that are there, the texts that still need one, and the vectors that nobody can ask for."""

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.foundation import contracts
from perennial.foundation.embedding_spaces import EmbeddingSpace
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake

_TABLE = contracts.ITEM_EMBEDDINGS


def missing(lake: Lake, space: EmbeddingSpace, day: date | None = None) -> ir.Table:
    """The different texts of items that have no vector in the space: `text_hash, text`.

    Every version of an item counts that was known at the end of `day` (without one: every version), for who
    looks back from that day reads the older ones too.
    """
    items = lake.read("items")
    if day is not None:
        items = items.filter(items.known_on <= day)
    said = texts(items, space.text).select("text_hash", "text").distinct()
    held = lake.read(_TABLE.name)
    return said.anti_join(held.filter(held.encoder == space.key), "text_hash")


def add(
    lake: Lake, space: EmbeddingSpace, said: Sequence[str], hashes: Sequence[str], vectors: NDArray
) -> None:
    """Write the vectors (n, width) of the texts in one commit. A text that has one by now keeps it."""
    rows, width = vectors.shape
    ends = pa.array(np.arange(0, (rows + 1) * width, width, dtype=np.int32))
    columns = {
        "encoder": pa.array([space.key] * rows),
        "text_hash": pa.array(hashes),
        "text": pa.array(said),
        "vector": pa.ListArray.from_arrays(ends, pa.array(vectors.ravel())),
    }
    lake.add(_TABLE.name, pa.table(columns, schema=_TABLE.schema))


def remove_orphans(lake: Lake, spaces: Sequence[EmbeddingSpace], *, dry_run: bool) -> int:
    """Remove the vectors of other spaces, and those whose text no version of any item says; how many."""
    said = [texts(lake.read("items"), space.text).mutate(encoder=ibis.literal(space.key)) for space in spaces]
    wanted = ibis.union(*said).select(*_TABLE.key)
    orphans = lake.read(_TABLE.name).anti_join(wanted, _TABLE.key).count().to_pyarrow().as_py()
    if orphans and not dry_run:
        lake.keep(_TABLE.name, lambda held: held.semi_join(wanted, _TABLE.key))
    return orphans
