from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.foundation.time_zones import (
    local_date,
    offset_periods,
    offset_table,
    with_local_date,
    with_offset,
)

FIRST, LAST = datetime(2016, 12, 31, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)
ZONES = (
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "UTC",
)
MOMENTS = st.tuples(
    st.sampled_from(ZONES),
    st.integers(0, int((LAST - FIRST).total_seconds())).map(lambda s: FIRST + timedelta(seconds=s)),
)


def seconds(*moments: tuple[str, datetime]) -> list[int | None]:
    schema = pa.schema(
        [("n", pa.int64()), ("zone", pa.string()), ("occurred_at", pa.timestamp("us", tz="UTC"))]
    )
    rows = [{"n": n, "zone": zone, "occurred_at": moment} for n, (zone, moment) in enumerate(moments)]
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=schema))
    found = with_offset(table, offset_table([*ZONES, None, "Mars/Base"], FIRST, LAST), table.zone)
    assert found.columns == (*table.columns, "offset_seconds")
    return found.order_by("n").offset_seconds.to_pyarrow().to_pylist()


@settings(max_examples=15, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=50))
def test_every_moment_has_the_offset_that_zoneinfo_says(moments: list[tuple[str, datetime]]):
    said = [moment.astimezone(ZoneInfo(zone)).utcoffset() for zone, moment in moments]
    assert seconds(*moments) == [int(offset.total_seconds()) for offset in said if offset is not None]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(ZONES), st.lists(st.tuples(MOMENTS, st.integers(-1, 2)), min_size=1, max_size=50))
def test_the_day_is_the_zones_own_whenever_the_event_was_known(
    zone: str, seen: list[tuple[tuple[str, datetime], int]]
):
    days = [moment.astimezone(ZoneInfo(zone)).date() for (_, moment), _ in seen]
    known = [day + timedelta(days=late) for day, (_, late) in zip(days, seen, strict=True)]
    moments = pa.array([moment for (_, moment), _ in seen], pa.timestamp("us", tz="UTC"))
    events = pa.table({"n": range(len(days)), "known_on": known, "occurred_at": moments})
    found = with_local_date(ibis.memtable(events), zone, FIRST, LAST)
    assert found.order_by("n").occurred_on.to_pyarrow().to_pylist() == days


def test_the_offset_changes_in_the_very_second():
    change = datetime(2017, 3, 26, 1, tzinfo=UTC)
    before = change - timedelta(seconds=1)
    assert seconds(("Europe/Berlin", before), ("Europe/Berlin", change)) == [3600, 7200]


def test_the_clock_of_a_zone_changes_by_half_an_hour_too():
    first, end = datetime(2017, 3, 1, tzinfo=UTC), datetime(2017, 5, 1, tzinfo=UTC)
    _, winter = offset_periods(ZoneInfo("Australia/Lord_Howe"), first, end)
    assert winter == (datetime(2017, 4, 1, 15, tzinfo=UTC), end, 10 * 3600 + 1800)


def test_the_ends_count_and_an_unknown_zone_has_no_offset():
    assert seconds(("UTC", FIRST), ("UTC", LAST), ("Mars/Base", FIRST)) == [0, 0, None]


@pytest.mark.parametrize("zone", [*ZONES, "America/New_York", "Pacific/Apia", "Africa/Monrovia"])
def test_the_periods_of_many_years_change_in_the_second_in_which_zoneinfo_does(zone: str):
    first, end = datetime(1970, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    periods = offset_periods(ZoneInfo(zone), first, end)
    assert (periods[0].since, periods[-1].until) == (first, end)
    for period, following in zip(periods, (*periods[1:], None), strict=True):
        for moment in (period.since, period.until - timedelta(seconds=1)):
            offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
            assert offset is not None
            assert offset.total_seconds() == period.seconds
        assert following is None or (following.since == period.until and following.seconds != period.seconds)


@pytest.mark.parametrize("time_zone", ["UTC", None])
@pytest.mark.parametrize("zone", [*ZONES, "America/New_York", "Pacific/Apia"])
def test_the_local_day_is_zoneinfos_around_each_clock_change_and_midnight(zone: str, time_zone: str | None):
    first, last = date(1990, 1, 1), date(2026, 12, 31)
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last))
    changes = [period.since for period in offset_periods(ZoneInfo(zone), start, end)]
    midnights = [
        datetime(year, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) + timedelta(days=91 * quarter)
        for year in range(1990, 2026)
        for quarter in range(4)
    ]
    moments = [
        moment + timedelta(seconds=seconds)
        for moment in (*changes, *midnights)
        for seconds in (-3600, -1, 0, 1, 3600)
    ]
    written = [moment if time_zone else moment.replace(tzinfo=None) for moment in moments]
    rows = ibis.memtable(
        pa.table({"n": range(len(moments)), "at": pa.array(written, pa.timestamp("us", tz=time_zone))})
    )
    days = rows.select("n", day=local_date(rows.at, ZoneInfo(zone), first, last)).order_by("n")
    assert days.to_pyarrow()["day"].to_pylist() == [
        moment.astimezone(ZoneInfo(zone)).date() for moment in moments
    ]
