"""The lake that the benchmark `profiles` draws profiles from: the demo's year, its customers several times.

Each copy of a customer has ids of its own, for itself and its orders; the catalogue stays one. Item vectors
are drawn at random, for what they say does not change the time.
"""

from datetime import date, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from perennial.demo import complete_journey
from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake

DAY = date(2017, 12, 31)
"""Profiles are drawn of this day."""
_FIRST, _LAST = date(2017, 1, 1), DAY
_DAYS_AT_ONCE = 31
_WIDTH = 384
_IDS = ("event_id", "customer_id", "order_id")
"""What a copy has of its own."""


def build(folder: Path, copies: int, every: int = 1) -> int:
    """Write the lake; how many events it holds. The engine streams them, a stretch of days at a time.

    Args:
        folder: where it shall lie.
        copies: how many times each customer is there.
        every: of the demo's customers, only those whose number it divides.
    """
    lake = Lake(str(folder))
    lake.replace("items", _landed(contracts.ITEMS, complete_journey.items()), _FIRST, _LAST)
    for contract in (contracts.USERS, contracts.ASSIGNMENTS):
        rows = _landed(contract, getattr(complete_journey, contract.name)())
        lake.replace(contract.name, _copied(_some(rows, every), copies), _FIRST, _LAST)
    _embed(lake)
    sources = complete_journey.purchases(), complete_journey.redemptions()
    events = _some(ibis.union(*(_landed(contracts.EVENTS, rows) for rows in sources)), every)
    for day in range(0, (_LAST - _FIRST).days + 1, _DAYS_AT_ONCE):
        first = _FIRST + timedelta(days=day)
        last = min(first + timedelta(days=_DAYS_AT_ONCE - 1), _LAST)
        lake.replace(
            "events", _copied(events.filter(events.landed_on.between(first, last)), copies), first, last
        )
    return int(lake.read("events").count().to_pyarrow().as_py())


def landed(contract: Contract, rows: ir.Table) -> ir.Table:
    """The demo's rows as they lie in the lake: known, landed and in force from the day on which they land."""
    kinds = {
        name: kind.copy(nullable=True) for name, kind in ibis.Schema.from_pyarrow(contract.schema).items()
    }
    found = {name: rows[name] for name in rows.columns}
    found |= dict.fromkeys(("landed_on", "known_on", "valid_from"), rows._day)
    return rows.select(**{name: found.get(name, ibis.null(kind)).cast(kind) for name, kind in kinds.items()})


def _landed(contract: Contract, rows: ir.Table) -> ir.Table:
    return landed(contract, rows.filter(rows._day <= _LAST))


def _some(rows: ir.Table, every: int) -> ir.Table:
    return rows.filter(rows.customer_id.cast("int64") % every == 0)


def _copied(rows: ir.Table, copies: int) -> ir.Table:
    """The rows once for each copy; the first keeps its ids."""
    if copies == 1:
        return rows
    number = ibis.range(copies).unnest().name("copy").as_table()
    both = rows.cross_join(number)
    mark = ibis.ifelse(both.copy == 0, "", "-" + both.copy.cast("string"))
    return both.mutate(**{name: both[name] + mark for name in _IDS if name in rows.columns}).drop("copy")


def _embed(lake: Lake) -> None:
    space = embedding_settings().start
    said = texts(lake.read("items"), space.text).select("text_hash", "text").distinct().to_pyarrow()
    drawn = np.random.default_rng(0).normal(size=(said.num_rows, _WIDTH)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    columns = {"encoder": pa.repeat(space.key, said.num_rows), "vector": pa.array(list(drawn))}
    rows = pa.table(columns | {name: said[name] for name in ("text_hash", "text")})
    lake.add("item_embeddings", rows)
