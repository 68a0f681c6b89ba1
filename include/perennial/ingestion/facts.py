"""What a suite cannot see in one row: is the id repeated, is the item known, did it happen before it landed?

Each answer is a boolean column, computed by the engine, for the suite in `expectations` to judge. Rows that
agree in all that the suite reads share one *pattern*, a whole number: millions of rows make a few dozen
patterns, and the suite judges each once.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_
from zoneinfo import ZoneInfo, available_timezones

import ibis
import ibis.expr.types as ir
import pandas as pd

from perennial.foundation import contracts, engine
from perennial.foundation.contracts import CHANNELS, Contract
from perennial.ingestion import limits
from perennial.ingestion.declarations import delivered
from perennial.ingestion.normalise import given, happened_on, readable
from perennial.ingestion.sources import AT, DAY

PATTERN = "pattern"
UNIQUE = "unique"
IN_TIME = "in_time"
CONSENTS_ALLOWED = "consents_allowed"
ZONE_KNOWN = "time_zone_known"
REACHABLE = "reachable"
NEEDED_BY_TRADE = ("item_id", "order_id", "quantity", "revenue")
"""Columns that a purchase or a return needs and other events do without."""
AHEAD_DAYS = {"users": 0, "assignments": 0, "events": 0, "promotions": 366, "campaigns": 3 * 366}
"""How many days after its landing a row may happen: what is past not at all, what is announced some."""
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
    answers = {short(name): rows[name].length() <= most for name, most in limits.longest(contract).items()}
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


def repeated(rows: ir.Table, contract: Contract, held: ExitStack) -> ir.Table:
    """`_at` of every row whose id came before, by file and line, in the same day's landing."""
    identity = [column for column in contract.key if column != contract.partition]
    whole = rows.filter(*(rows[column].notnull() for column in identity if column in contract.required))
    # Hashes first: they are small, and few rows if any share one.
    key = whole[identity[0]] if len(identity) == 1 else ibis.struct({name: whole[name] for name in identity})
    hashed = whole.select(AT, DAY, *identity, _hash=key.hash())
    counted = hashed.group_by("_hash", DAY).agg(_rows=hashed.count())
    twice = held.enter_context(engine.kept(counted.filter(counted._rows > 1).drop("_rows")))
    if not twice.count().to_pyarrow().as_py():
        return twice.select(**{AT: twice["_hash"].cast("int64")})
    suspect = hashed.semi_join(twice, ["_hash", DAY])
    alike = ibis.window(group_by=[suspect[DAY], *(suspect[name] for name in identity)], order_by=suspect[AT])
    ranked = suspect.mutate(_rank=ibis.row_number().over(alike))
    return held.enter_context(engine.kept(ranked.filter(ranked._rank > 0).select(AT)))


@dataclass(frozen=True)
class _Sign:
    """One thing the suite reads, as a digit of the pattern: the values it may have."""

    name: str
    values: Sequence[object]


def judged(rows: ir.Table, repeats: ir.Table, contract: Contract) -> ir.Table:
    """`_at`, `_day` and `pattern` of each row.

    Args:
        rows: as `add` makes them.
        repeats: as `repeated` makes them.
        contract: the table's.
    """
    marked = rows.left_join(repeats.mutate(_repeated=True), AT)
    marked = marked.mutate(**{UNIQUE: marked._repeated.isnull()})
    total: ir.IntegerValue = ibis.literal(0, "int64")
    weight = 1
    for sign in _signs(contract):
        total = total + _digit(marked[sign.name], sign, contract).cast("int64") * weight
        weight *= len(sign.values)
    if weight >= 2**63:
        raise OverflowError(f"{contract.name}: its suite reads more than a pattern can hold")
    return marked.select(AT, DAY, **{PATTERN: total})


def patterns(numbers: Sequence[int], contract: Contract) -> pd.DataFrame:
    """What the suite reads, a row for each pattern: the columns, and `pattern` itself."""
    rest = pd.Series(numbers, dtype="int64")
    columns: dict[str, pd.Series] = {PATTERN: rest}
    for sign in _signs(contract):
        digits = rest % len(sign.values)
        kind = "boolean" if sign.values == (False, True) else "object"
        columns[sign.name] = pd.Series([sign.values[digit] for digit in digits], dtype=kind)
        rest = rest // len(sign.values)
    return pd.DataFrame(columns).infer_objects()


def _signs(contract: Contract) -> list[_Sign]:
    """Everything that the table's suite reads."""
    name, columns = contract.name, delivered(contract)
    texts = [column for column in columns if contract.schema.field(column).type == contracts.TEXT]
    needed = [column for column in columns if column in contract.required]
    needed += [column for column in NEEDED_BY_TRADE if name == "events"]
    answers = [
        *(given(column) for column in needed),
        *(readable(column) for column in columns if column not in texts),
        *(short(column) for column in limits.longest(contract)),
        *(known(column) for column in refers_to(name)),
        UNIQUE,
        *((IN_TIME,) if name in AHEAD_DAYS else ()),
        *((CONSENTS_ALLOWED, ZONE_KNOWN) if name == "users" else ()),
        *((*map(wellformed, _SHAPES), REACHABLE) if name == "contacts" else ()),
        *((in_order(later) for _, later in ORDERED) if name == "campaigns" else ()),
    ]
    closed = {column: contract.allowed(column) for column in texts if contract.allowed(column)}
    cuts = limits.cut_points(contract)
    return [
        *(_Sign(answer, (False, True)) for answer in answers),
        *(_Sign(column, (None, *allowed, ANOTHER)) for column, allowed in closed.items()),
        *(_Sign(column, (None, *limits.representatives(found))) for column, found in cuts.items()),
    ]


def _digit(value: ir.Value, sign: _Sign, contract: Contract) -> ir.IntegerValue:
    """The place of a value among those the sign may have."""
    if value.type().is_boolean():
        return value.cast("int8")
    if value.type().is_string():
        cases = [(value == found, place) for place, found in enumerate(sign.values) if place]
        return ibis.cases((value.isnull(), 0), *cases[:-1], else_=len(cases))
    place = limits.place(value, limits.cut_points(contract)[sign.name])
    return ibis.ifelse(value.isnull(), 0, place + 1)


def _with_known(rows: ir.Table, column: str, reference: ir.Table) -> ir.Table:
    ids = reference.select(_id="id", _since="since")
    found = rows.left_join(ids, rows[column] == ids._id)
    answer = ibis.coalesce(found._since <= found[DAY], False) | found[column].isnull()
    return found.mutate(**{known(column): answer}).drop("_id", "_since")
