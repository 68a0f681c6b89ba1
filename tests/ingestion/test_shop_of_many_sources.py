import gzip
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml

from perennial.foundation.lake import Lake
from perennial.ingestion import pipeline
from perennial.ingestion.reconciliation import reconcile
from perennial.ingestion.screening import Storage
from tests.conftest import forget
from tests.content import rows
from tests.ingestion.drops import drop, purchase

FIRST, LAST = date(2024, 5, 2), date(2024, 5, 3)
TILL = {
    "files": "tills/all.csv.gz",
    "day": "strptime(\"Tag\", '%d.%m.%Y')",
    "encoding": "windows-1252",
    "delimiter": ";",
    "decimal": ",",
    "thousands": ".",
    "time_zone": "Europe/Berlin",
    "dates": ["%d.%m.%Y %H:%M"],
    "types": {"Menge": "integer", "Preis": "number"},
    "where": "Status = 'ok'",
    "keep": "last",
    "columns": {
        "event_id": "Bon",
        "order_id": "Bon",
        "customer_id": "Kunde",
        "item_id": "Artikel",
        "event_type": "Art",
        "occurred_at": {"sql": "Tag || ' ' || Uhr"},
        "quantity": "Menge",
        "revenue": {"sql": "Menge * Preis"},
    },
    "event_types": {"Verkauf": "purchase"},
}
BONS = """Bon;Kunde;Artikel;Art;Tag;Uhr;Menge;Preis;Status
b1;c1;Müsli;Verkauf;01.05.2024;09:30;1;2,50;ok
b2;c1;Müsli;Verkauf;02.05.2024;09:30;2;1.002,50;ok
b2;c1;Müsli;Verkauf;02.05.2024;09:30;3;1.002,50;ok
b3;c2;Müsli;Verkauf;x;00:30;1;2,50;ok
b4;c1;Müsli;Verkauf;02.05.2024;09:30;1;2,50;storniert
b5;c2;Müsli;Verkauf;03.05.2024;09:30;1;frei;ok
b6;c3;Müsli;Verkauf;03.05.2024;09:30;1;2,50;ok
b7;c3;Müsli;Verkauf
"""


@pytest.fixture
def many(shop: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A till's file of all days, the web shop's daily Parquet, a warehouse; the warehouse's connection."""
    web = {"files": f"file://{shop}/landing/web/{{day}}/*.parquet", "history": {"lag_days": 1}}
    query = "SELECT id, since, NULL AS consents FROM customers WHERE since = {day}"
    customers = {"connection": "warehouse", "query": query}
    declared = {
        "items": {
            "sources": {"goods": {"files": "goods-{day}.jsonl", "columns": {"available": {"value": True}}}}
        },
        "users": {
            "sources": {
                "crm": {"database": customers, "columns": {"customer_id": "id", "joined_on": "since"}}
            },
            "rules": {"least_rows": 0},
        },
        "events": {"sources": {"till": TILL, "web": web}},
    }
    (shop / "config").mkdir()
    (shop / "config" / "sources.yaml").write_text(yaml.safe_dump({"tables": declared}, allow_unicode=True))
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    forget()
    landing = shop / "landing"
    (landing / "goods-2024-05-02.jsonl").write_text(
        '{"item_id": "Müsli", "title": "Müsli", "attributes": {"kg": 1.50}}\n', encoding="utf-8"
    )
    (landing / "tills").mkdir()
    (landing / "tills" / "all.csv.gz").write_bytes(gzip.compress(BONS.encode("windows-1252")))
    drop(shop, "web", [purchase("w1", item_id="Müsli", occurred_at=datetime(2024, 4, 30, tzinfo=UTC))])
    with sqlite3.connect(shop / "warehouse.db") as database:
        database.execute("CREATE TABLE customers (id TEXT, since TEXT)")
        known = [("c1", "2024-05-02"), ("c2", "2024-05-02"), ("c3", "2024-05-03")]
        database.executemany("INSERT INTO customers VALUES (?, ?)", known)
    return {"warehouse": f"sqlite:///{shop}/warehouse.db"}


def test_a_shop_of_many_sources_lands_by_declaration_alone_and_every_row_is_accounted_for(
    lake: Lake, many: dict[str, str]
):
    pipeline.load_history(str(FIRST), str(LAST), many)
    found = {
        row["event_id"]: (
            row["landed_on"].day,
            row["known_on"].day,
            float(row["revenue"]),
            row["occurred_at"].hour,
        )
        for row in rows(lake, "events")
    }
    assert found == {"b2": (2, 2, 3007.5, 7), "w1": (2, 1, 36.0, 0), "b6": (3, 3, 2.5, 7)}
    aside = {(row["line"], row["landed_on"].day): row["reasons"] for row in rows(lake, "quarantine")}
    assert list(aside) == [(4, 2), (6, 3), (8, 3)]
    assert [reason.split(":")[0] for reason in aside[4, 2]] == ["occurred_at unreadable"]
    assert [reason.split(":")[0] for reason in aside[6, 3]] == ["revenue unreadable"]
    assert aside[8, 3] == ["line broken: found 4 values; the header has 9 columns"]
    (item,) = rows(lake, "items")
    assert item["attributes"] == '{"kg": 1.5}'
    entries = {
        (entry.table, entry.day.day): entry for entry in reconcile(Storage.from_settings(many), FIRST, LAST)
    }
    assert all(entry.balanced for entry in entries.values())
    assert (entries["events", 2].landed, entries["events", 2].left_out) == (5, 2)
    assert (entries["events", 3].landed, entries["events", 3].quarantined) == (3, 2)
    assert pipeline.ingest("2024-05-09", many)["events"]["landed"] == 0, "a day that no row is of"
