"""Judges refused rows again: by today's rules, today's `sources.yaml` and the lake as it is now.

All quarantined rows of a table and period are judged together, as if the days were ingested again. Only the
rows with the given reason are changed: those that pass are published on the day they landed, the others get
today's reasons.

There are three writes, and each may be repeated. First the rows that pass get the day of the replay and the
reason `replaying`. Then they are added to their table, which skips keys that are already there. Then the
reason `replaying` is removed. If a replay was killed in between, the next replay of these days finishes it,
whatever reason it is given; `ingest` undoes it, because it replaces the days.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import Lake
from perennial.ingestion import quarantine, quarantined_rows, row_checks, row_patterns, sources
from perennial.ingestion.days import Period
from perennial.ingestion.quarantine import Reason, Refusal
from perennial.ingestion.quarantined_rows import REPLAYING, Place, QuarantinedRow
from perennial.ingestion.refusals import BROKEN_LINE
from perennial.ingestion.screening import LEFT_OUT, Storage
from perennial.ingestion.sources import AT, Landed

TABLES = tuple(name for name in contracts.LANDED_TABLES if name != contracts.CONTACTS.name)
"""The tables whose refused rows can be replayed."""
_LEFT_OUT = Reason(LEFT_OUT, "", "`where` or `keep` in sources.yaml leaves it out now")


@dataclass(frozen=True)
class Replayed:
    """The result for the rows with the given reason.

    refused: code → number of rows that are still refused; a row may have several codes.
    """

    candidates: int
    published: int
    refused: Counter[str]

    @property
    def counts(self) -> dict[str, int | dict[str, int]]:
        """The numbers for the log and the task's result."""
        still_refused = dict(self.refused.most_common())
        return {"candidates": self.candidates, "published": self.published, "still_refused": still_refused}


def replay(storage: Storage, table: str, period: Period, reason: str, day: date) -> Replayed:
    """Judge the table's refused rows of the period again and publish those that pass.

    Args:
        storage: the lake, the landing folder and the settings of its sources.
        table: one of `TABLES`.
        period: the days on which the rows landed.
        reason: the code of the rows to replay (the part before the colon); empty for all rows.
        day: the value of `replayed_on`.

    Raises:
        ValueError: the table is not in `TABLES`.
        SourceError: today's settings cannot read a row with the given reason; nothing was changed.
    """
    if table not in TABLES:
        why = ": of a contact only pseudonyms are stored; correct the file and ingest the day again"
        raise ValueError(
            f"refused rows of {table!r} cannot be replayed{why if table == contracts.CONTACTS.name else ''}; "
            f"allowed are {', '.join(TABLES)}"
        )
    rows = list(quarantined_rows.unpublished(storage.lake, table, period))
    candidates = [row for row in rows if row.is_replaying or not reason or row.has(reason)]
    whole = [row for row in candidates if not row.is_broken]
    still_refused = Counter(BROKEN_LINE for row in candidates if row.is_broken)
    if not whole:
        return Replayed(len(candidates), 0, still_refused)
    readable = [row for row in rows if not row.is_broken]
    needed = {row.place for row in whole}
    with ExitStack() as stack:
        folder = stack.enter_context(sources.staging())
        landed = quarantined_rows.staged(storage.landing, table, readable, needed, period, folder)
        judged = _judged(storage, contracts.CONTRACTS[table], period, landed, readable, stack)
        passing = [row for row in whole if not judged.reasons(row)]
        failing = [row for row in whole if judged.reasons(row)]
        still_refused.update(reason.code for row in failing for reason in judged.reasons(row))
        reasons_before = {
            row.place: [reason for reason in row.record["reasons"] if reason != REPLAYING] for row in passing
        }
        marked = [row.with_reasons([*reasons_before[row.place], REPLAYING], day) for row in passing]
        _amend(storage.lake, [*marked, *_refused_again(storage, table, landed, failing, judged)])
        if passing:
            storage.lake.add(table, judged.only(passing))
        _amend(storage.lake, [row.with_reasons(reasons_before[row.place], day) for row in passing])
    return Replayed(len(candidates), len(passing), still_refused)


@dataclass(frozen=True)
class _Judged:
    """The result of today's rules for quarantined rows.

    rows: as they would be published, with `_at`.
    at: place → `_at`; a row that `where` or `keep` leaves out is not there.
    refused: `_at` → the reasons of a row that does not pass.
    """

    rows: ir.Table
    at: Mapping[Place, int]
    refused: Mapping[int, Sequence[Reason]]

    def reasons(self, row: QuarantinedRow) -> Sequence[Reason]:
        """The reasons why a row does not pass; empty if it passes."""
        return self.refused.get(self.at[row.place], ()) if row.place in self.at else (_LEFT_OUT,)

    def only(self, rows: Iterable[QuarantinedRow]) -> ir.Table:
        """Only these rows, as they would be published."""
        kept = pa.table({AT: pa.array([self.at[row.place] for row in rows], pa.int64())})
        return self.rows.semi_join(ibis.memtable(kept), AT)


def _judged(
    storage: Storage,
    contract: Contract,
    period: Period,
    landed: Landed,
    readable: Iterable[QuarantinedRow],
    stack: ExitStack,
) -> _Judged:
    # Imported here because Great Expectations takes seconds to import.
    from perennial.ingestion import validation

    references = {
        column: _ids(storage.lake, table) for column, table in row_checks.refers_to(contract.name).items()
    }
    seen = row_patterns.scan(landed, contract, storage.landing.sources, period, references, stack)
    verdict = validation.judge_rows(seen.patterns, contract)
    scanned = seen.row_patterns.select(AT, row_checks.PATTERN).to_pyarrow()
    patterns = dict(zip(scanned[AT].to_pylist(), scanned[row_checks.PATTERN].to_pylist(), strict=True))
    at: dict[Place, int] = {}
    for number in patterns:
        piece, line = landed.place(number)
        assert piece.day is not None
        at[piece.day, piece.name, line] = number
    refused = {
        number: verdict.reasons[pattern] for number, pattern in patterns.items() if pattern in verdict.reasons
    }
    repeated = Reason(
        f"{contract.key[0]} repeated", contract.key[0], "{found} is already published on that day"
    )
    finished = {at[row.place] for row in readable if row.is_replaying and row.place in at}
    for number in _published(storage.lake, seen.rows, contract, period):
        if number not in finished:
            refused.setdefault(number, (repeated,))
    return _Judged(seen.rows, at, refused)


def _ids(lake: Lake, table: str) -> ir.Table:
    """`id` and `since`, its first day, of each id in the table."""
    contract = contracts.CONTRACTS[table]
    rows = lake.read(table)
    return rows.group_by(id=rows[contract.key[0]]).agg(since=rows[contract.partition].min())


def _published(lake: Lake, rows: ir.Table, contract: Contract, period: Period) -> list[int]:
    """`_at` of the rows whose key is already in the table. The key includes the day of landing."""
    table = lake.read(contract.name)
    of_period = table.filter(table[contract.partition].between(period.first, period.last))
    same = [rows[column].identical_to(of_period[column]) for column in contract.key]
    places: list[int] = rows.semi_join(of_period, same).select(AT).to_pyarrow()[AT].to_pylist()
    return places


def _refused_again(
    storage: Storage, table: str, landed: Landed, rows: Sequence[QuarantinedRow], judged: _Judged
) -> Iterator[dict[str, Any]]:
    """The records with today's reasons; only those that change."""
    contract = contracts.CONTRACTS[table]
    filled_by = {(piece.day, piece.name): piece.source.reads(contract) for piece in landed.pieces}
    refusals = (
        Refusal(*row.place, row.values, judged.reasons(row), filled_by[row.place[0], row.place[1]])
        for row in rows
    )
    reasons_now = quarantine.to_rows(table, refusals, storage.masker)["reasons"].to_pylist()
    for row, reasons in zip(rows, reasons_now, strict=True):
        if reasons != row.record["reasons"]:
            yield row.with_reasons(reasons, None)


def _amend(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        lake.amend("quarantine", pa.Table.from_pylist(list(rows), contracts.QUARANTINE.schema))
