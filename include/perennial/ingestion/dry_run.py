"""A dry run of `sources.yaml` on the first rows of each source: what would come of it. Nothing is written.

Of text only the first lines are read. Row rules are judged as on the day itself, but for two: an id can only
be seen to be repeated within the sample, and whether an item, customer or campaign is known is looked up in
the lake and in the samples of their tables, and told apart. Rules about a landing as a whole are not judged.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path

import ibis
import ibis.expr.types as ir

from perennial.foundation import contracts, engine
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import conform
from perennial.foundation.masking import masked
from perennial.foundation.settings import settings
from perennial.ingestion import column_types, mapping, row_checks, row_patterns, sampling, sources
from perennial.ingestion.days import Stretch, by_day
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing, as_text, without_values
from perennial.ingestion.refusals import LANDED_ON, PATTERN, Refusals
from perennial.ingestion.row_patterns import Scan
from perennial.ingestion.screening import Desk
from perennial.ingestion.source_settings import Constant, Expression, Source
from perennial.ingestion.sources import AT, DAY, Landed, Piece

ROWS = 1000
SAMPLES = 3
HIDDEN = "(hidden)"
_UNKNOWN = " unknown"
_LONGEST = 40
_EARLIEST, _YEARS_ON = date(1970, 1, 1), 3


@dataclass(frozen=True)
class Column:
    """One contract column: where it comes from, how it is there and here, and what is in it.

    nulls: share of the rows without a value. samples: different values, as they would be published.
    """

    name: str
    origin: str
    found: str
    wanted: str
    nulls: float | None = None
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A reason, in how many rows, and the first of them."""

    code: str
    rows: int
    example: str


@dataclass(frozen=True)
class Tried:
    """What would come of one source.

    problems: sentences, each of which would stop the day.
    rows: how many were read; `left_out` of them by `where` or `keep`, `refused` by rules.
    new: columns that nothing is made of.
    days: the first and last on which the rows land.
    unknown: column → rows whose id neither the lake nor the samples know.
    """

    table: str
    source: str
    files: tuple[str, ...]
    problems: tuple[str, ...] = ()
    rows: int = 0
    left_out: int = 0
    refused: int = 0
    new: tuple[str, ...] = ()
    days: tuple[date, date] | None = None
    columns: tuple[Column, ...] = ()
    reasons: tuple[Refused, ...] = ()
    unknown: Mapping[str, int] | None = None


def tried(desk: Desk, day: date, tables: Sequence[str], rows: int = ROWS) -> list[Tried]:
    """Try every source of the tables, as far as anything of it landed on the day.

    Args:
        desk: where landings come from and what they are held against.
        day: of landing.
        tables: their names.
        rows: how many of each source.
    """
    found: list[Tried] = []
    ids: dict[str, list[ir.Table]] = {}
    looked_up = {name for table in tables for name in row_checks.refers_to(table).values()}
    with ExitStack() as held:
        folder = held.enter_context(sources.staging())
        for table in contracts.LANDED_TABLES:
            if table in tables or table in looked_up:
                for source in desk.landing.sources.of(table).sources:
                    one = _tried(desk, table, source, day, rows, ids, folder, held)
                    found += [one] if one and table in tables else []
    return found


def check(
    trials: Sequence[Tried], landing: Landing, tables: Sequence[str], day: date, report: str = ""
) -> None:
    """Stop if anything would stop the day.

    Raises:
        SourceError: with the first sentence of it, or with the places where nothing was found.
    """
    sentences = [sentence for tried in trials for sentence in tried.problems]
    if sentences:
        more = f"; and {len(sentences) - 1} more" if len(sentences) > 1 else ""
        raise SourceError(f"{sentences[0]}{more}", report)
    if not trials:
        places = [place for table in tables for place in landing.places(table, day)]
        raise SourceError(f"nothing landed on {day}; looked for at {', '.join(places)}", report)


def _tried(
    desk: Desk,
    table: str,
    name: str,
    day: date,
    rows: int,
    ids: dict[str, list[ir.Table]],
    folder: Path,
    held: ExitStack,
) -> Tried | None:
    """One source; None if nothing of it landed. What it brings of ids is added to `ids`."""
    from perennial.ingestion import validation

    contract, source = contracts.CONTRACTS[table], desk.landing.sources.of(table).sources[name]
    pieces: list[Piece] = []
    try:
        pieces += sampling.sample(desk.landing, desk.databases, table, name, day, rows, folder)
        if not pieces:
            return None
        tried = Tried(table, name, tuple(piece.name for piece in pieces), rows=sum(p.rows for p in pieces))
        headers = {piece.name: _header(piece) for piece in pieces}
        verdict = validation.judge_columns(headers, contract, source, name)
        new = tuple(dict.fromkeys(column for columns in verdict.new.values() for column in columns))
        tried = replace(tried, new=new, problems=verdict.sentences)
        if verdict.sentences or not tried.rows:
            return replace(tried, columns=_origins(contract, source, pieces, {}))
        return _judged(desk, contract, source, day, Landed(tuple(pieces)), tried, ids, held)
    except SourceError as error:
        problem = str(error)
    except engine.errors() as error:
        problem = f"{table}: cannot be read: {without_values(error)}"
    return Tried(table, name, tuple(piece.name for piece in pieces), problems=(problem,))


def _judged(
    desk: Desk,
    contract: Contract,
    source: Source,
    day: date,
    landed: Landed,
    tried: Tried,
    ids: dict[str, list[ir.Table]],
    held: ExitStack,
) -> Tried:
    from perennial.ingestion import validation

    stretch = Stretch(day, day, history=False)
    if source.day is not None:
        # The first rows of a file of many days are of any day.
        stretch = Stretch(_EARLIEST, date(day.year + _YEARS_ON, 12, 31), history=False)
    refers_to = row_checks.refers_to(contract.name)
    references = {column: _ids(desk, name, ids.get(name, [])) for column, name in refers_to.items()}
    seen = row_patterns.scan(landed, contract, desk.landing.sources, stretch, references, held)
    if contract.name in row_checks.REFERRED_TO:
        brought = seen.rows.select(id=seen.rows[contract.key[0]], since=ibis.literal(_EARLIEST))
        ids.setdefault(contract.name, []).append(brought)
    reasons = validation.judge_rows(seen.patterns, contract).reasons
    counted = Counter(
        dict(zip(seen.patterns[row_checks.PATTERN].tolist(), seen.patterns["rows"].tolist(), strict=True))
    )
    codes: Counter[str] = Counter()
    for pattern, found in reasons.items():
        codes.update({reason.code: counted[pattern] for reason in found})
    firm = {
        pattern: kept
        for pattern, found in reasons.items()
        if (kept := [reason for reason in found if not reason.code.endswith(_UNKNOWN)])
    }
    marks = seen.marks.filter(seen.marks[row_checks.PATTERN].isin(list(firm)))
    rows = marks.select(AT, **{LANDED_ON: marks[DAY], PATTERN: marks[row_checks.PATTERN]})
    examples, broken = _examples(desk, Refusals(contract.name, landed, rows, firm, seen.broken))
    days = seen.counts[DAY].tolist()
    return replace(
        tried,
        left_out=sum(by_day(part, DAY).total() for part in seen.left_out),
        refused=sum(counted[pattern] for pattern in firm) + broken,
        days=(min(days), max(days)) if days else None,
        columns=_columns(contract, source, day, landed, seen),
        reasons=tuple(
            Refused(code, codes[code] or broken, example)
            for code, example in sorted(examples.items(), key=lambda each: -codes[each[0]])
        ),
        unknown={c: codes[f"{c}{_UNKNOWN}"] for c in refers_to if codes[f"{c}{_UNKNOWN}"]},
    )


def _examples(desk: Desk, refusals: Refusals) -> tuple[dict[str, str], int]:
    """For each code the first row that it refuses, in words; and how many lines are no rows."""
    found: dict[str, str] = {}
    for batch in refusals.batches(desk.veil):
        for row in batch.to_pylist():
            for reason in row["reasons"]:
                code, _, said = reason.partition(": ")
                found.setdefault(code, f"{row['file']}, row {row['line']}: {said}")
    broken = 0 if refusals.broken is None else refusals.broken.count().to_pyarrow().as_py()
    return found, broken


def _ids(desk: Desk, table: str, samples: Sequence[ir.Table]) -> ir.Table:
    """`id` and `since` of everything that the lake or a sample knows."""
    contract = contracts.CONTRACTS[table]
    rows = conform(desk.lake.read(table), contract)
    every = ibis.union(rows.select(id=rows[contract.key[0]], since=rows[contract.partition]), *samples)
    return every.group_by("id").agg(since=every.since.min())


def _columns(contract: Contract, source: Source, day: date, landed: Landed, seen: Scan) -> tuple[Column, ...]:
    """Every contract column, with what is in the sample as it would be published."""
    computed: dict[str, str] = {}
    for raw in landed.raw():
        computed |= mapping.computed_types(raw, day)
    rows = seen.rows.order_by(AT).to_pyarrow()
    return tuple(
        replace(
            column,
            nulls=sum(value is None or value == [] for value in values) / len(values) if values else None,
            samples=_samples(contract, column.name, values),
        )
        for column in _origins(contract, source, landed.pieces, computed)
        for values in [rows[column.name].to_pylist()]
    )


def _origins(
    contract: Contract, source: Source, pieces: Sequence[Piece], computed: Mapping[str, str]
) -> tuple[Column, ...]:
    there = {name: kind for piece in pieces for name, kind in piece.own.items()}
    columns = []
    for name, filled in source.reads(contract).items():
        wanted = column_types.kind(str(contract.schema.field(name).type))
        if isinstance(filled, Constant):
            column = Column(name, f"always {filled.value!r}", type(filled.value).__name__, wanted)
        elif isinstance(filled, Expression):
            found = column_types.kind(computed[name]) if name in computed else ""
            column = Column(name, f"SQL {filled.sql}", found, wanted)
        elif filled in there:
            column = Column(name, f"column {filled}", column_types.kind(there[filled]), wanted)
        else:
            needed = ", needed" if name in contract.required else ""
            column = Column(name, f"nothing (no column {filled}{needed})", "", wanted)
        columns.append(column)
    return tuple(columns)


def _samples(contract: Contract, name: str, values: Sequence[object]) -> tuple[str, ...]:
    """The first few different values, without contact data and not endless."""
    texts = (as_text(value) for value in values)
    different = list(islice(dict.fromkeys(text for text in texts if text), SAMPLES))
    if contract.name == contracts.CONTACTS.name and name in row_checks.CONTACT_COLUMNS:
        return (HIDDEN,) if different else ()
    shown = (masked(text, settings().key) for text in different)
    return tuple(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in shown)


def _header(piece: Piece) -> dict[str, str]:
    return {name: column_types.TEXT_ONLY if piece.staged else kind for name, kind in piece.own.items()}
