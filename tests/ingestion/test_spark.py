"""The same landing, computed by DuckDB and by Spark."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.foundation.lake import Lake, open_lake, open_vault
from perennial.foundation.settings import EngineName
from perennial.ingestion import pipeline
from perennial.ingestion.reconciliation import reconcile
from perennial.ingestion.screening import Storage
from tests import spark
from tests.content import differences, rows
from tests.ingestion.drops import DAY, contact, drop, drop_all, item, purchase, user

pytestmark = spark.needed
TODAY = date.fromisoformat(DAY)
SOURCES = r"""
tables:
  events:
    sources:
      landing: {}
      orders:
        files: "orders/{day}*"
        delimiter: ";"
        decimal: ","
        thousands: "."
        time_zone: Asia/Kolkata
        dates: ["%d/%m/%Y %H:%M"]
        types: {Menge: integer, Preis: number}
        where: "Stand <> 'offen'"
        keep: last
        columns:
          event_id: Nr
          customer_id: Kunde
          occurred_at: Zeit
          event_type: {sql: "CASE WHEN Menge < 0 THEN 'return' ELSE Stand END"}
          item_id: Artikel
          order_id: {sql: "split_part(Nr, '-', 1)"}
          quantity: {sql: "abs(Menge)"}
          unit_price: Preis
          revenue: {sql: "Menge * Preis"}
          shelf_discount: {sql: "CASE WHEN Rabatt <> '' THEN CAST(Rabatt AS DECIMAL(9, 2)) END"}
          store_id: {sql: "first(Nr) OVER (PARTITION BY Kunde ORDER BY _line)"}
        event_types: {bezahlt: purchase}
    rules:
      newest_within_days: 3
      nulls: {store_id: 1}
      drift: {columns: [event_type, store_id], most: 9, rows: 1}
"""
ORDERS = """Nr;Kunde;Zeit;Stand;Artikel;Menge;Preis;Rabatt
1-a;c1;02/05/2024 08:26;bezahlt;i1;6;2,55;
1-b;c1;2/5/2024 8:26;bezahlt;i1;1;1.027,50;0.5
1-b;c1;2/5/2024 8:27;bezahlt;i1;2;1.027,50;0.5
2-a;c1;2024-05-02T10:00:00-05:00;bezahlt;i1;-1;3;
3-a;c1;2024-05-02 10:00:00;bezahlt;i1;1;5d;
4-a;c1;2024;bezahlt;i1;1;3;
5-a;c1;2024-05-02;bezahlt;i1;1;3;viel
6-a;c1;2024-05-02;offen;i1;1;3;
7-a
8-a;anna@example.com;31/02/2024 10:00;bezahlt;i1;1,5;3;
9-a; c1 ;2024-03-31 02:30:00;bezahlt;i1;1e1;0,00015;
"""


@pytest.fixture
def compute_with(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[spark.Compute]:
    """From now on this engine computes, in a lake and a vault of its own."""
    monkeypatch.setenv("PERENNIAL_PSEUDONYM_KEY", "not a secret, but long enough for a test")
    (shop / "config").mkdir()
    (shop / "config" / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    yield from spark.computing(shop, monkeypatch)


def land(shop: Path) -> None:
    """A day with a bit of everything that two engines could see in different ways."""
    money = [36.5, 1.00005, -1.5, 1e12, math.nan, math.inf]
    drop_all(
        shop,
        items=[
            item(title="Beans\u00a0| ask anna@example.com"),
            item("i2", price=-1.0, title=" \t "),
            *(item(f"m{n}", price=price) for n, price in enumerate(money)),
        ],
        users=[user(), user("anna@example.com"), user("c3", consents=["email", "fax"]), user("c4", age=None)],
        contacts=[contact(), contact("c4", email="no address", phone=None)],
        events=[
            purchase(),
            purchase("late", occurred_at=datetime(2024, 5, 3, 0, 0, 1, tzinfo=UTC)),
            purchase("bad", quantity=0, revenue=math.nan),
            purchase("who", customer_id="c9", item_id=None),
            purchase(None),
        ],
    )
    texts = [purchase(event_id) for event_id in ("e1", "e2", "e3", "e4", "e5")]
    texts[1] |= {"quantity": " 3 ", "revenue": "1_000", "occurred_at": "2024/05/02 10:00"}
    texts[2] |= {"quantity": "1.5", "revenue": "3,60", "occurred_at": "abc"}
    texts[3] |= {"quantity": "0x1", "revenue": "Infinity", "occurred_at": "2024-05-02 10:00:00.5+02"}
    texts[4] |= {"order_id": "call +1 202 555 0143", "revenue": "1e2"}
    drop(shop, "events", texts, name="more rows [1] ü%20.csv")
    drop(shop, "users", [user("c5", consents="email| sms"), user("c6", consents="")], name="more.csv")
    orders = shop / "landing" / "orders" / f"{DAY}.csv"
    orders.parent.mkdir()
    orders.write_text(ORDERS, encoding="utf-8")
    odd = {"event_id": pa.array(["n1", "n2"]), "customer_id": pa.array(["c1", "c1"]), "item_id": ["i1"] * 2}
    odd |= {"event_type": ["view"] * 2, "at": [time(9, 30)] * 2, "order_id": pa.nulls(2)}
    odd["occurred_at"] = pa.array(["2024-05-02T09:30:00", None]).cast(pa.timestamp("ns"))
    pq.write_table(pa.table(odd), shop / "landing" / "events" / DAY / "nanoseconds.parquet")


def test_a_landing_has_the_same_content_on_spark_as_on_duckdb(shop: Path, compute_with: spark.Compute):
    land(shop)
    found: dict[EngineName, pipeline.Outcome] = {}
    lakes: dict[EngineName, list[Lake]] = {}
    for name in (EngineName.DUCKDB, EngineName.SPARK):
        compute_with(name)
        found[name] = pipeline.ingest(DAY)
        lakes[name] = [open_lake(), open_vault()]
        assert all(entry.balanced for entry in reconcile(Storage.from_settings(), TODAY, TODAY))
    assert found[EngineName.SPARK] == found[EngineName.DUCKDB]
    for on_spark, on_duckdb in zip(lakes[EngineName.SPARK], lakes[EngineName.DUCKDB], strict=True):
        assert differences(on_spark, on_duckdb) == []
    lake = lakes[EngineName.DUCKDB][0]
    said = {json.loads(row["row"]).get("Nr"): row["reasons"] for row in rows(lake, "quarantine")}
    assert said["3-a"][0] == "unit_price unreadable: '5d' is no amount of money"
    read = {
        table: (rows(lake, table), lake.known(table, TODAY).to_pyarrow()) for table in ("events", "users")
    }
    compute_with(EngineName.SPARK)
    for table, (held, known) in read.items():
        assert rows(lake, table) == held
        assert lake.known(table, TODAY).to_pyarrow().sort_by(known.column_names[0]) == known.sort_by(
            known.column_names[0]
        )
