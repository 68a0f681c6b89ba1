"""One table's landing, screened: what may be published, what is refused and why, what the rules found."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation import contracts, engine
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import Lake, conform, open_lake, open_vault
from perennial.ingestion import day_measures, row_checks, row_patterns, sources
from perennial.ingestion.column_types import TEXT_ONLY
from perennial.ingestion.days import Stretch, by_day
from perennial.ingestion.errors import SourceError
from perennial.ingestion.hidden_columns import veil
from perennial.ingestion.landing import Landing, open_landing, without_values
from perennial.ingestion.quarantine import Reason, Veil
from perennial.ingestion.refusals import BROKEN_LINE, LANDED_ON, PATTERN, Refusals
from perennial.ingestion.row_patterns import Scan
from perennial.ingestion.sources import AT, DAY, NO_DATABASES, Databases, Landed

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult as Result

    from perennial.ingestion.validation import Measured

_LOG = logging.getLogger(__name__)
LEFT_OUT = "left out"
"""What stands for a rule in `validations` where `where` or `keep` left rows out."""


@dataclass(frozen=True)
class Desk:
    """Where landings come from and what they are held against.

    lake: the tables but the vault.
    vault: the table `contacts`.
    landing: the landing folder and its declarations.
    databases: what the declared connections lead to.
    """

    lake: Lake
    vault: Lake
    landing: Landing
    databases: Databases

    def home(self, table: str) -> Lake:
        """The lake that holds the table."""
        return self.vault if table == contracts.CONTACTS.name else self.lake

    @classmethod
    def at(cls, databases: Databases = NO_DATABASES) -> "Desk":
        """As the settings say."""
        return cls(open_lake(), open_vault(), open_landing(), databases)

    @property
    def veil(self) -> Veil:
        """What of refused rows nobody may read."""
        return veil(self.landing)


@dataclass(frozen=True)
class Screened:
    """What became of one table's landing.

    accepted: the rows that may be published; computed when they are asked for.
    landed, left_out, refused: rows by day; what was left out on purpose is part of what landed.
    failed: rows by day and code; a row may fail by several.
    ids: `id` and `since`: what other tables may name, of other days and of what is accepted now.
    measured: what the table rules found.
    sentences: what stops the table; if there are any, nothing may be published.
    results: Great Expectations' own, by what they judge.
    """

    table: str
    accepted: ir.Table
    landed: Counter[date]
    left_out: Counter[date]
    refused: Counter[date]
    failed: Mapping[tuple[date, str], int]
    ids: ir.Table | None
    measured: Sequence["Measured"]
    sentences: Sequence[str]
    results: Mapping[str, "Result"]
    refusals: Refusals

    @property
    def counts(self) -> dict[str, int]:
        """For the log and the task's result: landed = published + quarantined + left out."""
        landed, refused, left_out = (c.total() for c in (self.landed, self.refused, self.left_out))
        found = {"landed": landed, "published": landed - refused - left_out, "quarantined": refused}
        return found | ({"left_out": left_out} if left_out else {})

    def found(self) -> Iterator[dict[str, object]]:
        """The rows of the table `validations`: row rules that rows broke, and all table rules."""
        for (day, code), failed in self.failed.items():
            yield self._found(day, code, "row", failed, column=code.split(" ")[0])
        for day, rows in self.left_out.items():
            yield self._found(day, LEFT_OUT, "row", rows)
        for rule in self.measured:
            said = {"column": rule.column, "found": rule.found, "least": rule.least, "most": rule.most}
            yield self._found(rule.day, rule.rule, "table", int(rule.broken), **said)

    def _found(self, day: date, rule: str, level: str, failed: int, **said: object) -> dict[str, object]:
        same = {"day": day, "table": self.table, "rule": rule, "level": level}
        return same | {"rows": self.landed[day], "failed": failed} | said


def screen(
    desk: Desk, table: str, stretch: Stretch, earlier: Mapping[str, Screened], held: ExitStack
) -> Screened:
    """Screen a table's landing, which may refer to the tables screened `earlier`.

    What is answered can be used until `held` closes.

    Raises:
        SourceError: a source cannot be read.
    """
    contract = contracts.CONTRACTS[table]
    landed = held.enter_context(
        sources.read(desk.landing, table, stretch.first, stretch.last, desk.databases)
    )
    if not landed.pieces:
        return _nothing(desk, contract, stretch, landed, held)
    # Great Expectations takes seconds to import: only when there is something to judge.
    from perennial.ingestion import validation

    results: dict[str, Result] = {}
    sentences: list[str] = []
    for name, columns in _judged_columns(landed, contract).items():
        verdict = validation.judge_columns(
            columns, contract, desk.landing.sources.of(table).sources[name], name
        )
        results[f"columns of {name}"] = verdict.result
        sentences += verdict.sentences
        for file, new in verdict.new.items():
            _LOG.warning("%s: %s: new columns %s are ignored", table, file, ", ".join(new))
    if sentences:
        return _nothing(desk, contract, stretch, landed, held, sentences, results)
    try:
        return _screened(desk, contract, stretch, earlier, landed, results, held)
    except engine.errors() as error:
        # Not `from error`: its text may have a value of a row, and tracebacks are logged.
        raise SourceError(f"{table}: cannot be read: {without_values(error)}") from None


def _screened(
    desk: Desk,
    contract: Contract,
    stretch: Stretch,
    earlier: Mapping[str, Screened],
    landed: Landed,
    results: dict[str, "Result"],
    held: ExitStack,
) -> Screened:
    from perennial.ingestion import validation

    rules = desk.landing.sources.of(contract.name).rules
    references = {column: earlier[name].ids for column, name in row_checks.refers_to(contract.name).items()}
    seen = row_patterns.scan(landed, contract, desk.landing.sources, stretch, references, held)
    verdict = validation.judge_rows(seen.patterns, contract)
    refused = held.enter_context(engine.kept(_refused(seen.marks, verdict.reasons)))
    tally = _tally(seen, verdict.reasons)
    landing = day_measures.frame(
        day_measures.Tallied(tally.landed, tally.left_out, tally.refused, tally.codes()),
        _files(landed, tally.landed),
        day_measures.measures(seen, rules),
    )
    held_rows = desk.home(contract.name).read(contract.name)
    beside = day_measures.beside_history(
        landing, seen, held_rows, desk.lake.read("quarantine"), contract, rules, stretch
    )
    whole = validation.judge_landings(beside, contract.name, rules)
    accepted = seen.rows.anti_join(refused, AT) if verdict.reasons else seen.rows
    return Screened(
        table=contract.name,
        accepted=accepted,
        landed=tally.landed,
        left_out=tally.left_out,
        refused=tally.refused,
        failed=tally.failed,
        ids=_ids(desk, contract, stretch, accepted, held),
        measured=whole.measured,
        sentences=whole.sentences,
        results={**results, "rows": verdict.result, "landings": whole.result},
        refusals=Refusals(contract.name, landed, refused, verdict.reasons, seen.broken),
    )


@dataclass(frozen=True)
class _Tally:
    """Rows by day, and by day and code."""

    landed: Counter[date]
    left_out: Counter[date]
    refused: Counter[date]
    failed: Counter[tuple[date, str]]

    def codes(self) -> dict[date, Counter[str]]:
        """What was refused on each day, by code."""
        found: dict[date, Counter[str]] = {}
        for (day, code), rows in self.failed.items():
            found.setdefault(day, Counter())[code] += rows
        return found


def _tally(seen: Scan, reasons: Mapping[int, Sequence[Reason]]) -> _Tally:
    tally = _Tally(Counter(), Counter(), Counter(), Counter())
    for day, pattern, rows in seen.counts.itertuples(index=False):
        tally.landed[day] += rows
        if pattern in reasons:
            tally.refused[day] += rows
            tally.failed.update({(day, reason.code): rows for reason in reasons[pattern]})
    for day, rows in by_day(seen.broken, DAY).items() if seen.broken is not None else ():
        tally.landed[day] += rows
        tally.refused[day] += rows
        tally.failed[day, BROKEN_LINE] += rows
    for part in seen.left_out:
        counted = by_day(part, DAY)
        tally.landed.update(counted)
        tally.left_out.update(counted)
    return tally


def _refused(marks: ir.Table, reasons: Mapping[int, Sequence[Reason]]) -> ir.Table:
    failing = marks.filter(marks[row_checks.PATTERN].isin([int(pattern) for pattern in reasons]))
    return failing.select(AT, **{LANDED_ON: failing[DAY], PATTERN: failing[row_checks.PATTERN]})


def _judged_columns(landed: Landed, contract: Contract) -> dict[str, dict[str, dict[str, str]]]:
    """Source → of each different header the first piece that has it → its columns with their types."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    seen: set[tuple[object, ...]] = set()
    for piece in landed.pieces:
        columns = {name: TEXT_ONLY if piece.staged else kind for name, kind in piece.own.items()}
        header = (piece.source_name, *columns.items())
        if header not in seen:
            seen.add(header)
            found.setdefault(piece.source_name, {})[piece.name] = columns
    return found


def _files(landed: Landed, days: Iterable[date]) -> dict[date, set[str]]:
    """Day → the names of its files; a file of many days stands for each of them."""
    files: dict[date, set[str]] = {}
    for piece in landed.pieces:
        for day in (piece.day,) if piece.day else days:
            files.setdefault(day, set()).add(piece.name)
    return files


def _ids(
    desk: Desk, contract: Contract, stretch: Stretch, accepted: ir.Table, held: ExitStack
) -> ir.Table | None:
    """`id` and `since`: what the table knew on other days, and what of this stretch will be published."""
    if contract.name not in row_checks.REFERRED_TO:
        return None
    name, since = contract.key[0], contract.partition
    known, fresh = conform(desk.lake.read(contract.name), contract), conform(accepted, contract)
    others = known.filter(~known[since].between(stretch.first, stretch.last))
    both = ibis.union(*(rows.select(id=rows[name], since=rows[since]) for rows in (others, fresh)))
    return held.enter_context(engine.kept(both.group_by("id").agg(since=both.since.min())))


def _nothing(
    desk: Desk,
    contract: Contract,
    stretch: Stretch,
    landed: Landed,
    held: ExitStack,
    sentences: Sequence[str] = (),
    results: Mapping[str, "Result"] | None = None,
) -> Screened:
    """Nothing landed, or nothing that could be read."""
    none = ibis.memtable(contract.schema.empty_table())
    places = pa.schema([(AT, pa.int64()), (LANDED_ON, pa.date32()), (PATTERN, pa.int64())])
    return Screened(
        table=contract.name,
        accepted=none,
        landed=Counter(),
        left_out=Counter(),
        refused=Counter(),
        failed={},
        ids=_ids(desk, contract, stretch, none, held),
        measured=(),
        sentences=sentences,
        results=results or {},
        refusals=Refusals(contract.name, landed, ibis.memtable(places.empty_table()), {}, None),
    )
