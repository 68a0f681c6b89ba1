"""Clocks on the wall: the offset from UTC of any time zone at any moment, as a small table to join with.

Engines differ in how they convert time zones, so Python's own zoneinfo says once when each zone changes its
offset.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ibis
import ibis.expr.types as ir
import pyarrow as pa

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_SPAN = {"since": pa.timestamp("us", tz="UTC"), "until": pa.timestamp("us", tz="UTC")}
_OFFSETS = pa.schema({"time_zone": pa.string(), **_SPAN, "offset_seconds": pa.int64()})
_DAYS = pa.schema({"day": pa.date32(), **_SPAN})


def offsets(zones: Iterable[str | None], first: datetime, last: datetime) -> ir.Table:
    """The offset from UTC of each zone at every moment from `first` to `last`.

    Returns:
        `time_zone, since, until, offset_seconds`: the offset holds from `since` (included) until `until`
        (excluded), both UTC. Names that are no time zone are left out.
    """
    rows = [
        {"time_zone": zone, "since": since, "until": until, "offset_seconds": seconds}
        for zone in sorted({zone for zone in zones if zone and _is_known(zone)})
        for since, until, seconds in _stretches(zone, first, last + _SECOND)
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=_OFFSETS))


def _offset_seconds(
    moments: ir.TimestampValue, zone: str, first: datetime, last: datetime
) -> ir.IntegerValue:
    """The offset of a single zone at moments from `first` to `last`, without a join."""
    *early, (_, _, latest) = _stretches(zone, first, last + _SECOND)
    seconds = ibis.literal(latest, "int64")
    return (
        ibis.cases(*((moments < until, found) for _, until, found in early), else_=seconds)
        if early
        else seconds
    )


def with_day(rows: ir.Table, zone: str, first: datetime, last: datetime) -> ir.Table:
    """`rows` with `occurred_on`: the day in a zone at `occurred_at`, a moment from `first` to `last`.

    Most rows are known on the day on which they occurred, and to see whether a moment lies within a day takes
    engines a fifth of the time that it takes them to say which day it is: they say so of the others only.

    Args:
        rows: `occurred_at, known_on` and others.
        zone: the time zone.
        first: no row occurred before.
        last: no row occurred after.
    """
    days = ibis.memtable(_whole_days(zone, first, last))
    shift = _offset_seconds(rows.occurred_at, zone, first, last).as_interval("s")
    both = rows.left_join(days, rows.known_on == days.day)
    that_day = (both.occurred_at >= days.since) & (both.occurred_at < days.until)
    found = that_day.ifelse(both.known_on, (both.occurred_at + shift).date())
    return both.select(*rows.columns, occurred_on=found)


def on_the_wall(rows: ir.Table, offsets: ir.Table, zone: ir.StringValue) -> ir.Table:
    """`rows` with `offset_seconds` at `occurred_at` in the row's `zone`; null where the zone is unknown."""
    rows = rows.mutate(_zone=zone)
    matches = [
        rows._zone == offsets.time_zone,
        rows.occurred_at >= offsets.since,
        rows.occurred_at < offsets.until,
    ]
    return (
        rows.left_join(offsets, matches)
        .select(*[rows[name] for name in rows.columns], offsets.offset_seconds)
        .drop("_zone")
    )


def _is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _whole_days(zone: str, first: datetime, last: datetime) -> pa.Table:
    """`day, since, until` of the days of a zone on which its offset does not change."""
    rows = []
    for since, until, seconds in _stretches(zone, first, last + _SECOND):
        ahead = timedelta(seconds=seconds)
        start = datetime.combine((since + ahead).date(), datetime.min.time(), UTC) - ahead
        while start + _DAY <= until:
            if start >= since:
                rows.append({"day": (start + ahead).date(), "since": start, "until": start + _DAY})
            start += _DAY
    return pa.Table.from_pylist(rows, schema=_DAYS)


@cache
def _stretches(zone: str, first: datetime, end: datetime) -> list[tuple[datetime, datetime, int]]:
    """Stretches of constant offset between two moments."""
    since = at = first.astimezone(UTC)
    end = end.astimezone(UTC)
    found = []
    while at < end:
        following = min(at + _DAY, end)
        if _offset(zone, following) != _offset(zone, at):
            change = _change(zone, at, following)
            found.append((since, change, _offset(zone, at)))
            since = change
        at = following
    return [*found, (since, end, _offset(zone, since))]


def _change(zone: str, before: datetime, after: datetime) -> datetime:
    """The second at which the offset changes, between two moments that have different ones."""
    old = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after


def _offset(zone: str, moment: datetime) -> int:
    found = moment.astimezone(ZoneInfo(zone)).utcoffset()
    return int(found.total_seconds()) if found is not None else 0
