"""One table's landing, screened: what may be published, what is refused and why, what the rules found."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from perennial.foundation import contracts, engine, masking
from perennial.foundation.config import ConfigError
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import Lake, conform, open_lake, open_vault
from perennial.foundation.settings import settings
from perennial.ingestion import facts, landings, limits, quarantine, sources
from perennial.ingestion.declarations import CustomerIds, Rules, Source, Sources
from perennial.ingestion.kinds import TEXT_ONLY
from perennial.ingestion.landing import Landing, open_landing
from perennial.ingestion.landings import Stretch
from perennial.ingestion.mapping import mapped
from perennial.ingestion.normalise import stamp
from perennial.ingestion.quarantine import Reason, Refusal, Veil
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.sources import AT, DAY, NO_DATABASES, Databases, Landed

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult as Result

    from perennial.ingestion.judgement import Measured

_LOG = logging.getLogger(__name__)
LEFT_OUT = "left out"
"""What stands for a rule in `validations` where `where` or `keep` left rows out."""
_BROKEN_LINE = "line broken"
_BATCH_ROWS = 20_000
_PATTERN = "_pattern"


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
        return veil(self.landing.sources)


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
    refusals: "Refusals"

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


@dataclass(frozen=True)
class Refusals:
    """The rows that are refused: where they are, and why.

    rows: `_at`, `_landed_on`, `_pattern`.
    reasons: pattern → reasons.
    broken: `_at`, `_day`, `_broken`: the lines that are no rows.
    """

    table: str
    landed: Landed
    rows: ir.Table
    reasons: Mapping[int, Sequence[Reason]]
    broken: ir.Table | None

    def batches(self, veil: Veil) -> Iterator[pa.RecordBatch]:
        """The rows of the table `quarantine`, read from their files once more."""
        numbers = self.rows.select(number=self.landed.number(self.rows[AT])).distinct().to_pyarrow()
        for raw in self.landed.raw(sorted(numbers["number"].to_pylist())):
            filled = raw.source.reads(contracts.CONTRACTS[self.table])
            rows = raw.rows.select(AT, *raw.columns).inner_join(self.rows, AT)
            for batch in engine.stream(rows, _BATCH_ROWS):
                yield quarantine.set_aside(self.table, self._refusals(batch, filled), veil)
        if self.broken is not None:
            for batch in engine.stream(self.broken, _BATCH_ROWS):
                yield quarantine.set_aside(self.table, self._broken(batch), veil)

    def _refusals(self, batch: pa.RecordBatch, filled: quarantine.Filled) -> Iterator[Refusal]:
        for row in batch.to_pylist():
            piece, line = self.landed.place(row.pop(AT))
            day, pattern = row.pop("_landed_on"), row.pop(_PATTERN)
            yield Refusal(day, piece.name, line, row, self.reasons[pattern], filled)

    def _broken(self, batch: pa.RecordBatch) -> Iterator[Refusal]:
        for row in batch.to_pylist():
            piece, line = self.landed.place(row[AT])
            yield Refusal(row[DAY], piece.name, line, {}, [Reason(_BROKEN_LINE, BROKEN, row[BROKEN])])


def veil(declared: Sources) -> Veil:
    """What of refused rows nobody may read: contact data wherever it stands, and ids that are personal."""
    named: dict[str, set[str]] = {"contacts": set(), "ids": set()}
    for table in contracts.LANDED_TABLES:
        contract = contracts.CONTRACTS[table]
        for source in declared.of(table).sources.values():
            filled = source.reads(contract)
            personal = declared.customer_ids is CustomerIds.PERSONAL
            named["ids"] |= {_column(filled, "customer_id")} if personal else set()
            if table == contracts.CONTACTS.name:
                named["contacts"] |= {_column(filled, name) for name in facts.CONTACT_COLUMNS}
    return Veil(settings().key, frozenset(named["contacts"] - {""}), frozenset(named["ids"] - {""}))


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
    from perennial.ingestion import judgement

    results: dict[str, Result] = {}
    sentences: list[str] = []
    for name, columns in _judged_columns(landed, contract).items():
        verdict = judgement.judge_columns(
            columns, contract, desk.landing.sources.of(table).sources[name], name
        )
        results[f"columns of {name}"] = verdict.result
        sentences += verdict.sentences
        for file, new in verdict.new.items():
            _LOG.warning("%s: %s: new columns %s are ignored", table, file, ", ".join(new))
    if sentences:
        return _nothing(desk, contract, stretch, landed, held, sentences, results)
    return _screened(desk, contract, stretch, earlier, landed, results, held)


def _screened(
    desk: Desk,
    contract: Contract,
    stretch: Stretch,
    earlier: Mapping[str, Screened],
    landed: Landed,
    results: dict[str, "Result"],
    held: ExitStack,
) -> Screened:
    from perennial.ingestion import judgement

    zone, rules = settings().zone, desk.landing.sources.of(contract.name).rules
    parts = [mapped(raw, contract, stretch.first, stretch.last) for raw in landed.raw()]
    lags = [_lag(raw.source, stretch) for raw in landed.raw()]
    stamped = [
        stamp(part.rows, contract, zone, stretch.last, lag) for part, lag in zip(parts, lags, strict=True)
    ]
    rows = _hidden(ibis.union(*stamped), contract, desk.landing.sources)
    references = {column: earlier[name].ids for column, name in facts.refers_to(contract.name).items()}
    told = facts.add(rows, contract, references, zone, stretch.last)
    with ExitStack() as meanwhile:
        repeats = facts.repeated(rows, contract, meanwhile)
        marks = held.enter_context(engine.kept(facts.judged(told, repeats, contract)))
    found = (
        marks.group_by(DAY, facts.PATTERN).agg(rows=marks.count()).to_pyarrow().to_pandas(date_as_object=True)
    )
    verdict = judgement.judge_rows(_weighed(found, contract), contract)
    results["rows"] = verdict.result
    refused = held.enter_context(engine.kept(_refused(marks, verdict.reasons)))
    broken = _held_broken([part.broken for part in parts if part.broken is not None], held)
    tally = _tally(found, verdict.reasons, broken, [p.left_out for p in parts if p.left_out is not None])
    measured = landings.measures(rows, contract, rules, zone, stretch.last)
    landing = _landing_frame(desk, contract, stretch, landed, rows, tally, measured, rules)
    whole = judgement.judge_landings(landing, contract.name, rules)
    results["landings"] = whole.result
    accepted = rows.anti_join(refused, AT) if verdict.reasons else rows
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
        results=results,
        refusals=Refusals(contract.name, landed, refused, verdict.reasons, broken),
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


def _tally(
    found: pd.DataFrame,
    reasons: Mapping[int, Sequence[Reason]],
    broken: ir.Table | None,
    left_out: Sequence[ir.Table],
) -> _Tally:
    tally = _Tally(Counter(), Counter(), Counter(), Counter())
    for day, pattern, rows in found.itertuples(index=False):
        tally.landed[day] += rows
        if pattern in reasons:
            tally.refused[day] += rows
            tally.failed.update({(day, reason.code): rows for reason in reasons[pattern]})
    for day, rows in _by_day(broken).items() if broken is not None else ():
        tally.landed[day] += rows
        tally.refused[day] += rows
        tally.failed[day, _BROKEN_LINE] += rows
    for part in left_out:
        counted = _by_day(part)
        tally.landed.update(counted)
        tally.left_out.update(counted)
    return tally


def _by_day(rows: ir.Table) -> Counter[date]:
    counted = rows.group_by(DAY).agg(rows=rows.count()).to_pyarrow()
    return Counter(dict(zip(counted[DAY].to_pylist(), counted["rows"].to_pylist(), strict=True)))


def _weighed(found: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Each different pattern once: what the suite reads, and how many rows look like it."""
    rows = found.groupby(facts.PATTERN)["rows"].sum()
    frame = facts.patterns([int(pattern) for pattern in rows.index], contract)
    return frame.assign(rows=rows.to_numpy())


def _refused(marks: ir.Table, reasons: Mapping[int, Sequence[Reason]]) -> ir.Table:
    failing = marks.filter(marks[facts.PATTERN].isin([int(pattern) for pattern in reasons]))
    return failing.select(AT, _landed_on=failing[DAY], **{_PATTERN: failing[facts.PATTERN]})


def _held_broken(parts: Sequence[ir.Table], held: ExitStack) -> ir.Table | None:
    return held.enter_context(engine.kept(ibis.union(*parts))) if parts else None


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


def _hidden(rows: ir.Table, contract: Contract, declared: Sources) -> ir.Table:
    """The rows without contact data, but in the vault's own columns; personal ids as pseudonyms."""
    key = settings().key
    if declared.customer_ids is CustomerIds.PERSONAL and "customer_id" in contract.schema.names:
        if key is None:
            raise ConfigError(
                "sources.yaml: customer_ids: 'personal' needs the setting PERENNIAL_PSEUDONYM_KEY"
            )
        rows = masking.pseudonymise(rows, ["customer_id"], key)
    own = facts.CONTACT_COLUMNS if contract.name == contracts.CONTACTS.name else ()
    return masking.hide(rows, [name for name in limits.longest(contract) if name not in own], key)


def _lag(source: Source, stretch: Stretch) -> int | None:
    return source.history.lag_days if stretch.history and source.history else None


def _column(filled: quarantine.Filled, name: str) -> str:
    """The source's own column that fills the contract's, if it is one."""
    found = filled.get(name)
    return found if isinstance(found, str) else ""


def _landing_frame(
    desk: Desk,
    contract: Contract,
    stretch: Stretch,
    landed: Landed,
    rows: ir.Table,
    tally: _Tally,
    measured: pd.DataFrame,
    rules: Rules,
) -> pd.DataFrame:
    files: dict[date, set[str]] = {}
    for piece in landed.pieces:
        for day in (piece.day,) if piece.day else tally.landed:
            files.setdefault(day, set()).add(piece.name)
    frame = landings.frame(tally.landed, tally.left_out, tally.refused, tally.codes(), files, measured)
    held = desk.home(contract.name).read(contract.name)
    return landings.beside_history(frame, rows, held, desk.lake.read("quarantine"), contract, rules, stretch)


def _ids(
    desk: Desk, contract: Contract, stretch: Stretch, accepted: ir.Table, held: ExitStack
) -> ir.Table | None:
    """`id` and `since`: what the table knew on other days, and what of this stretch will be published."""
    if contract.name not in facts.REFERRED_TO:
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
    places = pa.schema([(AT, pa.int64()), ("_landed_on", pa.date32()), (_PATTERN, pa.int64())])
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
