"""Refused rows, judged again: by today's rules, today's `sources.yaml` and the lake as it is now.

All rows of a table and stretch that are set aside are judged together, as they would be if the days were
ingested again; of these, the rows with the asked reason are acted upon. Those that pass are published on the
day they landed, the others have today's reasons from then on.

Three writes, each of which may be repeated: the rows that pass are marked, with the day of the replay and the
reason `replaying`; they are added to their table, which passes over keys that are there; the mark goes. A
replay that was killed in between is finished by the next one of these days, whatever reason that asks for,
or undone by `ingest`, which replaces the days.
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
from perennial.ingestion.days import Stretch
from perennial.ingestion.quarantine import Reason, Refusal
from perennial.ingestion.quarantined_rows import MARK, Aside, Place
from perennial.ingestion.refusals import BROKEN_LINE
from perennial.ingestion.screening import LEFT_OUT, Desk
from perennial.ingestion.sources import AT, Landed

TABLES = tuple(name for name in contracts.LANDED_TABLES if name != contracts.CONTACTS.name)
"""The tables whose refused rows can be judged again."""
_LEFT_OUT = Reason(LEFT_OUT, "", "`where` or `keep` in sources.yaml leaves it out by now")


@dataclass(frozen=True)
class Replayed:
    """What became of the rows with the asked reason; `refused`: rows by code, and a row may have several."""

    candidates: int
    published: int
    refused: Counter[str]

    @property
    def counts(self) -> dict[str, int | dict[str, int]]:
        """For the log and the task's result."""
        still = dict(self.refused.most_common())
        return {"candidates": self.candidates, "published": self.published, "still_refused": still}


def replay(desk: Desk, table: str, stretch: Stretch, reason: str, day: date) -> Replayed:
    """Judge the table's refused rows of the stretch again and publish those that pass.

    Args:
        desk: the lake, the landing folder and its declarations.
        table: one of `TABLES`.
        stretch: the days on which the rows landed.
        reason: only rows with this code (what stands before the colon); empty for all.
        day: what `replayed_on` shall say.

    Raises:
        ValueError: the table is none of `TABLES`.
        SourceError: it cannot be told how to read a row with the asked reason; nothing was changed.
    """
    if table not in TABLES:
        why = ": nothing but pseudonyms is kept of a contact; mend the file and ingest the day again"
        raise ValueError(
            f"refused rows of {table!r} cannot be replayed{why if table == contracts.CONTACTS.name else ''}; "
            f"allowed are {', '.join(TABLES)}"
        )
    rows = list(quarantined_rows.unpublished(desk.lake, table, stretch))
    chosen = [row for row in rows if row.is_marked or not reason or row.has(reason)]
    wanted = [row for row in chosen if not row.is_broken]
    codes = Counter(BROKEN_LINE for row in chosen if row.is_broken)
    if not wanted:
        return Replayed(len(chosen), 0, codes)
    readable = [row for row in rows if not row.is_broken]
    needed = {row.place for row in wanted}
    with ExitStack() as held:
        folder = held.enter_context(sources.staging())
        landed = quarantined_rows.staged(desk.landing, table, readable, needed, stretch, folder)
        seen = _judged(desk, contracts.CONTRACTS[table], stretch, landed, readable, held)
        passing = [row for row in wanted if not seen.reasons(row)]
        failing = [row for row in wanted if seen.reasons(row)]
        codes.update(each.code for row in failing for each in seen.reasons(row))
        before = {row.place: [reason for reason in row.kept["reasons"] if reason != MARK] for row in passing}
        marked = [row.changed([*before[row.place], MARK], day) for row in passing]
        _amend(desk.lake, [*marked, *_refused_again(desk, table, landed, failing, seen)])
        if passing:
            desk.lake.add(table, seen.only(passing))
        _amend(desk.lake, [row.changed(before[row.place], day) for row in passing])
    return Replayed(len(chosen), len(passing), codes)


@dataclass(frozen=True)
class _Judged:
    """What today's rules say of refused rows.

    rows: as they would be published, with `_at`.
    at: where each stands among them; a row that is left out stands nowhere.
    refused: why, for those that do not pass.
    """

    rows: ir.Table
    at: Mapping[Place, int]
    refused: Mapping[int, Sequence[Reason]]

    def reasons(self, row: Aside) -> Sequence[Reason]:
        """Why a row does not pass; empty if it does."""
        return self.refused.get(self.at[row.place], ()) if row.place in self.at else (_LEFT_OUT,)

    def only(self, rows: Iterable[Aside]) -> ir.Table:
        """Of the rows, these."""
        wanted = pa.table({AT: pa.array([self.at[row.place] for row in rows], pa.int64())})
        return self.rows.semi_join(ibis.memtable(wanted), AT)


def _judged(
    desk: Desk,
    contract: Contract,
    stretch: Stretch,
    landed: Landed,
    readable: Iterable[Aside],
    held: ExitStack,
) -> _Judged:
    # Great Expectations takes seconds to import: only when there is something to judge.
    from perennial.ingestion import validation

    references = {
        column: _ids(desk.lake, table) for column, table in row_checks.refers_to(contract.name).items()
    }
    seen = row_patterns.scan(landed, contract, desk.landing.sources, stretch, references, held)
    verdict = validation.judge_rows(seen.patterns, contract)
    marks = seen.marks.select(AT, row_checks.PATTERN).to_pyarrow()
    patterns = dict(zip(marks[AT].to_pylist(), marks[row_checks.PATTERN].to_pylist(), strict=True))
    at: dict[Place, int] = {}
    for number in patterns:
        piece, line = landed.place(number)
        assert piece.day is not None
        at[piece.day, piece.name, line] = number
    refused = {n: verdict.reasons[found] for n, found in patterns.items() if found in verdict.reasons}
    repeated = Reason(
        f"{contract.key[0]} repeated", contract.key[0], "{found} is published already, of that day"
    )
    finished = {at[row.place] for row in readable if row.is_marked and row.place in at}
    for number in _published(desk.lake, seen.rows, contract, stretch):
        if number not in finished:
            refused.setdefault(number, (repeated,))
    return _Judged(seen.rows, at, refused)


def _ids(lake: Lake, table: str) -> ir.Table:
    """`id`, and `since`, its first day, of everything that the table knows."""
    contract = contracts.CONTRACTS[table]
    rows = lake.read(table)
    return rows.group_by(id=rows[contract.key[0]]).agg(since=rows[contract.partition].min())


def _published(lake: Lake, rows: ir.Table, contract: Contract, stretch: Stretch) -> list[int]:
    """`_at` of the rows whose key the table has already, which names the day on which they landed."""
    table = lake.read(contract.name)
    held = table.filter(table[contract.partition].between(stretch.first, stretch.last))
    same = [rows[column].identical_to(held[column]) for column in contract.key]
    found: list[int] = rows.semi_join(held, same).select(AT).to_pyarrow()[AT].to_pylist()
    return found


def _refused_again(
    desk: Desk, table: str, landed: Landed, rows: Sequence[Aside], seen: _Judged
) -> Iterator[dict[str, Any]]:
    """The rows with today's reasons, as far as that changes anything."""
    contract = contracts.CONTRACTS[table]
    filled = {(piece.day, piece.name): piece.source.reads(contract) for piece in landed.pieces}
    refusals = (
        Refusal(*row.place, row.values, seen.reasons(row), filled[row.place[0], row.place[1]]) for row in rows
    )
    now = quarantine.set_aside(table, refusals, desk.veil)["reasons"].to_pylist()
    for row, reasons in zip(rows, now, strict=True):
        if reasons != row.kept["reasons"]:
            yield row.changed(reasons, None)


def _amend(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        lake.amend("quarantine", pa.Table.from_pylist(list(rows), contracts.QUARANTINE.schema))
