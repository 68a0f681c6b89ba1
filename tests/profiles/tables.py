"""Small tables for the tests of profiles, in the contract's columns; a row names only what matters to it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation.contracts import CONTRACTS
from perennial.profiles import purchases

MONDAY = date(2017, 12, 4)


def day(number: int) -> date:
    """Days from a Monday, which is day 0."""
    return MONDAY + timedelta(days=number)


def noon(number: int, hour: int = 12) -> datetime:
    """An hour (UTC) of a day."""
    return datetime.combine(day(number), datetime.min.time(), UTC) + timedelta(hours=hour)


def landed(table: str, *rows: dict[str, Any]) -> pa.Table:
    """Rows of a landed table."""
    schema = CONTRACTS[table].schema
    complete = [{name: row.get(name) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(complete, schema=schema)


def event(number: int, event_id: str, **given: Any) -> dict[str, Any]:
    """A purchase at noon of a day, landed and known on that day."""
    usual = {
        "customer_id": "c1",
        "event_type": "purchase",
        "item_id": "i1",
        "order_id": event_id,
        "quantity": 1,
    }
    usual |= {"revenue": 10, "occurred_at": noon(number), "landed_on": day(number), "event_id": event_id}
    row = usual | given
    row = {
        name: Decimal(value) if name in MONEY and value is not None else value for name, value in row.items()
    }
    return {"known_on": row["landed_on"]} | row


MONEY = ("revenue", "unit_price", "shelf_discount", "coupon_discount")


def dated(*rows: dict[str, Any]) -> ir.Table:
    """Events with the days for which they hold, for events whose day is the UTC day."""
    events = ibis.memtable(landed("events", *rows))
    events = events.mutate(occurred_on=events.occurred_at.date())
    return purchases.dated(events, purchases.repeated(events))


def lines(*rows: dict[str, Any]) -> ir.Table:
    """Lines as `purchases.lines` gives them."""
    return purchases.lines(dated(*rows))


def parts(*rows: dict[str, Any]) -> ir.Table:
    """Parts of orders."""
    return purchases.order_parts(lines(*rows))


def orders(*rows: dict[str, Any]) -> ir.Table:
    """Orders."""
    return purchases.orders(parts(*rows))


def rows_of(table: ir.Table, key: str = "customer_id") -> dict[Any, dict[str, Any]]:
    """The rows by their key."""
    found = {row.pop(key): row for row in table.to_pyarrow().to_pylist()}
    assert len(found) == table.count().to_pyarrow().as_py()
    return found
