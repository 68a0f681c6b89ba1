"""A dry run of `sources.yaml` on the first rows of each source. Nothing is published.

Only the first lines of text files are read. Row rules are evaluated as on the day itself, but for two things:
a repeated id is only noticed within the sample; and an unknown item, customer or campaign does not count as
refused, but is reported on its own (ids are looked up in the lake and in the samples). Landing rules are not
evaluated.
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
from perennial.ingestion.days import Period, by_day
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing, as_text, without_values
from perennial.ingestion.refusals import LANDED_ON, PATTERN, Refusals
from perennial.ingestion.row_patterns import Scan
from perennial.ingestion.screening import Storage
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
    """One contract column.

    origin: what fills it, in words.
    source_type, contract_type: the kind of its type in the source and in the contract.
    nulls: share of rows without a value; None without rows.
    samples: different values, as they would be published.
    """

    name: str
    origin: str
    source_type: str
    contract_type: str
    nulls: float | None = None
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class RefusalReason:
    """A reason: its code, the number of rows, and the first of them in words."""

    code: str
    rows: int
    example: str


@dataclass(frozen=True)
class SourceTrial:
    """The result of the dry run for one source.

    files: the names of the files or query results that were read.
    problems: messages; each would stop the day.
    rows: number of rows that were read; of these, `where` or `keep` leave out `left_out` rows and rules
        refuse `refused` rows.
    new: columns that are not used.
    days: the first and the last day on which the rows land.
    unknown: column → number of rows whose id is neither in the lake nor in the samples.
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
    reasons: tuple[RefusalReason, ...] = ()
    unknown: Mapping[str, int] | None = None


def try_sources(storage: Storage, day: date, tables: Sequence[str], rows: int = ROWS) -> list[SourceTrial]:
    """Try every source of the tables from which something landed on the day.

    Args:
        storage: the lake, the landing folder and the settings of its sources.
        day: the day of landing.
        tables: the names of the tables.
        rows: number of rows to read of each source.
    """
    trials: list[SourceTrial] = []
    ids: dict[str, list[ir.Table]] = {}
    looked_up = {name for table in tables for name in row_checks.refers_to(table).values()}
    with ExitStack() as stack:
        folder = stack.enter_context(sources.staging())
        for table in contracts.LANDED_TABLES:
            if table in tables or table in looked_up:
                for source in storage.landing.sources.of(table).sources:
                    trial = _try_source(storage, table, source, day, rows, ids, folder, stack)
                    trials += [trial] if trial and table in tables else []
    return trials


def check(
    trials: Sequence[SourceTrial], landing: Landing, tables: Sequence[str], day: date, report: str = ""
) -> None:
    """Stop if there is a problem that would stop the day.

    Raises:
        SourceError: there is a problem (the message has the first one), or nothing landed (the message lists
            the places).
    """
    problems = [problem for trial in trials for problem in trial.problems]
    if problems:
        more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise SourceError(f"{problems[0]}{more}", report)
    if not trials:
        places = [place for table in tables for place in landing.places(table, day)]
        raise SourceError(f"nothing landed on {day}; looked for files at {', '.join(places)}", report)


def _try_source(
    storage: Storage,
    table: str,
    name: str,
    day: date,
    rows: int,
    ids: dict[str, list[ir.Table]],
    folder: Path,
    stack: ExitStack,
) -> SourceTrial | None:
    """The dry run of one source; None if nothing landed. The source's ids are added to `ids`."""
    from perennial.ingestion import validation

    contract, source = contracts.CONTRACTS[table], storage.landing.sources.of(table).sources[name]
    pieces: list[Piece] = []
    try:
        pieces += sampling.sample(storage.landing, storage.databases, table, name, day, rows, folder)
        if not pieces:
            return None
        trial = SourceTrial(
            table, name, tuple(piece.name for piece in pieces), rows=sum(p.rows for p in pieces)
        )
        headers = {piece.name: _header(piece) for piece in pieces}
        verdict = validation.judge_columns(headers, contract, source, name)
        new = tuple(dict.fromkeys(column for columns in verdict.new.values() for column in columns))
        trial = replace(trial, new=new, problems=verdict.problems)
        if verdict.problems or not trial.rows:
            return replace(trial, columns=_origins(contract, source, pieces, {}))
        return _with_rows(storage, contract, source, day, Landed(tuple(pieces)), trial, ids, stack)
    except SourceError as error:
        problem = str(error)
    except engine.errors() as error:
        problem = f"{table}: cannot be read: {without_values(error)}"
    return SourceTrial(table, name, tuple(piece.name for piece in pieces), problems=(problem,))


def _with_rows(
    storage: Storage,
    contract: Contract,
    source: Source,
    day: date,
    landed: Landed,
    trial: SourceTrial,
    ids: dict[str, list[ir.Table]],
    stack: ExitStack,
) -> SourceTrial:
    """The trial with what the rules say of its rows."""
    from perennial.ingestion import validation

    period = Period(day, day, history=False)
    if source.day is not None:
        # The first rows of a file of many days may be of any day.
        period = Period(_EARLIEST, date(day.year + _YEARS_ON, 12, 31), history=False)
    refers_to = row_checks.refers_to(contract.name)
    references = {column: _ids(storage, name, ids.get(name, [])) for column, name in refers_to.items()}
    seen = row_patterns.scan(landed, contract, storage.landing.sources, period, references, stack)
    if contract.name in row_checks.REFERRED_TO:
        new_ids = seen.rows.select(id=seen.rows[contract.key[0]], since=ibis.literal(_EARLIEST))
        ids.setdefault(contract.name, []).append(new_ids)
    reasons = validation.judge_rows(seen.patterns, contract).reasons
    rows_of = Counter(
        dict(zip(seen.patterns[row_checks.PATTERN].tolist(), seen.patterns["rows"].tolist(), strict=True))
    )
    codes: Counter[str] = Counter()
    for pattern, of_pattern in reasons.items():
        codes.update({reason.code: rows_of[pattern] for reason in of_pattern})
    refused = {
        pattern: kept
        for pattern, of_pattern in reasons.items()
        if (kept := [reason for reason in of_pattern if not reason.code.endswith(_UNKNOWN)])
    }
    failing = seen.row_patterns.filter(seen.row_patterns[row_checks.PATTERN].isin(list(refused)))
    rows = failing.select(AT, **{LANDED_ON: failing[DAY], PATTERN: failing[row_checks.PATTERN]})
    examples, broken = _examples(storage, Refusals(contract.name, landed, rows, refused, seen.broken))
    days = seen.counts[DAY].tolist()
    return replace(
        trial,
        left_out=sum(by_day(part, DAY).total() for part in seen.left_out),
        refused=sum(rows_of[pattern] for pattern in refused) + broken,
        days=(min(days), max(days)) if days else None,
        columns=_columns(contract, source, day, landed, seen),
        reasons=tuple(
            RefusalReason(code, codes[code] or broken, example)
            for code, example in sorted(examples.items(), key=lambda each: -codes[each[0]])
        ),
        unknown={
            column: codes[f"{column}{_UNKNOWN}"] for column in refers_to if codes[f"{column}{_UNKNOWN}"]
        },
    )


def _examples(storage: Storage, refusals: Refusals) -> tuple[dict[str, str], int]:
    """Code → the first row that it refuses, in words; and the number of lines that are no rows."""
    examples: dict[str, str] = {}
    for batch in refusals.batches(storage.masker):
        for row in batch.to_pylist():
            for reason in row["reasons"]:
                code, _, sentence = reason.partition(": ")
                examples.setdefault(code, f"{row['file']}, row {row['line']}: {sentence}")
    broken = 0 if refusals.broken is None else refusals.broken.count().to_pyarrow().as_py()
    return examples, broken


def _ids(storage: Storage, table: str, samples: Sequence[ir.Table]) -> ir.Table:
    """`id` and `since`, its first day, of each id in the lake or in a sample."""
    contract = contracts.CONTRACTS[table]
    rows = conform(storage.lake.read(table), contract)
    all_ids = ibis.union(rows.select(id=rows[contract.key[0]], since=rows[contract.partition]), *samples)
    return all_ids.group_by("id").agg(since=all_ids.since.min())


def _columns(contract: Contract, source: Source, day: date, landed: Landed, seen: Scan) -> tuple[Column, ...]:
    """Every contract column, with the share of nulls and examples from the sample."""
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
    source_types = {name: kind for piece in pieces for name, kind in piece.own.items()}
    columns = []
    for name, origin in source.reads(contract).items():
        contract_type = column_types.kind(str(contract.schema.field(name).type))
        if isinstance(origin, Constant):
            column = Column(name, f"always {origin.value!r}", type(origin.value).__name__, contract_type)
        elif isinstance(origin, Expression):
            computed_type = column_types.kind(computed[name]) if name in computed else ""
            column = Column(name, f"SQL {origin.sql}", computed_type, contract_type)
        elif origin in source_types:
            column = Column(name, f"column {origin}", column_types.kind(source_types[origin]), contract_type)
        else:
            required = ", required" if name in contract.required else ""
            column = Column(name, f"nothing (no column {origin}{required})", "", contract_type)
        columns.append(column)
    return tuple(columns)


def _samples(contract: Contract, name: str, values: Sequence[object]) -> tuple[str, ...]:
    """The first few different values, shortened, without contact data."""
    texts = (as_text(value) for value in values)
    different = list(islice(dict.fromkeys(text for text in texts if text), SAMPLES))
    if contract.name == contracts.CONTACTS.name and name in row_checks.CONTACT_COLUMNS:
        return (HIDDEN,) if different else ()
    shown = (masked(text, settings().key) for text in different)
    return tuple(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in shown)


def _header(piece: Piece) -> dict[str, str]:
    return {name: column_types.TEXT_ONLY if piece.staged else kind for name, kind in piece.own.items()}
