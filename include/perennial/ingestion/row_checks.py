"""Checks that need more than the row: is the id repeated, is the item known, did it happen before it landed?

Each check is a boolean column that the engine computes; the table's row suite reads it. Rows that are equal
in all that the suite reads share one *pattern*, a whole number. Millions of rows have a few dozen patterns,
and the suite judges each pattern once.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import reduce
from math import prod
from operator import and_, or_
from zoneinfo import ZoneInfo, available_timezones

import ibis
import ibis.expr.types as ir
import pandas as pd

from perennial.foundation import contracts, engine, masking
from perennial.foundation.contracts import CHANNELS, Contract
from perennial.ingestion import value_ranges
from perennial.ingestion.normalise import given, happened_on, readable
from perennial.ingestion.source_settings import AHEAD_DAYS, OCCURRENCE, delivered
from perennial.ingestion.sources import AT, DAY

PATTERN = "pattern"
UNIQUE = "unique"
IN_TIME = "in_time"
CONSENTS_ALLOWED = "consents_allowed"
ZONE_KNOWN = "time_zone_known"
REACHABLE = "reachable"
SUSPECT = "suspect"
"""Whether a text of the row may contain contact data."""
REQUIRED_FOR_TRADE = ("item_id", "order_id", "quantity", "revenue")
"""Columns that only a purchase or a return must have."""
DAYS_IN_ORDER = (("starts_on", "ends_on"), ("ends_on", "measured_until"))
"""Days of a campaign, (earlier, later): the later must not be before the earlier."""
OTHER_VALUE = "(another value)"
"""Stands in a pattern for every text outside a closed set of values."""
_REFERENCES = {
    "promotions": {"item_id": "items"},
    "contacts": {"customer_id": "users"},
    "events": {"customer_id": "users", "item_id": "items"},
    "assignments": {"customer_id": "users", "campaign_id": "campaigns"},
}
_SHAPES = {
    "email": r"^[^@\s]+@[^@\s]+\.[^@\s.]+$",
    "phone": r"^\+[1-9][0-9 ()./-]{6,20}$",
    "push_token": r"^\S{16,1000}$",
}
"""The form that a contact must have. Whether it can be reached, only the channel finds out."""

CONTACT_COLUMNS = tuple(_SHAPES)
REFERRED_TO = frozenset(table for columns in _REFERENCES.values() for table in columns.values())
"""The tables that other tables refer to by id."""


def refers_to(table: str) -> dict[str, str]:
    """Column that must contain known ids → the table of these ids."""
    return _REFERENCES.get(table, {})


def texts_without_contacts(contract: Contract) -> list[str]:
    """The text columns that must not contain contact data: all but the contact columns of the vault."""
    own = CONTACT_COLUMNS if contract.name == contracts.CONTACTS.name else ()
    return [name for name in value_ranges.longest_texts(contract) if name not in own]


def known(column: str) -> str:
    """Name of the column that says whether an id, if any, was known on the day of landing."""
    return f"{column}_known"


def short(column: str) -> str:
    """Name of the column that says whether a text, if any, is short enough for `longest_texts`."""
    return f"{column}_short"


def wellformed(column: str) -> str:
    """Name of the column that says whether a contact, if any, has the right form."""
    return f"{column}_wellformed"


def in_order(column: str) -> str:
    """Name of the column that says whether a day, if any, follows its earlier day in `DAYS_IN_ORDER`."""
    return f"{column}_in_order"


def with_checks(
    rows: ir.Table, contract: Contract, references: Mapping[str, ir.Table], zone: ZoneInfo, last: date
) -> ir.Table:
    """The rows with the booleans that the table's suite reads, except `UNIQUE`; none of them is null.

    Args:
        rows: as `mapping` makes them.
        contract: the table's contract.
        references: column of `refers_to` → the allowed ids: `id`, and `since`, its first day.
        zone: the shop's time zone.
        last: the last day that lands.
    """
    for column in refers_to(contract.name):
        rows = _with_known(rows, column, references[column])
    checks = {
        short(name): rows[name].length() <= most
        for name, most in value_ranges.longest_texts(contract).items()
    }
    if contract.name in AHEAD_DAYS:
        latest = rows[DAY] + ibis.interval(days=AHEAD_DAYS[contract.name])
        checks[IN_TIME] = happened_on(rows, contract, zone, last) <= latest.cast("date")
    if contract.name == "users":
        unknown_channels = rows.consents.filter(lambda channel: ~channel.isin(CHANNELS))
        checks[CONSENTS_ALLOWED] = unknown_channels.length() == 0
        checks[ZONE_KNOWN] = rows.time_zone.isin(sorted(available_timezones()))
    if contract.name == "contacts":
        checks |= {wellformed(name): rows[name].re_search(shape) for name, shape in _SHAPES.items()}
        checks[REACHABLE] = reduce(or_, (rows[given(name)] for name in _SHAPES))
    if contract.name == "campaigns":
        checks |= {in_order(later): rows[later] >= rows[earlier] for earlier, later in DAYS_IN_ORDER}
    return rows.mutate(**{name: ibis.coalesce(check, True) for name, check in checks.items()})


@dataclass(frozen=True)
class PatternDigit:
    """One column of the checked rows as a digit of the pattern; `values` are those that it may have."""

    name: str
    values: Sequence[object] = (False, True)


def pattern_digits(contract: Contract, nulls: Iterable[str]) -> list[PatternDigit]:
    """The digits of the table's patterns, except `UNIQUE`.

    Args:
        contract: the table's contract.
        nulls: columns whose nulls a landing rule counts.
    """
    name, columns = contract.name, delivered(contract)
    texts = [column for column in columns if contract.schema.field(column).type == contracts.TEXT]
    required = [column for column in columns if column in contract.required]
    required += [column for column in REQUIRED_FOR_TRADE if name == "events"]
    checks = [
        *(given(column) for column in dict.fromkeys([*required, *nulls])),
        *(readable(column) for column in columns if column not in texts),
        *(short(column) for column in value_ranges.longest_texts(contract)),
        *(known(column) for column in refers_to(name)),
        *((IN_TIME,) if name in AHEAD_DAYS else ()),
        *((CONSENTS_ALLOWED, ZONE_KNOWN) if name == "users" else ()),
        *((*map(wellformed, _SHAPES), REACHABLE) if name == "contacts" else ()),
        *((in_order(later) for _, later in DAYS_IN_ORDER) if name == "campaigns" else ()),
        SUSPECT,
    ]
    closed = {column: contract.allowed(column) for column in texts if contract.allowed(column)}
    cuts = value_ranges.cut_points(contract)
    return [
        *(PatternDigit(check) for check in checks),
        *(PatternDigit(column, (None, *allowed, OTHER_VALUE)) for column, allowed in closed.items()),
        *(
            PatternDigit(column, (None, *value_ranges.representatives(limits)))
            for column, limits in cuts.items()
        ),
    ]


def with_pattern(
    rows: ir.Table, digits: Sequence[PatternDigit], contract: Contract, zone: ZoneInfo, last: date
) -> ir.Table:
    """`_at`, `_day`, `pattern` (without `UNIQUE`), `_hash` of the id and `_happened` of each row.

    Args:
        rows: as `with_checks` makes them.
        digits: as `pattern_digits` makes them.
        contract: the table's contract.
        zone: the shop's time zone.
        last: the last day that lands.
    """
    identity = _identity(contract)
    key = rows[identity[0]] if len(identity) == 1 else ibis.struct({name: rows[name] for name in identity})
    whole = reduce(and_, (rows[name].notnull() for name in identity if name in contract.required))
    happened = happened_on(rows, contract, zone, last) if contract.name in OCCURRENCE else ibis.null("date")
    return rows.select(
        AT,
        DAY,
        **{PATTERN: _pattern(rows, digits, contract)},
        _hash=ibis.ifelse(whole, key.hash(), ibis.null("int64")),
        _happened=happened,
    )


def with_uniqueness(
    computed: ir.Table, rows: ir.Table, digits: Sequence[PatternDigit], contract: Contract, stack: ExitStack
) -> ir.Table:
    """The rows of `with_pattern`, with `UNIQUE` in the pattern: false where the id came before on that day.

    The order is by file and line. Hashes are compared first: they are small, and few rows share one.
    """
    weight = _weight(digits)
    with_id = computed.filter(computed._hash.notnull())
    counted = with_id.group_by("_hash", DAY).agg(_rows=with_id.count())
    repeated = stack.enter_context(engine.kept(counted.filter(counted._rows > 1).drop("_rows")))
    if not repeated.count().to_pyarrow().as_py():
        return computed.select(AT, DAY, "_happened", **{PATTERN: computed[PATTERN] + weight})
    suspects = stack.enter_context(engine.kept(computed.semi_join(repeated, ["_hash", DAY]).select(AT)))
    alike = rows.semi_join(suspects, AT).select(AT, DAY, *_identity(contract))
    order = ibis.window(
        group_by=[alike[DAY], *(alike[name] for name in _identity(contract))], order_by=alike[AT]
    )
    ranked = alike.mutate(_rank=ibis.row_number().over(order))
    repeats = ranked.filter(ranked._rank > 0).select(AT, _repeated=True)
    marked = computed.left_join(stack.enter_context(engine.kept(repeats)), AT)
    unique = marked[PATTERN] + ibis.ifelse(marked._repeated.isnull(), weight, 0)
    return marked.select(AT, DAY, "_happened", **{PATTERN: unique})


def decoded(numbers: Sequence[int], digits: Sequence[PatternDigit]) -> pd.DataFrame:
    """One row for each pattern: the value of each digit, `UNIQUE`, and `pattern` itself."""
    rest = pd.Series(numbers, dtype="int64")
    columns: dict[str, pd.Series] = {PATTERN: rest}
    for digit in (*digits, PatternDigit(UNIQUE)):
        places = rest % len(digit.values)
        kind = "boolean" if digit.values == (False, True) else "object"
        columns[digit.name] = pd.Series([digit.values[place] for place in places], dtype=kind)
        rest = rest // len(digit.values)
    return pd.DataFrame(columns).infer_objects()


def _identity(contract: Contract) -> list[str]:
    return [column for column in contract.key if column != contract.partition]


def _pattern(rows: ir.Table, digits: Sequence[PatternDigit], contract: Contract) -> ir.IntegerValue:
    if 2 * _weight(digits) >= 2**63:
        raise OverflowError(
            f"{contract.name}: its rules read more values than a pattern can hold: allowed are 2**63"
        )
    total: ir.IntegerValue = ibis.literal(0, "int64")
    weight = 1
    for digit in digits:
        total = total + _place(rows, digit, contract).cast("int64") * weight
        weight *= len(digit.values)
    return total


def _weight(digits: Sequence[PatternDigit]) -> int:
    return prod(len(digit.values) for digit in digits)


def _place(rows: ir.Table, digit: PatternDigit, contract: Contract) -> ir.IntegerValue:
    """The index of the row's value among the values of the digit."""
    if digit.name == SUSPECT:
        suspect = reduce(
            or_,
            (masking.suspects(rows[column]).fill_null(False) for column in texts_without_contacts(contract)),
        )
        return suspect.cast("int8")
    value = rows[digit.name]
    if value.type().is_boolean():
        return value.cast("int8")
    if value.type().is_string():
        cases = [(value == allowed, place) for place, allowed in enumerate(digit.values) if place]
        return ibis.cases((value.isnull(), 0), *cases[:-1], else_=len(cases))
    place = value_ranges.place(value, value_ranges.cut_points(contract)[digit.name])
    return ibis.ifelse(value.isnull(), 0, place + 1)


def _with_known(rows: ir.Table, column: str, reference: ir.Table) -> ir.Table:
    ids = reference.select(_id="id", _since="since")
    joined = rows.left_join(ids, rows[column] == ids._id)
    is_known = ibis.coalesce(joined._since <= joined[DAY], False) | joined[column].isnull()
    return joined.mutate(**{known(column): is_known}).drop("_id", "_since")
