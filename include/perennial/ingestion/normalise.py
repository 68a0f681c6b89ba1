"""Raw columns → the contract's types.

A value that is there and cannot be read is no crash: it becomes null and is marked. Spaces around text
are cut and blank text counts as missing. A time without an offset is taken as UTC. Several values in one
text (the consents of a customer) are separated by `|`.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from perennial.foundation.contracts import Contract
from perennial.ingestion.declarations import OCCURRENCE, delivered
from perennial.ingestion.sources import AT, DAY

_EARLIEST, _LATEST = date(1900, 1, 1), date(2199, 12, 31)
"""What lies outside is a slip of the pen, and more than most date types can hold."""


def given(column: str) -> str:
    """Name of the column that says whether the file had a value there."""
    return f"{column}_given"


def readable(column: str) -> str:
    """Name of the column that says whether that value, if any, could be read as the contract's type."""
    return f"{column}_readable"


def normalise(raw: ir.Table, contract: Contract, columns: Mapping[str, str]) -> ir.Table:
    """The contract's delivered columns in its types, with `_at` and `_day`.

    Args:
        raw: rows as `sources.read` gives them.
        contract: what they are to become.
        columns: contract column → column in the files, where the names differ.

    Returns:
        For each contract column also `<column>_given` and `<column>_readable`, boolean and never null.
    """
    made: dict[str, ir.Value] = {AT: raw[AT], DAY: raw[DAY]}
    wanted = ibis.Schema.from_pyarrow(contract.schema)
    for name in delivered(contract):
        found = columns.get(name, name)
        kind = wanted[name].copy(nullable=True)
        value = _trimmed(raw[found]) if found in raw.columns else ibis.null(kind)
        read = _read(value, kind)
        made[name] = read
        made[given(name)] = ibis.literal(True) if kind.is_array() else value.notnull()
        made[readable(name)] = ibis.literal(True) if value is read else value.isnull() | read.notnull()
    return raw.select(**made)


def stamp(rows: ir.Table, contract: Contract, zone: ZoneInfo, last: date, lag_days: int | None) -> ir.Table:
    """Add the day of landing (the contract's partition column) and `known_on`.

    With a lag (a load declared history) a row counts as known from the day it happened plus the lag, at the
    latest from the day it landed; without one, from the day it landed. `last` is the last day that lands.
    """
    known_on = rows[DAY]
    if lag_days is not None:
        happened = happened_on(rows, contract, zone, last)
        known_on = ibis.least(
            rows[DAY], ibis.coalesce((happened + ibis.interval(days=lag_days)).cast("date"), rows[DAY])
        )
    return rows.mutate(**{contract.partition or DAY: rows[DAY]}, known_on=known_on)


def happened_on(rows: ir.Table, contract: Contract, zone: ZoneInfo, last: date) -> ir.DateValue:
    """The day, by the shop's clock, on which each row happened; null where the row does not say."""
    happened = rows[OCCURRENCE[contract.name]]
    return _local_date(happened, zone, last) if happened.type().is_timestamp() else happened


def _trimmed(value: ir.Value) -> ir.Value:
    return value.strip().nullif("") if value.type().is_string() else value


def _read(value: ir.Value, kind: dt.DataType) -> ir.Value:
    """The value as the contract's type; null where it is none, itself where it is that type already."""
    if value.type().is_floating():
        # Asked first: DuckDB takes a cast of NaN for a success where a file's statistics leave NaN out.
        value = ibis.ifelse(value.isnan() | value.isinf(), ibis.null(value.type()), value)
    found = value.type().copy(nullable=True)
    if kind.is_array():
        return _read_list(value, kind)
    if kind.is_date() or kind.is_timestamp():
        return _within_reach(value.try_cast(kind), kind)
    if found == kind:
        return value
    if kind.is_integer() and not found.is_integer():
        whole = value.try_cast(kind)
        return ibis.ifelse(value.try_cast("float64") == whole, whole, ibis.null(kind))
    if kind.is_floating():
        number = value.try_cast(kind)
        return ibis.ifelse(number.isnan() | number.isinf(), ibis.null(kind), number)
    return value.try_cast(kind)


def _read_list(value: ir.Value, kind: dt.DataType) -> ir.Value:
    """A list, or a text that `|` separates; nothing at all is the empty list."""
    empty = ibis.literal([], kind)
    if value.type().is_string():
        parts = value.split("|").map(lambda part: part.strip()).filter(lambda part: part != "")
        return ibis.coalesce(parts, empty)
    listed = value.try_cast(kind)
    return ibis.ifelse(value.isnull(), empty, listed)


def _within_reach(moment: ir.Value, kind: dt.DataType) -> ir.Value:
    first: date = _EARLIEST
    last: date = _LATEST
    if kind.is_timestamp():
        first, last = (datetime.combine(day, time(), UTC) for day in (first, last))
    reach = moment.between(ibis.literal(first, kind), ibis.literal(last, kind))
    return ibis.ifelse(reach, moment, ibis.null(kind))


def _local_date(instant: ir.TimestampValue, zone: ZoneInfo, last: date) -> ir.DateValue:
    """The calendar day of an instant in a time zone, by the zone's list of clock changes up to `last`."""
    changes = _clock_changes(zone, last)
    offset = ibis.literal(changes[-1][1])
    if len(changes) > 1:
        newest_first = [
            (instant >= ibis.literal(start, instant.type()), seconds) for start, seconds in changes[:-1]
        ]
        offset = ibis.cases(*newest_first, else_=offset)
    return (instant + offset.as_interval("s")).date()


def _clock_changes(zone: ZoneInfo, last: date) -> list[tuple[datetime, int]]:
    """(from when on, offset from UTC in seconds), newest first; the oldest holds for everything before."""
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    end = datetime.combine(last, time(), UTC) + timedelta(days=2)
    changes = [(moment, _offset(zone, moment))]
    while moment < end:
        following = moment + timedelta(days=1)
        if _offset(zone, following) != changes[-1][1]:
            changes.append((_change_between(zone, moment, following), _offset(zone, following)))
        moment = following
    return changes[::-1]


def _change_between(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    old = _offset(zone, before)
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        middle = middle.replace(microsecond=0)
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after


def _offset(zone: ZoneInfo, moment: datetime) -> int:
    return int(moment.astimezone(zone).utcoffset().total_seconds())  # type: ignore[union-attr]
