from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest

from perennial.foundation import contracts, engine
from perennial.ingestion.normalise import normalise, stamp

HERE = {"_at": 0, "_day": date(2024, 5, 2)}


def read(contract: contracts.Contract, column: str, value: object) -> tuple[object, bool, bool]:
    """(value, given, readable) of one raw value."""
    raw = ibis.memtable(pa.Table.from_pylist([HERE | {column: value}]))
    rows = engine.connect().to_pyarrow(normalise(raw, contract, {})).to_pylist()
    return rows[0][column], rows[0][f"{column}_given"], rows[0][f"{column}_readable"]


@pytest.mark.parametrize(
    ("column", "raw", "value"),
    [
        ("customer_id", " c1 ", "c1"),
        ("customer_id", 17, "17"),
        ("quantity", " 3", 3),
        ("quantity", 3.0, 3),
        ("revenue", "12.50", Decimal("12.5000")),
        ("revenue", 12.5, Decimal("12.5000")),
        ("revenue", 12, Decimal("12.0000")),
        ("occurred_at", "2024-05-02", datetime(2024, 5, 2, tzinfo=UTC)),
        ("occurred_at", "2024-05-02 10:00", datetime(2024, 5, 2, 10, tzinfo=UTC)),
        ("occurred_at", "2024-05-02T10:00:00+02:00", datetime(2024, 5, 2, 8, tzinfo=UTC)),
        (
            "occurred_at",
            datetime(2024, 5, 2, 10, tzinfo=UTC).replace(tzinfo=None),
            datetime(2024, 5, 2, 10, tzinfo=UTC),
        ),
    ],
)
def test_what_can_be_read_is_read(column: str, raw: object, value: object):
    assert read(contracts.EVENTS, column, raw) == (value, True, True)


@pytest.mark.parametrize(
    ("column", "raw"),
    [
        ("quantity", "many"),
        ("quantity", "1.5"),
        ("quantity", 1.5),
        ("quantity", float("nan")),
        ("revenue", "3,60"),
        ("revenue", float("inf")),
        ("revenue", "99999999999999"),
        ("occurred_at", "02/13/2024"),
        ("occurred_at", "0000-01-01"),
        ("occurred_at", "99999-01-01"),
        ("occurred_at", "infinity"),
    ],
)
def test_what_cannot_be_read_is_null_and_marked(column: str, raw: object):
    assert read(contracts.EVENTS, column, raw) == (None, True, False)


@pytest.mark.parametrize("raw", [None, "", "  "])
def test_blank_is_missing(raw: str | None):
    assert read(contracts.EVENTS, "revenue", raw) == (None, False, True)


@pytest.mark.parametrize(
    ("raw", "value"), [("email| push", ["email", "push"]), ("", []), (["sms"], ["sms"]), (None, [])]
)
def test_several_values_in_a_text_become_a_list(raw: object, value: list[str]):
    assert read(contracts.USERS, "consents", raw) == (value, True, True)


def known_on(instant: str, zone: str, lag_days: int | None) -> date:
    raw = ibis.memtable(pa.Table.from_pylist([HERE | {"occurred_at": instant}]))
    rows = stamp(
        normalise(raw, contracts.EVENTS, {}), contracts.EVENTS, ZoneInfo(zone), date(2024, 5, 2), lag_days
    )
    return engine.connect().to_pyarrow(rows).to_pylist()[0]["known_on"]


@pytest.mark.parametrize(
    ("instant", "zone", "lag_days", "day"),
    [
        ("2024-04-01 23:30", "UTC", None, date(2024, 5, 2)),
        ("2024-04-01 23:30", "UTC", 0, date(2024, 4, 1)),
        ("2024-04-01 23:30", "UTC", 2, date(2024, 4, 3)),
        ("2024-05-01 23:30", "UTC", 9, date(2024, 5, 2)),
        ("2024-04-01 21:59", "Europe/Berlin", 0, date(2024, 4, 1)),
        ("2024-04-01 22:00", "Europe/Berlin", 0, date(2024, 4, 2)),
        ("2024-03-30 22:59", "Europe/Berlin", 0, date(2024, 3, 30)),
        ("2024-03-30 23:00", "Europe/Berlin", 0, date(2024, 3, 31)),
        ("2024-04-01 03:30", "America/New_York", 0, date(2024, 3, 31)),
        ("1999-12-31 23:30", "Asia/Tokyo", 0, date(2000, 1, 1)),
    ],
)
def test_history_counts_as_known_from_the_shops_day_it_happened(
    instant: str, zone: str, lag_days: int | None, day: date
):
    assert known_on(instant, zone, lag_days) == day
