"""Screens one table's landing: the rows that may be published, the refused rows, the results of the rules."""

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
from perennial.ingestion.day_measures import DayCounts
from perennial.ingestion.days import Period, by_day
from perennial.ingestion.errors import SourceError
from perennial.ingestion.hidden_columns import row_masker
from perennial.ingestion.landing import Landing, open_landing, without_values
from perennial.ingestion.quarantine import Reason, RowMasker
from perennial.ingestion.refusals import BROKEN_LINE, LANDED_ON, PATTERN, Refusals
from perennial.ingestion.row_patterns import Scan
from perennial.ingestion.sources import AT, DAY, NO_DATABASES, Databases, Landed

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult as Result

    from perennial.ingestion.validation import Measurement

_LOG = logging.getLogger(__name__)
LEFT_OUT = "left out"
"""The name in `validations` for the rows that `where` or `keep` left out, in place of a rule."""


@dataclass(frozen=True)
class Storage:
    """The places that ingestion reads from and writes to.

    lake: all tables except `contacts`.
    vault: the table `contacts`.
    landing: the landing folder and the settings of its sources.
    databases: the URLs of the connections that sources name.
    """

    lake: Lake
    vault: Lake
    landing: Landing
    databases: Databases

    def lake_of(self, table: str) -> Lake:
        """The lake that contains the table."""
        return self.vault if table == contracts.CONTACTS.name else self.lake

    @classmethod
    def from_settings(cls, databases: Databases = NO_DATABASES) -> "Storage":
        """The places that the settings name."""
        return cls(open_lake(), open_vault(), open_landing(), databases)

    @property
    def masker(self) -> RowMasker:
        """Hides contact data and personal ids in refused rows."""
        return row_masker(self.landing)


@dataclass(frozen=True)
class Screened:
    """The result of screening one table's landing.

    accepted: the rows that may be published; computed when they are read.
    landed, left_out, refused: number of rows by day; landed rows include the other two.
    failed: number of rows by day and code; a row may fail with several codes.
    ids: the ids that other tables may name, with `since`, the first day of each: those of other days and of
        the accepted rows. None if no table refers to this one.
    measured: what the landing rules measured.
    problems: messages; if there are any, nothing may be published.
    results: the results of Great Expectations: of columns, rows and landings.
    refusals: the refused rows.
    """

    table: str
    accepted: ir.Table
    landed: Counter[date]
    left_out: Counter[date]
    refused: Counter[date]
    failed: Mapping[tuple[date, str], int]
    ids: ir.Table | None
    measured: Sequence["Measurement"]
    problems: Sequence[str]
    results: Mapping[str, "Result"]
    refusals: Refusals

    @property
    def counts(self) -> dict[str, int]:
        """The numbers for the log and the task's result: landed = published + quarantined + left out."""
        landed, refused, left_out = (
            counter.total() for counter in (self.landed, self.refused, self.left_out)
        )
        counts = {"landed": landed, "published": landed - refused - left_out, "quarantined": refused}
        return counts | ({"left_out": left_out} if left_out else {})

    def validations(self) -> Iterator[dict[str, object]]:
        """The rows for the table `validations`: the row rules that rows failed, and all landing rules."""
        for (day, code), failed in self.failed.items():
            yield self._validation(day, code, "row", failed, column=code.split(" ")[0])
        for day, rows in self.left_out.items():
            yield self._validation(day, LEFT_OUT, "row", rows)
        for rule in self.measured:
            numbers = {"column": rule.column, "found": rule.value, "least": rule.least, "most": rule.most}
            yield self._validation(rule.day, rule.rule, "table", int(rule.broken), **numbers)

    def _validation(self, day: date, rule: str, level: str, failed: int, **more: object) -> dict[str, object]:
        common = {"day": day, "table": self.table, "rule": rule, "level": level}
        return common | {"rows": self.landed[day], "failed": failed} | more


def screen(
    storage: Storage, table: str, period: Period, earlier: Mapping[str, Screened], stack: ExitStack
) -> Screened:
    """Screen a table's landing. Its rows may refer to the tables in `earlier`, which are screened already.

    The result can be used until `stack` closes.

    Raises:
        SourceError: a source cannot be read.
    """
    contract = contracts.CONTRACTS[table]
    landed = stack.enter_context(
        sources.read(storage.landing, table, period.first, period.last, storage.databases)
    )
    if not landed.pieces:
        return _nothing(storage, contract, period, landed, stack)
    # Imported here because Great Expectations takes seconds to import.
    from perennial.ingestion import validation

    results: dict[str, Result] = {}
    problems: list[str] = []
    for name, columns in _headers(landed, contract).items():
        verdict = validation.judge_columns(
            columns, contract, storage.landing.sources.of(table).sources[name], name
        )
        results[f"columns of {name}"] = verdict.result
        problems += verdict.problems
        for file, new in verdict.new.items():
            _LOG.warning("%s: %s: new columns %s are ignored", table, file, ", ".join(new))
    if problems:
        return _nothing(storage, contract, period, landed, stack, problems, results)
    try:
        return _screened(storage, contract, period, earlier, landed, results, stack)
    except engine.errors() as error:
        # Not `from error`: its text may have a value of a row, and tracebacks are logged.
        raise SourceError(f"{table}: cannot be read: {without_values(error)}") from None


def _screened(
    storage: Storage,
    contract: Contract,
    period: Period,
    earlier: Mapping[str, Screened],
    landed: Landed,
    results: dict[str, "Result"],
    stack: ExitStack,
) -> Screened:
    from perennial.ingestion import validation

    rules = storage.landing.sources.of(contract.name).rules
    references = {column: earlier[name].ids for column, name in row_checks.refers_to(contract.name).items()}
    seen = row_patterns.scan(landed, contract, storage.landing.sources, period, references, stack)
    verdict = validation.judge_rows(seen.patterns, contract)
    refused = stack.enter_context(engine.kept(_refused(seen.row_patterns, verdict.reasons)))
    counts = _counts(seen, verdict.reasons)
    day_frame = day_measures.day_frame(
        counts,
        _files(landed, counts.landed),
        day_measures.measures(seen, rules),
    )
    published = storage.lake_of(contract.name).read(contract.name)
    days = day_measures.with_history(
        day_frame, seen, published, storage.lake.read("quarantine"), contract, rules, period
    )
    landing_verdict = validation.judge_landings(days, contract.name, rules)
    accepted = seen.rows.anti_join(refused, AT) if verdict.reasons else seen.rows
    return Screened(
        table=contract.name,
        accepted=accepted,
        landed=counts.landed,
        left_out=counts.left_out,
        refused=counts.refused,
        failed=counts.failed,
        ids=_ids(storage, contract, period, accepted, stack),
        measured=landing_verdict.measured,
        problems=landing_verdict.problems,
        results={**results, "rows": verdict.result, "landings": landing_verdict.result},
        refusals=Refusals(contract.name, landed, refused, verdict.reasons, seen.broken),
    )


def _counts(seen: Scan, reasons: Mapping[int, Sequence[Reason]]) -> DayCounts:
    counts = DayCounts(Counter(), Counter(), Counter(), Counter())
    for day, pattern, rows in seen.counts.itertuples(index=False):
        counts.landed[day] += rows
        if pattern in reasons:
            counts.refused[day] += rows
            counts.failed.update({(day, reason.code): rows for reason in reasons[pattern]})
    for day, rows in by_day(seen.broken, DAY).items() if seen.broken is not None else ():
        counts.landed[day] += rows
        counts.refused[day] += rows
        counts.failed[day, BROKEN_LINE] += rows
    for part in seen.left_out:
        left_out = by_day(part, DAY)
        counts.landed.update(left_out)
        counts.left_out.update(left_out)
    return counts


def _refused(rows: ir.Table, reasons: Mapping[int, Sequence[Reason]]) -> ir.Table:
    """`_at`, `_landed_on` and `_pattern` of the rows whose pattern has a reason."""
    failing = rows.filter(rows[row_checks.PATTERN].isin([int(pattern) for pattern in reasons]))
    return failing.select(AT, **{LANDED_ON: failing[DAY], PATTERN: failing[row_checks.PATTERN]})


def _headers(landed: Landed, contract: Contract) -> dict[str, dict[str, dict[str, str]]]:
    """Source → file → columns with their types; only the first file of each different header."""
    headers: dict[str, dict[str, dict[str, str]]] = {}
    seen: set[tuple[object, ...]] = set()
    for piece in landed.pieces:
        columns = {name: TEXT_ONLY if piece.staged else kind for name, kind in piece.own.items()}
        header = (piece.source_name, *columns.items())
        if header not in seen:
            seen.add(header)
            headers.setdefault(piece.source_name, {})[piece.name] = columns
    return headers


def _files(landed: Landed, days: Iterable[date]) -> dict[date, set[str]]:
    """Day → the names of its files; a file of many days counts for each day."""
    files: dict[date, set[str]] = {}
    for piece in landed.pieces:
        for day in (piece.day,) if piece.day else days:
            files.setdefault(day, set()).add(piece.name)
    return files


def _ids(
    storage: Storage, contract: Contract, period: Period, accepted: ir.Table, stack: ExitStack
) -> ir.Table | None:
    """`id` and `since` of the table's rows of other days and of the accepted rows of this period."""
    if contract.name not in row_checks.REFERRED_TO:
        return None
    name, since = contract.key[0], contract.partition
    published, new = conform(storage.lake.read(contract.name), contract), conform(accepted, contract)
    kept = published.filter(~published[since].between(period.first, period.last))
    both = ibis.union(*(rows.select(id=rows[name], since=rows[since]) for rows in (kept, new)))
    return stack.enter_context(engine.kept(both.group_by("id").agg(since=both.since.min())))


def _nothing(
    storage: Storage,
    contract: Contract,
    period: Period,
    landed: Landed,
    stack: ExitStack,
    problems: Sequence[str] = (),
    results: Mapping[str, "Result"] | None = None,
) -> Screened:
    """The result where nothing landed, or where a column rule stops the table."""
    no_rows = ibis.memtable(contract.schema.empty_table())
    places = pa.schema([(AT, pa.int64()), (LANDED_ON, pa.date32()), (PATTERN, pa.int64())])
    return Screened(
        table=contract.name,
        accepted=no_rows,
        landed=Counter(),
        left_out=Counter(),
        refused=Counter(),
        failed={},
        ids=_ids(storage, contract, period, no_rows, stack),
        measured=(),
        problems=problems,
        results=results or {},
        refusals=Refusals(contract.name, landed, ibis.memtable(places.empty_table()), {}, None),
    )
