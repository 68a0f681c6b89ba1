"""The floor: DuckDB reads the landing, counts the rows that break each rule, and writes one Parquet file.

It sets nothing aside, names no row and keeps no versions: nobody could be faster on the same machine and do
the job. The rules are those of the peer.
"""

from collections.abc import Callable
from pathlib import Path

import duckdb

from perennial.foundation import contracts

_RULES = {
    "events": (
        *("event_id IS NULL", "r.customer_id IS NULL", "event_type IS NULL", "occurred_at IS NULL"),
        f"event_type NOT IN {contracts.EVENT_TYPES}",
        *("items.item_id IS NULL AND r.item_id IS NOT NULL", "users.customer_id IS NULL"),
        *("occurred_at::DATE > landed_on", "quantity < 1", "revenue < 0"),
        *("unit_price < 0", "shelf_discount < 0", "coupon_discount < 0"),
    ),
    "promotions": (
        *("r.item_id IS NULL", "store_id IS NULL", "week IS NULL", "display IS NULL", "mailer IS NULL"),
        "items.item_id IS NULL",
        "week NOT BETWEEN DATE '1900-01-01' AND DATE '2199-12-31'",
        f"display NOT IN {tuple('0123456789A')}",
        f"mailer NOT IN {tuple('0ACDFHJLPXZ')}",
    ),
}
_REFERENCES = {"events": {"items": "item_id", "users": "customer_id"}, "promotions": {"items": "item_id"}}
_KEYS = {"events": "event_id", "promotions": "item_id, store_id, week"}


def prepare(table: str, folder: Path) -> tuple[Callable[[], object], Callable[[], int]]:
    """Nothing to do before a run, and the run: rules broken, counted once for each row and rule."""
    return lambda: None, lambda: _ingest(table, folder)


def count_expectations(table: str) -> int:
    """How many rules are counted; that of uniqueness has a query of its own."""
    return len(_RULES[table]) + 1


def _ingest(table: str, folder: Path) -> int:
    landing = folder / "landing"
    with duckdb.connect() as engine:
        engine.sql("SET enable_progress_bar = false")
        rows = (
            "(SELECT * EXCLUDE filename, filename.split('/')[-2]::DATE AS landed_on "
            f"FROM read_parquet('{landing}/{table}/*/*.parquet', filename = true)) AS r"
        )
        joins = " ".join(
            f"LEFT JOIN '{landing}/{name}/*/*.parquet' AS {name} ON r.{key} = {name}.{key}"
            for name, key in _REFERENCES[table].items()
        )
        counts = ", ".join(f"count(*) FILTER ({rule})" for rule in _RULES[table])
        ((*broken,),) = engine.sql(f"SELECT {counts} FROM {rows} {joins}").fetchall()
        alike = f"SELECT count(*) - 1 AS n FROM {rows} GROUP BY {_KEYS[table]}, landed_on"
        ((repeated,),) = engine.sql(f"SELECT coalesce(sum(n), 0) FROM ({alike})").fetchall()
        engine.sql(f"COPY (SELECT *, landed_on AS known_on FROM {rows}) TO '{folder}/floor.parquet'")
    return sum(broken) + int(repeated)
