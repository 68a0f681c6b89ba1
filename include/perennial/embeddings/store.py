"""The stored vectors, the texts that still need one, and the vectors that nothing reads any more."""

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

    Every version of an item counts that was known at the end of `day` (None: every version), because training
    reads the older versions too.
    """
    items = lake.read("items")
    if day is not None:
        items = items.filter(items.known_on <= day)
    all_texts = texts(items, space.text).select("text_hash", "text").distinct()
    stored = lake.read(_TABLE.name)
    return all_texts.anti_join(stored.filter(stored.encoder == space.key), "text_hash")


def add(
    lake: Lake, space: EmbeddingSpace, item_texts: Sequence[str], hashes: Sequence[str], vectors: NDArray
) -> None:
    """Write the vectors (n, width) of n texts in one commit. A text that has a vector by now keeps it."""
    rows, width = vectors.shape
    ends = pa.array(np.arange(0, (rows + 1) * width, width, dtype=np.int32))
    columns = {
        "encoder": pa.array([space.key] * rows),
        "text_hash": pa.array(hashes),
        "text": pa.array(item_texts),
        "vector": pa.ListArray.from_arrays(ends, pa.array(vectors.ravel())),
    }
    lake.add(_TABLE.name, pa.table(columns, schema=_TABLE.schema))


def remove_orphans(lake: Lake, spaces: Sequence[EmbeddingSpace], *, dry_run: bool) -> int:
    """Remove vectors of other spaces, and of texts that no version of any item has; returns their number."""
    by_space = [
        texts(lake.read("items"), space.text).mutate(encoder=ibis.literal(space.key)) for space in spaces
    ]
    wanted = ibis.union(*by_space).select(*_TABLE.key)
    orphans = lake.read(_TABLE.name).anti_join(wanted, _TABLE.key).count().to_pyarrow().as_py()
    if orphans and not dry_run:
        lake.keep(_TABLE.name, lambda rows: rows.semi_join(wanted, _TABLE.key))
    return orphans
