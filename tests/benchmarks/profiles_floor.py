"""The floor of `profiles`: DuckDB reads the lake's events once, and counts and adds by customer."""

from pathlib import Path

import duckdb

from perennial.foundation.settings import settings

NAME = "one group-by"


def draw(lake: Path, out: Path) -> None:
    """Write orders and revenue of each customer to a Parquet file."""
    with duckdb.connect() as engine:
        engine.sql(f"SET enable_progress_bar = false; SET threads = {settings().threads}")
        sums = "count(DISTINCT order_id) AS orders, sum(revenue) AS spend"
        rows = f"read_parquet('{lake}/events/*/*.parquet', hive_partitioning = true)"
        engine.sql(f"COPY (SELECT customer_id, {sums} FROM {rows} GROUP BY ALL) TO '{out}'")
