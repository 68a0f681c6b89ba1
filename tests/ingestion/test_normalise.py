from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pytest

from perennial.foundation import contracts
from perennial.ingestion.normalise import Wording, read, stamp, trimmed
from perennial.ingestion.sources import DAY

LANDED = date(2024, 5, 2)
MONEY, INT, INSTANT, DATE, TEXTS, FLAG, REAL = (
    dt.DataType.from_pyarrow(kind)
    for kind in (
        *(contracts.MONEY, contracts.INT, contracts.INSTANT, contracts.DAY),
        *(contracts.TEXTS, contracts.FLAG, contracts.REAL),
    )
)


def made(values: list[object], kind: dt.DataType, **wording: object) -> list[object]:
    """What each raw value becomes."""
    rows = ibis.memtable(pa.table({"value": pa.array(values), "at": range(len(values))}))
    plain = {"zone": ZoneInfo("UTC"), "last": LANDED} | wording
    value = read(trimmed(rows.value), kind, Wording(**plain))
    value = value.cast(INSTANT) if value.type().is_timestamp() else value
    return rows.select("at", value=value).order_by("at").to_pyarrow()["value"].to_pylist()


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_numbers_are_read_whatever_they_come_as():
    assert made(["12.50", " 12 ", "1e2", "-0.0", "+7"], MONEY) == [
        Decimal(n) for n in ("12.5", "12", "100", "0", "7")
    ]
    assert made([12.5, -0.0, 1e9], MONEY) == [Decimal("12.5"), Decimal(0), Decimal(10**9)]
    assert made([Decimal("1.23456")], MONEY) == [Decimal("1.2346")]
    assert made([" 3", "3.0", "-1"], INT) == [3, 3, -1]
    assert made([3.0, -0.0], INT) == [3, 0]
    assert made(["true", "0", "F"], FLAG) == [True, False, False]


def test_a_text_that_is_no_number_is_null():
    no_money = ["3,60", "99999999999999", "€ 5", "0x10", "--1", "NaN", "inf", "1 000", "²"]
    assert made(no_money, MONEY) == [None] * len(no_money)
    assert made([float("inf"), float("nan"), 1e300], MONEY) == [None] * 3
    assert made(["many", "1.5", "9" * 20, "nan"], INT) == [None] * 4
    assert made([1.5, float("nan"), 1e300], INT) == [None] * 3
    assert made(["nan", "inf", "x"], REAL) == [None] * 3
    assert made([float("nan"), 0.5], REAL) == [None, 0.5]
    assert made(["yep"], FLAG) == [None]


def test_numbers_are_written_as_the_source_declares():
    assert made(["1.027,50", "2,55", "-1.234.567,8"], MONEY, decimal=",", thousands=".") == [
        Decimal(n) for n in ("1027.5", "2.55", "-1234567.8")
    ]
    assert made(["12.50", "1.0275,5", "1.02"], MONEY, decimal=",", thousands=".") == [None, None, None]
    assert made(["2,55", "2.55"], MONEY, decimal=",") == [Decimal("2.55"), None]
    assert made(["1'000", "1 000"], INT, thousands="'") == [1000, None]


def test_times_are_utc_where_they_name_no_offset():
    written = ["2024-05-02", "2024-05-02 10:00", "2024-05-02T10:00:00+02:00", "2024-05-02T10:00:00.123456Z"]
    assert made(written, INSTANT) == [
        *(utc(2024, 5, 2), utc(2024, 5, 2, 10), utc(2024, 5, 2, 8), utc(2024, 5, 2, 10, 0, 0, 123456)),
    ]
    assert made([datetime(2024, 5, 2, 10), None], INSTANT) == [utc(2024, 5, 2, 10), None]  # noqa: DTZ001
    assert made([utc(2024, 5, 2, 10)], INSTANT) == [utc(2024, 5, 2, 10)]
    assert made([date(2024, 5, 2)], INSTANT) == [utc(2024, 5, 2)]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_what_is_no_time_of_this_age_is_null(zone: str):
    no_time = ["02/13/2024", "0000-01-01", "0001-01-01", "9999-12-31 23:59:59", "99999-01-01", "infinity"]
    no_time += ["2024-02-30", "2024-05-02 25:00", "1714640000", "-2024-05-02"]
    assert made(no_time, INSTANT, zone=ZoneInfo(zone)) == [None] * len(no_time)
    assert made(no_time, DATE, zone=ZoneInfo(zone)) == [None] * len(no_time)
    assert made([datetime(1, 1, 1), datetime(9999, 12, 31)], INSTANT, zone=ZoneInfo(zone)) == [None] * 2  # noqa: DTZ001


def test_clock_times_of_a_zone_become_instants_also_where_clocks_change():
    clock = {
        "2024-03-31 01:59:59": utc(2024, 3, 31, 0, 59, 59),
        "2024-03-31 02:30": utc(2024, 3, 31, 1, 30),  # clocks went from 2 to 3: this is 3:30
        "2024-03-31 03:00": utc(2024, 3, 31, 1),
        "2023-10-29 02:30": utc(2023, 10, 29, 0, 30),  # of two the earlier
        "2023-10-29 03:00": utc(2023, 10, 29, 2),
        "2024-05-02 12:00": utc(2024, 5, 2, 10),
        "2024-05-02 12:00Z": utc(2024, 5, 2, 12),
        "2024-05-02 12:00-0500": utc(2024, 5, 2, 17),
    }
    assert dict(zip(clock, made([*clock], INSTANT, zone=ZoneInfo("Europe/Berlin")), strict=True)) == clock


def test_declared_date_formats_are_tried_in_turn_before_iso():
    written = ["02/05/2024 09:30", "2. May 2024", "2024-05-02 07:00", "13/13/2024 00:00"]
    wording = {"dates": ("%d/%m/%Y %H:%M", "%d. %B %Y"), "zone": ZoneInfo("Europe/Berlin")}
    assert made(written, INSTANT, **wording) == [
        *(utc(2024, 5, 2, 7, 30), utc(2024, 5, 1, 22), utc(2024, 5, 2, 5), None),
    ]
    assert made(written, DATE, **wording) == [LANDED, LANDED, LANDED, None]


def test_blank_is_missing_and_spaces_around_text_are_cut():
    rows = ibis.memtable({"value": [" c1\t", "", " \r\n", "a b", "\u00a0x"]})
    found = rows.select(value=trimmed(rows.value)).to_pyarrow()["value"].to_pylist()
    assert found == ["c1", None, None, "a b", "\u00a0x"]


def test_several_values_in_a_text_become_a_list():
    assert made(["email| push", "|", None, "sms|"], TEXTS) == [["email", "push"], [], [], ["sms"]]
    assert made([["sms"], None, []], TEXTS) == [["sms"], [], []]


def known_on(instant: datetime, zone: str, lag_days: int | None) -> date:
    schema = pa.schema([(DAY, pa.date32()), ("occurred_at", contracts.INSTANT)])
    raw = ibis.memtable(pa.Table.from_pylist([{DAY: LANDED, "occurred_at": instant}], schema))
    (row,) = stamp(raw, contracts.EVENTS, ZoneInfo(zone), LANDED, lag_days).to_pyarrow().to_pylist()
    assert row["landed_on"] == LANDED
    return row["known_on"]


@pytest.mark.parametrize(
    ("instant", "zone", "lag_days", "day"),
    [
        ((2024, 4, 1, 23, 30), "UTC", None, LANDED),
        ((2024, 4, 1, 23, 30), "UTC", 0, date(2024, 4, 1)),
        ((2024, 4, 1, 23, 30), "UTC", 2, date(2024, 4, 3)),
        ((2024, 5, 1, 23, 30), "UTC", 9, LANDED),
        ((2024, 4, 1, 21, 59), "Europe/Berlin", 0, date(2024, 4, 1)),
        ((2024, 4, 1, 22, 0), "Europe/Berlin", 0, date(2024, 4, 2)),
        ((2024, 3, 30, 22, 59), "Europe/Berlin", 0, date(2024, 3, 30)),
        ((2024, 3, 30, 23, 0), "Europe/Berlin", 0, date(2024, 3, 31)),
        ((2024, 4, 1, 3, 30), "America/New_York", 0, date(2024, 3, 31)),
        ((1999, 12, 31, 23, 30), "Asia/Tokyo", 0, date(2000, 1, 1)),
    ],
)
def test_history_counts_as_known_from_the_shops_day_it_happened(
    instant: tuple[int, ...], zone: str, lag_days: int | None, day: date
):
    assert known_on(utc(*instant), zone, lag_days) == day
