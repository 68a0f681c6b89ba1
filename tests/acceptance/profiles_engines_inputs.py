"""What the demo lacks and a profile can tell of: vectors, messages, returns, corrections, moves."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zlib import crc32

import pyarrow as pa

from perennial.embeddings import pipeline as embeddings
from perennial.foundation.contracts import EVENTS, USERS, Contract
from perennial.foundation.lake import Lake

_ZONES = ("America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")
Row = dict[str, Any]


def complete(lake: Lake, last: date) -> None:
    """Give the items of a lake vectors, and its customers invented events, landed by the last day."""
    embeddings.embed(str(last))
    users = lake.read("users").to_pyarrow().to_pylist()
    consents = {row["customer_id"]: row["consents"] for row in users}
    assigned = lake.read("assignments").to_pyarrow().to_pylist()
    told = [row for one in assigned for row in _told(one, consents[one["customer_id"]])]
    events = lake.read("events")
    bought = events.filter(events.event_type == "purchase", events.quantity > 0).to_pyarrow().to_pylist()
    returned = [_returned(row) for row in bought if _one_in(600, row["event_id"])]
    corrected = [_corrected(row) for row in bought if _one_in(601, row["event_id"])]
    found = [row for row in (*told, *returned, *corrected) if row["landed_on"] <= last]
    lake.add("events", _table(EVENTS, found))
    lake.add("users", _table(USERS, [_moved(row) for row in users if _one_in(3, row["customer_id"])]))


def _told(assigned: Row, channels: list[str]) -> Iterator[Row]:
    """Messages that came with a campaign, one by each channel, and what the customer did with them."""
    shared = {column: assigned[column] for column in ("customer_id", "campaign_id", "landed_on", "known_on")}
    shared["occurred_at"] = datetime.combine(assigned["landed_on"], time(12), UTC)
    for channel in channels:
        name = f"{assigned['campaign_id']}-{assigned['customer_id']}-{channel}"
        kinds = {"delivered": 1, "open": 3, "click": 9}
        for kind in (kind for kind, count in kinds.items() if _one_in(count, name)):
            yield shared | {"event_id": f"{kind}-{name}", "event_type": kind, "channel": channel}


def _returned(row: Row) -> Row:
    own = {"event_id": f"return-{row['event_id']}", "event_type": "return", "revenue": -row["revenue"]}
    later = timedelta(days=5)
    return _landed(row | own | {"occurred_at": row["occurred_at"] + later}, row["landed_on"] + later)


def _corrected(row: Row) -> Row:
    """The same purchase, sent again with another quantity."""
    return _landed(row | {"quantity": row["quantity"] + 1}, row["landed_on"] + timedelta(days=3))


def _landed(row: Row, day: date) -> Row:
    return row | {"landed_on": day, "known_on": day}


def _moved(row: Row) -> Row:
    """The customer, some weeks later in another time zone."""
    day = row["valid_from"] + timedelta(days=20)
    zone = _ZONES[crc32(row["customer_id"].encode()) % len(_ZONES)]
    return row | {"time_zone": zone, "valid_from": day, "known_on": day}


def _one_in(count: int, name: str) -> bool:
    return crc32(name.encode()) % count == 0


def _table(contract: Contract, rows: list[Row]) -> pa.Table:
    complete = [{name: row.get(name) for name in contract.schema.names} for row in rows]
    return pa.Table.from_pylist(complete, contract.schema)
