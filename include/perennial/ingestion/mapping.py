"""A source's own columns → the contract's columns, by name, constant or SQL expression.

The steps, in order: texts are read as their `types`; expressions are computed; rows for which `where` is not
true are left out; the contract's columns are filled and converted; of rows with the same key, the one that
`keep` names stays.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import and_, or_

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from perennial.foundation import contracts, engine
from perennial.foundation.contracts import Contract
from perennial.foundation.engine.sql_expressions import columns_of, looks_at_other_rows
from perennial.ingestion.days import by_day
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import plain
from perennial.ingestion.normalise import Wording, given, read, readable, trimmed
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.source_settings import FILE, Constant, Expression, Keep, Kind, Source
from perennial.ingestion.sources import AT, DAY, Raw

_KINDS = {
    Kind.TEXT: contracts.TEXT,
    Kind.INTEGER: contracts.INT,
    Kind.NUMBER: contracts.MONEY,
    Kind.DATE: contracts.DAY,
    Kind.TIMESTAMP: contracts.INSTANT,
    Kind.BOOLEAN: contracts.FLAG,
}
_DAY, _WHERE = "day", "where"
_RUN = "=run"


@dataclass(frozen=True)
class Mapped:
    """One source's rows of a period, in the contract's columns.

    rows: the contract's delivered columns, `_at` and `_day`, and for each column `<column>_given` and
        `<column>_readable`, boolean and never null.
    broken: `_at`, `_day`, `_broken` of the lines that are no rows; None if the source cannot have such lines.
    left_out: `_day` of each row that `where` or `keep` left out; None if the source has neither.
    """

    rows: ir.Table
    broken: ir.Table | None
    left_out: ir.Table | None


def mapped(raw: Raw, contract: Contract, first: date, last: date) -> Mapped:
    """The source's rows of the days from `first` to `last`.

    Raises:
        SourceError: an expression cannot be computed, or gives no day for any row of a file.
    """
    source = raw.source
    _refuse_undated(raw, Wording.of(source, last))
    all_rows = _placed(raw, Wording.of(source, last), first, last, source.used(contract))
    whole = all_rows.filter(all_rows[BROKEN].isnull()) if raw.staged else all_rows
    kept, left_out = whole, []
    if source.where is not None:
        condition = ibis.coalesce(whole[_named(_WHERE)].try_cast("boolean"), False)
        kept, left_out = whole.filter(condition), [whole.filter(~condition)]
    rows = _filled(kept, contract, raw, Wording.of(source, last))
    if source.keep is not Keep.EVERY:
        ranked = _ranked(rows, contract, source.keep)
        rows, dropped = ranked.filter(ranked._rank == 0).drop("_rank"), ranked.filter(ranked._rank > 0)
        left_out.append(dropped)
    return Mapped(
        rows,
        all_rows.filter(all_rows[BROKEN].notnull()).select(AT, DAY, BROKEN) if raw.staged else None,
        ibis.union(*(part.select(DAY) for part in left_out)) if left_out else None,
    )


def computed_types(raw: Raw, day: date) -> dict[str, str]:
    """Contract column → the type of its SQL expression, as the engine calls it."""
    rows = _placed(raw, Wording.of(raw.source, day), day, day)
    computed = {name for name, value in raw.source.columns.items() if isinstance(value, Expression)}
    return {name: str(rows[_named(name)].type()) for name in computed}


def has_rows(raw: Raw, day: date) -> bool:
    """Whether the source has a row of the day."""
    _refuse_undated(raw, Wording.of(raw.source, day))
    rows = _placed(raw, Wording.of(raw.source, day), day, day)
    return rows.limit(1).count().to_pyarrow().as_py() > 0


def rows_by_day(raw: Raw, first: date, last: date) -> Counter[date]:
    """How many rows of the source each day has."""
    return by_day(_placed(raw, Wording.of(raw.source, last), first, last), DAY)


def _placed(
    raw: Raw, wording: Wording, first: date, last: date, used: Collection[str] | None = None
) -> ir.Table:
    """The rows of these days, with their day, columns read as their `types`, and computed expressions.

    With `used`, the source's other columns are dropped.
    """
    rows = _dated(raw, wording, used)
    return rows.filter(rows[DAY].between(first, last))


def _refuse_undated(raw: Raw, wording: Wording) -> None:
    """Stop if no row of a file has a day: the whole file would be lost without a message."""
    if raw.source.day is not None:
        rows = _dated(raw, wording, None)
        undated = rows.filter(rows[DAY].isnull())[[FILE]].limit(1).to_pyarrow()[FILE].to_pylist()
        if undated:
            raise SourceError(
                f"{undated[0]} (source {raw.name}): found no row with a day: `day` is "
                f"{raw.source.day.sql}; allowed is SQL that gives a date"
            )


def _dated(raw: Raw, wording: Wording, used: Collection[str] | None) -> ir.Table:
    """The rows of all days, as `_placed`."""
    source = raw.source
    own = [name for name in raw.columns if used is None or name in used]
    stamps = [name for name in raw.rows.columns if name not in raw.columns]
    rows = raw.rows.select(*stamps, **{name: trimmed(raw.rows[name]) for name in own})
    types = {name: _type(kind) for name, kind in source.types.items() if name in own}
    typed = {name: read(rows[name], kind, wording) for name, kind in types.items()}
    # An instant keeps its zone in SQL; otherwise the source's offset would be subtracted twice.
    typed |= {
        name: value.cast(_type(Kind.TIMESTAMP))
        for name, value in typed.items()
        if value.type().is_timestamp()
    }
    unread = {_unread(name): rows[name].notnull() & value.isnull() for name, value in typed.items()}
    rows = rows.mutate(**typed, **unread)
    rows = _computed(rows, raw.name, _expressions(source))
    if source.day is not None:
        rows = _carried_on(rows, rows[_named(_DAY)].try_cast("date"))
    return rows


def _computed(rows: ir.Table, name: str, expressions: dict[str, str]) -> ir.Table:
    """The rows with the value of each expression, and whether the expression failed.

    An expression that fails on a row is null there. A window function cannot be guarded by row: it fails as a
    whole.
    """
    if not expressions:
        return rows
    # The value is in a list: a null list is a failure, a list with null is an expression that gives null.
    guarded = {
        key: f"[{text}\n]" if looks_at_other_rows(text) else f"TRY([{text}\n])"
        for key, text in expressions.items()
    }
    try:
        rows = engine.evaluate(rows, guarded)
    except engine.errors() as error:
        texts = ", ".join(expressions.values())
        raise SourceError(f"sources.{name}: cannot compute {texts}: {plain(error)}") from error
    # Ibis does not know the type of an expression that is always NULL.
    has_type = {key: rows[key].type().is_array() for key in expressions}
    values = {key: rows[key][0] if has_type[key] else ibis.null("string") for key in expressions}
    return rows.mutate(**values, **{_unread(key): rows[key].isnull() for key in expressions})


def _carried_on(rows: ir.Table, day: ir.DateValue) -> ir.Table:
    """Rows without a readable day get the day of the row before in their file; at its start, of the next."""
    above = ibis.window(group_by=rows[FILE], order_by=rows[AT], following=0)
    numbered = rows.mutate(**{DAY: day, _RUN: ibis.greatest(day.count().over(above), 1)})
    run = ibis.window(group_by=[numbered[FILE], numbered[_RUN]])
    return numbered.mutate(**{DAY: numbered[DAY].max().over(run)}).drop(_RUN)


def _filled(rows: ir.Table, contract: Contract, raw: Raw, wording: Wording) -> ir.Table:
    """The contract's columns in its types, each with `<column>_given` and `<column>_readable`."""
    columns: dict[str, ir.Value] = {AT: rows[AT], DAY: rows[DAY]}
    schema = ibis.Schema.from_pyarrow(contract.schema)
    for name, origin in raw.source.reads(contract).items():
        kind = schema[name].copy(nullable=True)
        value, unread = _value(rows, name, origin, kind)
        if name == "event_type" and raw.source.event_types:
            value = value.substitute(dict(raw.source.event_types))
        converted = read(value, kind, wording)
        columns[name] = converted
        columns[given(name)] = ibis.literal(True) if kind.is_array() else value.notnull() | unread
        columns[readable(name)] = (
            ~unread if value is converted else ~unread & (value.isnull() | converted.notnull())
        )
    return rows.select(**columns)


def _value(
    rows: ir.Table, name: str, origin: str | Constant | Expression, kind: dt.DataType
) -> tuple[ir.Value, ir.BooleanValue]:
    """The value of a column, and whether a source value of it is there but could not be read."""
    if isinstance(origin, Constant):
        return ibis.literal(origin.value), ibis.literal(False)
    if isinstance(origin, Expression):
        parts = [rows[_unread(part)] for part in columns_of(origin.sql) if _unread(part) in rows.columns]
        return trimmed(rows[_named(name)]), reduce(or_, parts, rows[_unread(_named(name))])
    if origin not in rows.columns:
        return ibis.null(kind), ibis.literal(False)
    unread = rows[_unread(origin)] if _unread(origin) in rows.columns else ibis.literal(False)
    return rows[origin], unread


def _ranked(rows: ir.Table, contract: Contract, keep: Keep) -> ir.Table:
    """Rows with `_rank` within their key and day: the row with 0 stays; rows without a key all have 0."""
    identity = [name for name in contract.key if name != contract.partition]
    keyed = reduce(and_, (rows[name].notnull() for name in identity if name in contract.required))
    order = rows[AT] if keep is Keep.FIRST else ibis.desc(rows[AT])
    same = [rows[DAY], *(rows[name] for name in identity)]
    place = ibis.row_number().over(group_by=same, order_by=order)
    alike = ibis.window(group_by=same)
    earliest = {name: rows[name].min().over(alike) for name in contract.earliest}
    return rows.mutate(_rank=ibis.ifelse(keyed, place, 0), **earliest)


def _expressions(source: Source) -> dict[str, str]:
    """Name of the computed column → its SQL, for all SQL in the source's settings."""
    texts = {name: value.sql for name, value in source.columns.items() if isinstance(value, Expression)}
    texts |= {_DAY: source.day.sql} if source.day else {}
    texts |= {_WHERE: source.where.sql} if source.where else {}
    return {_named(name): text for name, text in texts.items()}


def _named(name: str) -> str:
    return f"={name}"


def _unread(column: str) -> str:
    return f"{column}=unread"


def _type(kind: Kind) -> dt.DataType:
    return dt.DataType.from_pyarrow(_KINDS[kind])
