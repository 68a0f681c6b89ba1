"""A tiny shop's landing files: one good row of each table, to be bent by each test."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DAY = "2024-05-02"
Row = dict[str, Any]


def item(item_id: str = "i1", **changes: Any) -> Row:
    return {"item_id": item_id, "title": "Espresso beans, 1 kg", "price": 20.0, "available": True} | changes


def user(customer_id: str = "c1", **changes: Any) -> Row:
    known = {"joined_on": date(2024, 5, 1), "time_zone": "Europe/Berlin", "consents": ["email"]}
    return {"customer_id": customer_id} | known | changes


def campaign(campaign_id: str = "k1", **changes: Any) -> Row:
    days = {
        "starts_on": date(2024, 5, 1),
        "ends_on": date(2024, 5, 9),
        "measured_until": date(2024, 5, 20),
    }
    return {"campaign_id": campaign_id, "name": "May", "origin": "shop"} | days | changes


def assignment(campaign_id: str = "k1", customer_id: str = "c1", **changes: Any) -> Row:
    return {
        "campaign_id": campaign_id,
        "customer_id": customer_id,
        "assigned_on": date(2024, 5, 1),
    } | changes


def promotion(item_id: str = "i1", **changes: Any) -> Row:
    return {"item_id": item_id, "store_id": "s1", "week": date(2024, 4, 29), "display": "front"} | changes


def contact(customer_id: str = "c1", **changes: Any) -> Row:
    return {"customer_id": customer_id, "email": "c1@example.com", "phone": "+12025550143"} | changes


def purchase(event_id: str | None = "e1", **changes: Any) -> Row:
    row = {"event_id": event_id, "customer_id": "c1", "event_type": "purchase", "item_id": "i1"}
    money = {"quantity": 2, "unit_price": 20.0, "shelf_discount": 4.0, "revenue": 36.0}
    return row | {"occurred_at": datetime(2024, 5, 2, 9, 30, tzinfo=UTC), "order_id": "o1"} | money | changes


def drop(shop: Path, table: str, rows: list[Row], day: str = DAY, name: str = "rows.parquet") -> Path:
    """Write a landing file; Parquet or CSV, as the name says."""
    path = shop / "landing" / table / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.DictWriter(file, columns)
            lines.writeheader()
            lines.writerows(rows)
    else:
        whole = [dict.fromkeys(columns) | row for row in rows]
        pq.write_table(pa.Table.from_pylist(whole), path)
    return path


def drop_all(shop: Path, day: str = DAY, **tables: list[Row]) -> None:
    """Files of a whole day: one good row of each table that is not given."""
    good = {"items": [item()], "promotions": [promotion()], "users": [user()], "contacts": [contact()]}
    ours = {"campaigns": [campaign()], "assignments": [assignment()], "events": [purchase()]}
    whole = good | ours | tables
    for table, rows in whole.items():
        drop(shop, table, rows, day)
