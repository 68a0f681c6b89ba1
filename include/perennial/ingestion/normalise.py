"""Values as sources write them → the contract's types; and when a row happened and became known.

A value that is there and cannot be read is no crash: it becomes null and is marked. Spaces around text
are cut and blank text counts as missing. A time without an offset is taken as UTC. Several values in one
text (the consents of a customer) are separated by `|`.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from itertools import pairwise
from operator import or_
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from perennial.foundation import engine
from perennial.foundation.contracts import Contract
from perennial.foundation.time_zones import local_date, offset_periods
from perennial.ingestion.source_settings import OCCURRENCE, Source
from perennial.ingestion.sources import DAY

_SPACES = (" ", "\t", "\n", "\r")
_OFFSET = r"(Z|[+-]\d\d:?\d\d)$"

_FIRST_CHANGES = date(1970, 1, 1)
"""Clock changes are known from this day on."""

_EARLIEST, _LATEST = date(1900, 1, 1), date(2199, 12, 31)
"""What lies outside is a slip of the pen, and more than most date types can hold."""


def given(column: str) -> str:
    """Name of the column that says whether the file had a value there."""
    return f"{column}_given"


def readable(column: str) -> str:
    """Name of the column that says whether that value, if any, could be read as the contract's type."""
    return f"{column}_readable"


@dataclass(frozen=True)
class Wording:
    """How a source writes its values.

    Args:
        zone: of times that name no offset.
        last: the last day that lands; clock changes are known up to it.
        dates: formats of strftime, tried in turn before ISO.
        decimal: what stands before the fraction of a number.
        thousands: what stands between groups of digits; empty for nothing.
    """

    zone: ZoneInfo
    last: date
    dates: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""

    @classmethod
    def of(cls, source: Source, last: date) -> "Wording":
        """As the source declares it."""
        return cls(ZoneInfo(source.time_zone), last, source.dates, source.decimal, source.thousands)


def read(value: ir.Value, kind: dt.DataType, wording: Wording) -> ir.Value:
    """The value as a type of the contract; null where it is none, itself where it is that type already.

    Instants come as times without a zone, in UTC: engines calculate with these many times faster.
    """
    if value.type().is_floating():
        # Asked first: DuckDB takes a cast of NaN for a success where a file's statistics leave NaN out.
        value = ibis.ifelse(value.isnan() | value.isinf(), ibis.null(value.type()), value)
    if kind.is_array():
        return _read_list(value, kind)
    if kind.is_timestamp():
        return _within_reach(_instant(value, kind, wording), dt.timestamp)
    if kind.is_date():
        return _within_reach(_date(value, kind, wording), kind)
    if value.type().copy(nullable=True) == kind:
        return value
    if kind.is_numeric() and value.type().is_string():
        value = _plain_number(value, wording)
    if kind.is_integer() and not value.type().is_integer():
        whole = value.try_cast(kind)
        return ibis.ifelse(value.try_cast("float64") == whole, whole, ibis.null(kind))
    if kind.is_floating():
        number = value.try_cast(kind)
        return ibis.ifelse(number.isnan() | number.isinf(), ibis.null(kind), number)
    return value.try_cast(kind)


def trimmed(value: ir.Value) -> ir.Value:
    """Text without the spaces around it; blank text is missing."""
    if not value.type().is_string():
        return value
    # Asked first, because it is cheap: whatever is empty or begins with a space sorts before "!".
    blank = (value < "!") | reduce(or_, (value.endswith(space) for space in _SPACES))
    return ibis.ifelse(blank, value.strip().nullif(""), value)


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
    return local_date(happened, zone, _FIRST_CHANGES, last) if happened.type().is_timestamp() else happened


def _plain_number(text: ir.StringValue, wording: Wording) -> ir.StringValue:
    """A number as engines write it; where another decimal mark is declared, a dot is none."""
    if wording.thousands:
        # Only between groups of three: else 12.50 would be read as 1250 where a dot stands for thousands.
        mark, decimal = re.escape(wording.thousands), re.escape(wording.decimal)
        grouped = text.re_search(rf"^[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+({decimal}[0-9]*)?$")
        text = ibis.ifelse(grouped, text.replace(wording.thousands, ""), text)
    if wording.decimal != ".":
        text = text.replace(".", "?").replace(wording.decimal, ".")
    return text


def _date(value: ir.Value, kind: dt.DataType, wording: Wording) -> ir.DateValue:
    if not value.type().is_string():
        return value.try_cast(kind)
    formats = [engine.parse_time(value, found).date() for found in wording.dates]
    return ibis.coalesce(*formats, value.try_cast("timestamp").date())


def _instant(value: ir.Value, kind: dt.DataType, wording: Wording) -> ir.TimestampValue:
    found = value.type()
    if found.is_timestamp() and found.timezone is not None:
        return value.cast(dt.timestamp)
    if not found.is_string():
        return _to_utc(value.try_cast(dt.timestamp), wording)
    local = [engine.parse_time(value, form) for form in wording.dates]
    if wording.zone.key == "UTC":
        return ibis.coalesce(*local, value.try_cast(kind).cast(dt.timestamp))
    offset = value.re_search(_OFFSET)
    local.append(ibis.ifelse(offset, ibis.null(dt.timestamp), value.try_cast(dt.timestamp)))
    with_offset = ibis.ifelse(offset, value, ibis.null("string")).try_cast(kind).cast(dt.timestamp)
    return ibis.coalesce(with_offset, _to_utc(ibis.coalesce(*local), wording))


def _to_utc(local: ir.TimestampValue, wording: Wording) -> ir.TimestampValue:
    """The instant at which clocks of the zone show a time: of two the earlier, in a gap by the old offset."""
    if wording.zone.key == "UTC":
        return local
    changes = _clock_changes(wording.zone, wording.last)
    offset = ibis.literal(changes[-1][1])
    later = []
    for (start, seconds), (_, before) in pairwise(changes):
        shown = (start + timedelta(seconds=max(before, seconds))).replace(tzinfo=None)
        later.append((local >= ibis.literal(shown, local.type()), seconds))
    if later:
        offset = ibis.cases(*later, else_=offset)
    return local - offset.as_interval("s")


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
        first, last = (datetime.combine(day, time()) for day in (first, last))
    reach = moment.between(ibis.literal(first, kind), ibis.literal(last, kind))
    return ibis.ifelse(reach, moment, ibis.null(kind))


def _clock_changes(zone: ZoneInfo, last: date) -> list[tuple[datetime, int]]:
    """(from when on, offset from UTC in seconds), newest first; the oldest holds for everything before."""
    end = datetime.combine(last, time(), UTC) + timedelta(days=2)
    periods = offset_periods(zone, datetime.combine(_FIRST_CHANGES, time(), UTC), end)
    return [(period.since, period.seconds) for period in reversed(periods)]
