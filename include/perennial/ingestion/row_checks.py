"""What a suite cannot see in one row: is the id repeated, is the item known, did it happen before it landed?

Each answer is a boolean column, computed by the engine, for the suite in `expectations` to judge. Rows that
agree in all that the suite reads share one *pattern*, a whole number: millions of rows make a few dozen
patterns, and the suite judges each once.
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
"""Whether contact data may stand in a text of the row."""
NEEDED_BY_TRADE = ("item_id", "order_id", "quantity", "revenue")
"""Columns that a purchase or a return needs and other events do without."""
ORDERED = (("starts_on", "ends_on"), ("ends_on", "measured_until"))
"""Days of a campaign: none may be before the one beside it."""
ANOTHER = "(another value)"
"""What stands in a pattern for every text outside a closed set."""
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
"""What a contact must look like at least; whether it can be reached is for the channel to find out."""

CONTACT_COLUMNS = tuple(_SHAPES)
REFERRED_TO = frozenset(table for named in _REFERENCES.values() for table in named.values())
"""The tables whose ids other tables may name."""


def refers_to(table: str) -> dict[str, str]:
    """The columns of a table whose values must be known ids → the table that knows them."""
    return _REFERENCES.get(table, {})


def watched(contract: Contract) -> list[str]:
    """The texts in which no contact data may stand: all, but the vault's own."""
    own = CONTACT_COLUMNS if contract.name == contracts.CONTACTS.name else ()
    return [name for name in value_ranges.longest(contract) if name not in own]


def known(column: str) -> str:
    """Name of the column that says whether a reference, if any, was known by the day of landing."""
    return f"{column}_known"


def short(column: str) -> str:
    """Name of the column that says whether a text, if any, is no longer than `limits.longest` allows."""
    return f"{column}_short"


def wellformed(column: str) -> str:
    """Name of the column that says whether a contact, if any, looks like one."""
    return f"{column}_wellformed"


def in_order(column: str) -> str:
    """Name of the column that says whether a day, if any, is not before the one that `ORDERED` names."""
    return f"{column}_in_order"


def add(
    rows: ir.Table, contract: Contract, references: Mapping[str, ir.Table], zone: ZoneInfo, last: date
) -> ir.Table:
    """Rows with the booleans that the table's suite reads, but `UNIQUE`; none of them is null.

    Args:
        rows: as `mapping` makes them.
        contract: the table's.
        references: for each column of `refers_to` the ids it may name: `id`, and `since`, its first day.
        zone: where the shop's days end.
        last: the last day that lands.
    """
    for column in refers_to(contract.name):
        rows = _with_known(rows, column, references[column])
    answers = {
        short(name): rows[name].length() <= most for name, most in value_ranges.longest(contract).items()
    }
    if contract.name in AHEAD_DAYS:
        latest = rows[DAY] + ibis.interval(days=AHEAD_DAYS[contract.name])
        answers[IN_TIME] = happened_on(rows, contract, zone, last) <= latest.cast("date")
    if contract.name == "users":
        strange = rows.consents.filter(lambda channel: ~channel.isin(CHANNELS))
        answers[CONSENTS_ALLOWED] = strange.length() == 0
        answers[ZONE_KNOWN] = rows.time_zone.isin(sorted(available_timezones()))
    if contract.name == "contacts":
        answers |= {wellformed(name): rows[name].re_search(shape) for name, shape in _SHAPES.items()}
        answers[REACHABLE] = reduce(or_, (rows[given(name)] for name in _SHAPES))
    if contract.name == "campaigns":
        answers |= {in_order(later): rows[later] >= rows[earlier] for earlier, later in ORDERED}
    return rows.mutate(**{name: ibis.coalesce(answer, True) for name, answer in answers.items()})


@dataclass(frozen=True)
class Sign:
    """One thing that is read off a row, as a digit of its pattern: the values it may have."""

    name: str
    values: Sequence[object] = (False, True)


def signs(contract: Contract, nulls: Iterable[str]) -> list[Sign]:
    """Everything that is read off a row of the table, but `UNIQUE`.

    Args:
        contract: the table's.
        nulls: columns whose empty places a table rule counts.
    """
    name, columns = contract.name, delivered(contract)
    texts = [column for column in columns if contract.schema.field(column).type == contracts.TEXT]
    needed = [column for column in columns if column in contract.required]
    needed += [column for column in NEEDED_BY_TRADE if name == "events"]
    answers = [
        *(given(column) for column in dict.fromkeys([*needed, *nulls])),
        *(readable(column) for column in columns if column not in texts),
        *(short(column) for column in value_ranges.longest(contract)),
        *(known(column) for column in refers_to(name)),
        *((IN_TIME,) if name in AHEAD_DAYS else ()),
        *((CONSENTS_ALLOWED, ZONE_KNOWN) if name == "users" else ()),
        *((*map(wellformed, _SHAPES), REACHABLE) if name == "contacts" else ()),
        *((in_order(later) for _, later in ORDERED) if name == "campaigns" else ()),
        SUSPECT,
    ]
    closed = {column: contract.allowed(column) for column in texts if contract.allowed(column)}
    cuts = value_ranges.cut_points(contract)
    return [
        *(Sign(answer) for answer in answers),
        *(Sign(column, (None, *allowed, ANOTHER)) for column, allowed in closed.items()),
        *(Sign(column, (None, *value_ranges.representatives(found))) for column, found in cuts.items()),
    ]


def look(
    rows: ir.Table, read_off: Sequence[Sign], contract: Contract, zone: ZoneInfo, last: date
) -> ir.Table:
    """One look at each row: `_at`, `_day`, `pattern` (without `UNIQUE`), `_hash` of its id, `_happened`.

    Args:
        rows: as `add` makes them.
        read_off: as `signs` makes them.
        contract: the table's.
        zone: where the shop's days end.
        last: the last day that lands.
    """
    identity = _identity(contract)
    key = rows[identity[0]] if len(identity) == 1 else ibis.struct({name: rows[name] for name in identity})
    whole = reduce(and_, (rows[name].notnull() for name in identity if name in contract.required))
    happened = happened_on(rows, contract, zone, last) if contract.name in OCCURRENCE else ibis.null("date")
    return rows.select(
        AT,
        DAY,
        **{PATTERN: _pattern(rows, read_off, contract)},
        _hash=ibis.ifelse(whole, key.hash(), ibis.null("int64")),
        _happened=happened,
    )


def settle(
    looked: ir.Table, rows: ir.Table, read_off: Sequence[Sign], contract: Contract, held: ExitStack
) -> ir.Table:
    """What `look` saw, with `UNIQUE` in the pattern: false where the id came before in that day's landing.

    Before is by file and line. Hashes are compared first: they are small, and few rows if any share one.
    """
    weight = _weight(read_off)
    named = looked.filter(looked._hash.notnull())
    counted = named.group_by("_hash", DAY).agg(_rows=named.count())
    twice = held.enter_context(engine.kept(counted.filter(counted._rows > 1).drop("_rows")))
    if not twice.count().to_pyarrow().as_py():
        return looked.select(AT, DAY, "_happened", **{PATTERN: looked[PATTERN] + weight})
    suspects = held.enter_context(engine.kept(looked.semi_join(twice, ["_hash", DAY]).select(AT)))
    alike = rows.semi_join(suspects, AT).select(AT, DAY, *_identity(contract))
    order = ibis.window(
        group_by=[alike[DAY], *(alike[name] for name in _identity(contract))], order_by=alike[AT]
    )
    ranked = alike.mutate(_rank=ibis.row_number().over(order))
    repeats = ranked.filter(ranked._rank > 0).select(AT, _repeated=True)
    marked = looked.left_join(held.enter_context(engine.kept(repeats)), AT)
    unique = marked[PATTERN] + ibis.ifelse(marked._repeated.isnull(), weight, 0)
    return marked.select(AT, DAY, "_happened", **{PATTERN: unique})


def patterns(numbers: Sequence[int], read_off: Sequence[Sign]) -> pd.DataFrame:
    """What was read off, a row for each pattern: the signs, `UNIQUE`, and `pattern` itself."""
    rest = pd.Series(numbers, dtype="int64")
    columns: dict[str, pd.Series] = {PATTERN: rest}
    for sign in (*read_off, Sign(UNIQUE)):
        digits = rest % len(sign.values)
        kind = "boolean" if sign.values == (False, True) else "object"
        columns[sign.name] = pd.Series([sign.values[digit] for digit in digits], dtype=kind)
        rest = rest // len(sign.values)
    return pd.DataFrame(columns).infer_objects()


def _identity(contract: Contract) -> list[str]:
    return [column for column in contract.key if column != contract.partition]


def _pattern(rows: ir.Table, read_off: Sequence[Sign], contract: Contract) -> ir.IntegerValue:
    if 2 * _weight(read_off) >= 2**63:
        raise OverflowError(f"{contract.name}: more is read off its rows than a pattern can hold")
    total: ir.IntegerValue = ibis.literal(0, "int64")
    weight = 1
    for sign in read_off:
        total = total + _digit(rows, sign, contract).cast("int64") * weight
        weight *= len(sign.values)
    return total


def _weight(read_off: Sequence[Sign]) -> int:
    return prod(len(sign.values) for sign in read_off)


def _digit(rows: ir.Table, sign: Sign, contract: Contract) -> ir.IntegerValue:
    """The place of what is read off among the values that the sign may have."""
    if sign.name == SUSPECT:
        found = reduce(or_, (masking.suspects(rows[column]).fill_null(False) for column in watched(contract)))
        return found.cast("int8")
    value = rows[sign.name]
    if value.type().is_boolean():
        return value.cast("int8")
    if value.type().is_string():
        cases = [(value == found, place) for place, found in enumerate(sign.values) if place]
        return ibis.cases((value.isnull(), 0), *cases[:-1], else_=len(cases))
    place = value_ranges.place(value, value_ranges.cut_points(contract)[sign.name])
    return ibis.ifelse(value.isnull(), 0, place + 1)


def _with_known(rows: ir.Table, column: str, reference: ir.Table) -> ir.Table:
    ids = reference.select(_id="id", _since="since")
    found = rows.left_join(ids, rows[column] == ids._id)
    answer = ibis.coalesce(found._since <= found[DAY], False) | found[column].isnull()
    return found.mutate(**{known(column): answer}).drop("_id", "_since")
