"""The offset of a time zone from UTC at any moment, and the local day of a moment, as expressions.

Engines differ in how they convert time zones. Python's `zoneinfo` therefore says once when the offset of a
zone changes, to the second, and the engines only compare and add.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ibis
import ibis.expr.types as ir
import pyarrow as pa

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_SPAN = {"since": pa.timestamp("us", tz="UTC"), "until": pa.timestamp("us", tz="UTC")}
_OFFSETS = pa.schema({"time_zone": pa.string(), **_SPAN, "offset_seconds": pa.int64()})
_DAYS = pa.schema({"day": pa.date32(), **_SPAN})


class OffsetPeriod(NamedTuple):
    """A zone is `seconds` ahead of UTC from `since` (included) until `until` (excluded), both UTC."""

    since: datetime
    until: datetime
    seconds: int


@cache
def offset_periods(zone: ZoneInfo, first: datetime, end: datetime) -> tuple[OffsetPeriod, ...]:
    """The offsets of a zone from `first` (included) until `end` (excluded), oldest first, without a gap."""
    since = moment = first.astimezone(UTC)
    end = end.astimezone(UTC)
    periods = []
    while moment < end:
        next_day = min(moment + _DAY, end)
        if _offset(zone, next_day) != _offset(zone, moment):
            change = _change(zone, moment, next_day)
            periods.append(OffsetPeriod(since, change, _offset(zone, moment)))
            since = change
        moment = next_day
    return (*periods, OffsetPeriod(since, end, _offset(zone, since)))


def local_date(instant: ir.TimestampValue, zone: ZoneInfo, first: date, last: date) -> ir.DateValue:
    """The day in a zone of an instant (UTC, with or without its zone named) between two days."""
    start, end = (datetime.combine(day, datetime.min.time(), UTC) for day in (first, last))
    return _local_date(instant, offset_periods(zone, start - 2 * _DAY, end + 2 * _DAY))


def offset_table(zones: Iterable[str | None], first: datetime, last: datetime) -> ir.Table:
    """The offset from UTC of each zone at every moment from `first` to `last`, as a table to join with.

    Returns:
        `time_zone, since, until, offset_seconds`, as in `OffsetPeriod`. Names that are no time zone are left
        out.
    """
    rows = [
        {"time_zone": name, **dict(zip(_OFFSETS.names[1:], period, strict=True))}
        for name in sorted({name for name in zones if name and _is_known(name)})
        for period in offset_periods(ZoneInfo(name), first, last + _SECOND)
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=_OFFSETS))


def with_offset(rows: ir.Table, offsets: ir.Table, zone: ir.StringValue) -> ir.Table:
    """`rows` with `offset_seconds` at `occurred_at` in the row's `zone`; null where the zone is unknown.

    Args:
        rows: `occurred_at` and others.
        offsets: as `offset_table` makes it.
        zone: the name of each row's zone.
    """
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


def with_local_date(rows: ir.Table, zone: str, first: datetime, last: datetime) -> ir.Table:
    """`rows` with `occurred_on`: the day in a zone at `occurred_at`, a moment from `first` to `last`.

    Most rows are known on the day on which they occurred. To test whether a moment lies within a day takes
    engines a fifth of the time that the day of a moment takes. So only the
    other rows have their day computed.

    Args:
        rows: `occurred_at, known_on` and others.
        zone: the time zone.
        first: no row occurred before.
        last: no row occurred after.
    """
    periods = offset_periods(ZoneInfo(zone), first, last + _SECOND)
    days = ibis.memtable(_whole_days(periods))
    joined = rows.left_join(days, rows.known_on == days.day)
    is_that_day = (joined.occurred_at >= days.since) & (joined.occurred_at < days.until)
    occurred_on = is_that_day.ifelse(joined.known_on, _local_date(joined.occurred_at, periods))
    return joined.select(*rows.columns, occurred_on=occurred_on)


def _local_date(instant: ir.TimestampValue, periods: Sequence[OffsetPeriod]) -> ir.DateValue:
    return (instant + _offset_seconds(instant, periods).as_interval("s")).date()


def _offset_seconds(instant: ir.TimestampValue, periods: Sequence[OffsetPeriod]) -> ir.IntegerValue:
    """The offset at each instant; the oldest one before all periods, the newest one after them."""
    oldest, *later = periods
    seconds = ibis.literal(oldest.seconds)
    if not later:
        return seconds
    # The newest first: of most rows the first comparison decides.
    changes = [(_comparable(period.since, instant), period.seconds) for period in reversed(later)]
    return ibis.cases(*((instant >= since, ahead) for since, ahead in changes), else_=seconds)


def _comparable(moment: datetime, instant: ir.TimestampValue) -> ir.TimestampValue:
    """The moment (UTC) as a literal of the instants' type."""
    kind = instant.type()
    return ibis.literal(moment if kind.timezone else moment.replace(tzinfo=None), kind.copy(nullable=False))


def _is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _whole_days(periods: Sequence[OffsetPeriod]) -> pa.Table:
    """`day, since, until` of the days of a zone on which its offset does not change."""
    rows = []
    for since, until, seconds in periods:
        ahead = timedelta(seconds=seconds)
        start = datetime.combine((since + ahead).date(), datetime.min.time(), UTC) - ahead
        while start + _DAY <= until:
            if start >= since:
                rows.append({"day": (start + ahead).date(), "since": start, "until": start + _DAY})
            start += _DAY
    return pa.Table.from_pylist(rows, schema=_DAYS)


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The second at which the offset changes, between two moments that have different ones."""
    old = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after


def _offset(zone: ZoneInfo, moment: datetime) -> int:
    """How many seconds the zone is ahead of UTC."""
    offset = moment.astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
