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

_SCHEMA = pa.schema(
    [
        pa.field("time_zone", pa.string()),
        pa.field("since", pa.timestamp("us", tz="UTC")),
        pa.field("until", pa.timestamp("us", tz="UTC")),
        pa.field("offset_seconds", pa.int64()),
    ]
)


def offsets(zones: Iterable[str | None], first: datetime, last: datetime) -> ir.Table:
    """The offset from UTC of each zone at every moment from `first` to `last`.

    Returns:
        `time_zone, since, until, offset_seconds`: the offset holds from `since` (included) until `until`
        (excluded), both UTC. Names that are no time zone are left out.
    """
    rows = [
        {"time_zone": zone, "since": since, "until": until, "offset_seconds": seconds}
        for zone in sorted({zone for zone in zones if zone and _is_known(zone)})
        for since, until, seconds in _stretches(zone, first, last + timedelta(seconds=1))
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=_SCHEMA))


def offset_seconds(moments: ir.TimestampValue, zone: str, first: datetime, last: datetime) -> ir.IntegerValue:
    """The offset of a single zone at moments from `first` to `last`, without a join."""
    *early, (_, _, latest) = _stretches(zone, first, last + timedelta(seconds=1))
    seconds = ibis.literal(latest, "int64")
    return (
        ibis.cases(*((moments < until, found) for _, until, found in early), else_=seconds)
        if early
        else seconds
    )


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


@cache
def _stretches(zone: str, first: datetime, end: datetime) -> list[tuple[datetime, datetime, int]]:
    """Stretches of constant offset between two moments."""
    since = at = first.astimezone(UTC)
    end = end.astimezone(UTC)
    found = []
    while at < end:
        following = min(at + timedelta(days=1), end)
        if _offset(zone, following) != _offset(zone, at):
            change = _change(zone, at, following)
            found.append((since, change, _offset(zone, at)))
            since = change
        at = following
    return [*found, (since, end, _offset(zone, since))]


def _change(zone: str, before: datetime, after: datetime) -> datetime:
    """The second at which the offset changes, between two moments that have different ones."""
    old = _offset(zone, before)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after


def _offset(zone: str, moment: datetime) -> int:
    found = moment.astimezone(ZoneInfo(zone)).utcoffset()
    return int(found.total_seconds()) if found is not None else 0
