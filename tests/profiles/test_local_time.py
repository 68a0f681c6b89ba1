from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.profiles.local_time import offsets, on_the_wall, with_day

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
    found = on_the_wall(table, offsets([*ZONES, None, "Mars/Base"], FIRST, LAST), table.zone)
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
    found = with_day(ibis.memtable(events), zone, FIRST, LAST)
    assert found.order_by("n").occurred_on.to_pyarrow().to_pylist() == days


def test_the_offset_changes_in_the_very_second():
    change = datetime(2017, 3, 26, 1, tzinfo=UTC)
    before = change - timedelta(seconds=1)
    assert seconds(("Europe/Berlin", before), ("Europe/Berlin", change)) == [3600, 7200]


def test_the_ends_count_and_an_unknown_zone_has_no_offset():
    assert seconds(("UTC", FIRST), ("UTC", LAST), ("Mars/Base", FIRST)) == [0, 0, None]
