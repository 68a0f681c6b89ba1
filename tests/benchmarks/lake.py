"""Writing events into the lake: checked against their contract, split by day, in one commit."""

import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd

from perennial.foundation import contracts, engine
from perennial.foundation.lake import Lake
from tests.benchmarks.bench import Result, compare

FIRST, DAYS = date(2017, 1, 1), 28


def run(sizes: tuple[int, ...]) -> Iterator[Result]:
    """`Lake.replace` of four weeks, against pandas writing Parquet by day and DuckDB writing one file."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            yield _one(Path(folder), size)


def _one(folder: Path, size: int) -> Result:
    backend = engine.connect()
    held = backend.create_table(ibis.util.gen_name("events"), _purchases(size), temp=True)
    lake, last = Lake(str(folder / "lake")), FIRST + timedelta(days=DAYS)

    def as_pandas() -> None:
        frame = held.to_pyarrow().to_pandas()
        frame.to_parquet(
            folder / "pandas", partition_cols=["landed_on"], existing_data_behavior="delete_matching"
        )

    return compare(
        "lake_replace",
        size,
        lambda: lake.replace("events", held, FIRST, last),
        (f"pandas {pd.__version__} to_parquet", as_pandas),
        lambda: held.to_parquet(folder / "floor.parquet"),
    )


def _purchases(size: int) -> ir.Table:
    rows = ibis.range(size).unnest().name("n").as_table()
    day = ibis.literal(FIRST) + (rows.n % DAYS).cast("int32").as_interval("D")
    given = {
        "event_id": rows.n.cast("string"),
        "landed_on": day.cast("date"),
        "known_on": day.cast("date"),
        "customer_id": (rows.n % 2500).cast("string"),
        "event_type": ibis.literal("purchase"),
        "occurred_at": day.cast("timestamp('UTC')"),
        "item_id": (rows.n % 20000).cast("string"),
        "order_id": (rows.n // 10).cast("string"),
        "quantity": (rows.n % 5) + 1,
        "revenue": ((rows.n % 900) / 100).cast("decimal(14, 4)"),
    }
    kinds = ibis.Schema.from_pyarrow(contracts.EVENTS.schema)
    return rows.select(
        **{name: given.get(name, ibis.null(kind.copy(nullable=True))) for name, kind in kinds.items()}
    )
