"""What a suite cannot see in one row: is the id repeated, is the item known, did it happen before it landed?

Each answer is a boolean column, computed by the engine, for the suite in `expectations` to judge. Beside them
stand the few columns that the suite reads as they are; rows that agree in all of them are judged once.
"""

from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo, available_timezones

import ibis
import ibis.expr.types as ir

from perennial.foundation import contracts
from perennial.foundation.contracts import CHANNELS, Contract
from perennial.ingestion.declarations import OCCURRENCE, delivered
from perennial.ingestion.normalise import given, happened_on, readable
from perennial.ingestion.sources import AT, DAY

UNIQUE = "unique"
IN_TIME = "in_time"
CONSENTS_ALLOWED = "consents_allowed"
ZONE_KNOWN = "time_zone_known"
_AS_THEY_ARE = {
    "events": ("quantity", "unit_price", "shelf_discount", "coupon_discount", "revenue"),
    "items": ("price", "unit_cost"),
    "users": (),
    "campaigns": ("starts_on", "ends_on", "measured_until"),
    "assignments": ("propensity",),
}
NEEDED_BY_TRADE = ("item_id", "order_id", "quantity", "revenue")
"""Columns that a purchase or a return needs and other events do without."""
MUST_BE_PAST = tuple(table for table in OCCURRENCE if table != "campaigns")
"""A campaign may be announced before it starts; everything else has happened when it lands."""
_REFERENCES = {
    "events": {"customer_id": "users", "item_id": "items"},
    "assignments": {"customer_id": "users", "campaign_id": "campaigns"},
}


def refers_to(table: str) -> dict[str, str]:
    """The columns of a table whose values must be known ids → the table that knows them."""
    return _REFERENCES.get(table, {})


def known(column: str) -> str:
    """Name of the column that says whether a reference, if any, was known by the day of landing."""
    return f"{column}_known"


def judged(rows: ir.Table, contract: Contract) -> ir.Table:
    """`_at` and the columns that the table's suite reads; money as float64."""
    columns = {name: rows[name] for name in _judged(contract)}
    plain = {
        name: value.cast("float64") if value.type().is_decimal() else value for name, value in columns.items()
    }
    return rows.select(AT, **plain)


def _judged(contract: Contract) -> tuple[str, ...]:
    name = contract.name
    columns = delivered(contract)
    texts = [column for column in columns if contract.schema.field(column).type == contracts.TEXT]
    needed = [column for column in columns if column in contract.required]
    needed += NEEDED_BY_TRADE if name == "events" else ()
    return (
        *(given(column) for column in needed),
        *(readable(column) for column in columns if column not in texts),
        *(column for column in texts if contract.allowed(column)),
        *_AS_THEY_ARE[name],
        *(known(column) for column in refers_to(name)),
        UNIQUE,
        *((IN_TIME,) if name in MUST_BE_PAST else ()),
        *((CONSENTS_ALLOWED, ZONE_KNOWN) if name == "users" else ()),
    )


def add(
    rows: ir.Table, contract: Contract, references: Mapping[str, ir.Table], zone: ZoneInfo, last: date
) -> ir.Table:
    """Rows with the booleans that the table's suite reads beside its columns; none of them is null.

    Args:
        rows: as `normalise` makes them.
        contract: the table's.
        references: for each column of `refers_to` the ids it may name: `id`, and `since`, its first day.
        zone: where the shop's days end.
        last: the last day that lands.
    """
    for column in refers_to(contract.name):
        rows = _with_known(rows, column, references[column])
    rows = _with_unique(rows, contract)
    if contract.name in MUST_BE_PAST:
        rows = rows.mutate(
            **{IN_TIME: ibis.coalesce(happened_on(rows, contract, zone, last) <= rows[DAY], True)}
        )
    if contract.name == "users":
        strange = rows.consents.filter(lambda channel: ~channel.isin(CHANNELS))
        zones = rows.time_zone.isin(sorted(available_timezones()))
        answers = {CONSENTS_ALLOWED: strange.length() == 0, ZONE_KNOWN: zones}
        rows = rows.mutate(**{name: ibis.coalesce(answer, True) for name, answer in answers.items()})
    return rows


def _with_known(rows: ir.Table, column: str, reference: ir.Table) -> ir.Table:
    ids = reference.select(_id="id", _since="since")
    found = rows.left_join(ids, rows[column] == ids._id)
    answer = ibis.coalesce(found._since <= found[DAY], False) | found[column].isnull()
    return found.mutate(**{known(column): answer}).drop("_id", "_since")


def _with_unique(rows: ir.Table, contract: Contract) -> ir.Table:
    """Of rows with the same id in one day's landing the first, by file and line, keeps it."""
    identity = [column for column in contract.key if column != contract.partition]
    whole = rows.filter(*(rows[column].notnull() for column in identity))
    counted = whole.group_by([*identity, DAY]).agg(_first=whole[AT].min(), _rows=whole.count())
    repeated = counted.filter(counted._rows > 1).drop("_rows")
    found = rows.left_join(repeated, [*identity, DAY])
    answer = found._first.isnull() | (found._first == found[AT])
    return found.select(*rows.columns, **{UNIQUE: answer})
