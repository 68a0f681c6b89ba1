"""A source's own columns → the contract's: renamed, constant, or an SQL expression over them.

The steps, in order: texts that stand for something else are read (`types`), expressions are computed, rows
that `where` does not want are left out, the contract's columns are filled and read, and of rows with the same
key the one that `keep` names stays.
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
    """One source's rows of a period as the contract wants them, and what became of the others.

    `rows` has the contract's delivered columns, `_at` and `_day`, and for each column `<column>_given` and
    `<column>_readable`, boolean and never null. `broken` has `_at`, `_day`, `_broken`: lines that are no row.
    `left_out` has `_day` of each row that `where` or `keep` left out; None if neither is declared.
    """

    rows: ir.Table
    broken: ir.Table | None
    left_out: ir.Table | None


def mapped(raw: Raw, contract: Contract, first: date, last: date) -> Mapped:
    """The source's rows of the days from `first` to `last`, by its own declaration.

    Raises:
        SourceError: an expression cannot be computed, or names no day in any row of a file.
    """
    source = raw.source
    _refuse_undated(raw, Wording.of(source, last))
    every = _placed(raw, Wording.of(source, last), first, last, source.used(contract))
    whole = every.filter(every[BROKEN].isnull()) if raw.staged else every
    wanted, unwanted = whole, []
    if source.where is not None:
        answer = ibis.coalesce(whole[_named(_WHERE)].try_cast("boolean"), False)
        wanted, unwanted = whole.filter(answer), [whole.filter(~answer)]
    rows = _filled(wanted, contract, raw, Wording.of(source, last))
    if source.keep is not Keep.EVERY:
        ranked = _ranked(rows, contract, source.keep)
        rows, folded = ranked.filter(ranked._rank == 0).drop("_rank"), ranked.filter(ranked._rank > 0)
        unwanted.append(folded)
    return Mapped(
        rows,
        every.filter(every[BROKEN].notnull()).select(AT, DAY, BROKEN) if raw.staged else None,
        ibis.union(*(part.select(DAY) for part in unwanted)) if unwanted else None,
    )


def computed_types(raw: Raw, day: date) -> dict[str, str]:
    """Contract column → the type of what its SQL expression makes, as the engine calls it."""
    rows = _placed(raw, Wording.of(raw.source, day), day, day)
    found = {name for name, value in raw.source.columns.items() if isinstance(value, Expression)}
    return {name: str(rows[_named(name)].type()) for name in found}


def has_rows(raw: Raw, day: date) -> bool:
    """Whether any row of the source is of the day."""
    _refuse_undated(raw, Wording.of(raw.source, day))
    rows = _placed(raw, Wording.of(raw.source, day), day, day)
    return rows.limit(1).count().to_pyarrow().as_py() > 0


def rows_by_day(raw: Raw, first: date, last: date) -> Counter[date]:
    """How many rows of the source each day has."""
    return by_day(_placed(raw, Wording.of(raw.source, last), first, last), DAY)


def _placed(
    raw: Raw, wording: Wording, first: date, last: date, used: Collection[str] | None = None
) -> ir.Table:
    """The rows of these days, each with its day, its columns read by `types` and what SQL makes of them.

    With `used` they have no other columns of the source's own.
    """
    rows = _dated(raw, wording, used)
    return rows.filter(rows[DAY].between(first, last))


def _refuse_undated(raw: Raw, wording: Wording) -> None:
    """Stop where no row of a file says its day: all of it would be of no day, and nobody would miss it."""
    if raw.source.day is not None:
        rows = _dated(raw, wording, None)
        undated = rows.filter(rows[DAY].isnull())[[FILE]].limit(1).to_pyarrow()[FILE].to_pylist()
        if undated:
            raise SourceError(
                f"{undated[0]} (source {raw.name}): found no row whose `day` can be read; "
                f"allowed is SQL that makes a date; it is {raw.source.day.sql}"
            )


def _dated(raw: Raw, wording: Wording, used: Collection[str] | None) -> ir.Table:
    """The rows of all days, as `_placed`."""
    source = raw.source
    own = [name for name in raw.columns if used is None or name in used]
    stamps = [name for name in raw.rows.columns if name not in raw.columns]
    rows = raw.rows.select(*stamps, **{name: trimmed(raw.rows[name]) for name in own})
    types = {name: _type(found) for name, found in source.types.items() if name in own}
    typed = {name: read(rows[name], kind, wording) for name, kind in types.items()}
    # An instant that goes through SQL keeps its zone, or the source's would be taken off twice.
    typed |= {name: v.cast(_type(Kind.TIMESTAMP)) for name, v in typed.items() if v.type().is_timestamp()}
    unread = {_unread(name): rows[name].notnull() & value.isnull() for name, value in typed.items()}
    rows = rows.mutate(**typed, **unread)
    rows = _computed(rows, raw.name, _expressions(source))
    if source.day is not None:
        rows = _carried_on(rows, rows[_named(_DAY)].try_cast("date"))
    return rows


def _computed(rows: ir.Table, name: str, expressions: dict[str, str]) -> ir.Table:
    """The rows with what each expression makes of them, and whether it failed on them.

    An expression that fails on a row says null there; a window cannot be asked so, and fails as a whole.
    """
    if not expressions:
        return rows
    # In a list, for a list that is null has failed: null itself may be what the expression makes.
    guarded = {
        key: f"[{text}\n]" if looks_at_other_rows(text) else f"TRY([{text}\n])"
        for key, text in expressions.items()
    }
    try:
        rows = engine.evaluate(rows, guarded)
    except engine.errors() as error:
        found = ", ".join(expressions.values())
        raise SourceError(f"sources.{name}: cannot compute {found}: {plain(error)}") from error
    # What is always NULL has a type that Ibis does not know.
    known = {key: rows[key].type().is_array() for key in expressions}
    values = {key: rows[key][0] if known[key] else ibis.null("string") for key in expressions}
    return rows.mutate(**values, **{_unread(key): rows[key].isnull() for key in expressions})


def _carried_on(rows: ir.Table, day: ir.DateValue) -> ir.Table:
    """A row whose day cannot be read counts to the day of the row before it in its file, else after it."""
    above = ibis.window(group_by=rows[FILE], order_by=rows[AT], following=0)
    found = rows.mutate(**{DAY: day, _RUN: ibis.greatest(day.count().over(above), 1)})
    run = ibis.window(group_by=[found[FILE], found[_RUN]])
    return found.mutate(**{DAY: found[DAY].max().over(run)}).drop(_RUN)


def _filled(rows: ir.Table, contract: Contract, raw: Raw, wording: Wording) -> ir.Table:
    """The contract's columns, read as its types, with what `normalise` says of each."""
    made: dict[str, ir.Value] = {AT: rows[AT], DAY: rows[DAY]}
    wanted = ibis.Schema.from_pyarrow(contract.schema)
    for name, found in raw.source.reads(contract).items():
        kind = wanted[name].copy(nullable=True)
        value, unread = _value(rows, name, found, kind)
        if name == "event_type" and raw.source.event_types:
            value = value.substitute(dict(raw.source.event_types))
        answer = read(value, kind, wording)
        made[name] = answer
        made[given(name)] = ibis.literal(True) if kind.is_array() else value.notnull() | unread
        made[readable(name)] = ~unread if value is answer else ~unread & (value.isnull() | answer.notnull())
    return rows.select(**made)


def _value(
    rows: ir.Table, name: str, found: str | Constant | Expression, kind: dt.DataType
) -> tuple[ir.Value, ir.BooleanValue]:
    """What fills a column, and whether anything it is made of is there but could not be read."""
    if isinstance(found, Constant):
        return ibis.literal(found.value), ibis.literal(False)
    if isinstance(found, Expression):
        parts = [rows[_unread(part)] for part in columns_of(found.sql) if _unread(part) in rows.columns]
        return trimmed(rows[_named(name)]), reduce(or_, parts, rows[_unread(_named(name))])
    if found not in rows.columns:
        return ibis.null(kind), ibis.literal(False)
    unread = rows[_unread(found)] if _unread(found) in rows.columns else ibis.literal(False)
    return rows[found], unread


def _ranked(rows: ir.Table, contract: Contract, keep: Keep) -> ir.Table:
    """Rows numbered from the one that stays (0) within their key and day; those without a key all stay."""
    identity = [name for name in contract.key if name != contract.partition]
    keyed = reduce(and_, (rows[name].notnull() for name in identity if name in contract.required))
    order = rows[AT] if keep is Keep.FIRST else ibis.desc(rows[AT])
    same = [rows[DAY], *(rows[name] for name in identity)]
    place = ibis.row_number().over(group_by=same, order_by=order)
    alike = ibis.window(group_by=same)
    earliest = {name: rows[name].min().over(alike) for name in contract.earliest}
    return rows.mutate(_rank=ibis.ifelse(keyed, place, 0), **earliest)


def _expressions(source: Source) -> dict[str, str]:
    """Everything that the source declares as SQL, by the name of the column that shall hold it."""
    found = {name: value.sql for name, value in source.columns.items() if isinstance(value, Expression)}
    found |= {_DAY: source.day.sql} if source.day else {}
    found |= {_WHERE: source.where.sql} if source.where else {}
    return {_named(name): text for name, text in found.items()}


def _named(name: str) -> str:
    return f"={name}"


def _unread(column: str) -> str:
    return f"{column}=unread"


def _type(kind: Kind) -> dt.DataType:
    return dt.DataType.from_pyarrow(_KINDS[kind])
