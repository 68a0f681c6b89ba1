"""What the DAGs `ingest` and `load_history` call: landing files in, checked tables and quarantine out.

A stretch of days is judged whole before anything of it is published: if a table rule fails, every table stays
as it was. Then the refused rows are written (those of all tables at once, for the table `quarantine` is
replaced by day), then the tables in the order in which they refer to each other, then the days are closed.
Each write replaces the stretch, so a run that was killed anywhere is repaired by running it again.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import Lake, conform, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.settings import WhenNothingLanded, settings
from perennial.ingestion import facts, quarantine, sources
from perennial.ingestion.declarations import Source, column_names
from perennial.ingestion.normalise import normalise, stamp
from perennial.ingestion.quarantine import Reason, Refusal
from perennial.ingestion.sources import AT, DAY, LandingFile, open_landing

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)
_NAMED_REASONS = 3


@dataclass(frozen=True)
class Judged:
    """One table's landing: what may be published, what is refused, and how many rows landed."""

    accepted: ir.Table
    refused: pa.Table
    landed: int

    @property
    def counts(self) -> dict[str, int]:
        """For the log and the task's result."""
        refused = self.refused.num_rows
        return {"landed": self.landed, "published": self.landed - refused, "quarantined": refused}


@dataclass(frozen=True)
class Stretch:
    """The days that are taken in together, and whether they are declared history."""

    first: date
    last: date
    history: bool


def ingest(day: str) -> dict[str, dict[str, int]]:
    """Take in one day and close it; for each table the rows landed, published and quarantined.

    Raises:
        RefusedTableError: a table rule failed; nothing was published.
        SourceError: a landing file cannot be read; nothing was published.
    """
    return _take_in(Stretch(date.fromisoformat(day), date.fromisoformat(day), history=False))


def load_history(first_day: str, last_day: str) -> dict[str, dict[str, int]]:
    """Take in a stretch of past days at once and close them; declared history is known at its time.

    Raises:
        ValueError: the last day is before the first.
        RefusedTableError: a table rule failed; nothing was published.
        SourceError: a landing file cannot be read; nothing was published.
    """
    first, last = date.fromisoformat(first_day), date.fromisoformat(last_day)
    if last < first:
        raise ValueError(
            f"found the days {first} to {last}; allowed is a last day that is not before the first"
        )
    return _take_in(Stretch(first, last, history=True))


def has_landed(day: date) -> bool:
    """Whether any table has files for the day."""
    return day in open_landing().days()


def is_skipped(day: date) -> bool:
    """Whether the day has no files and the shop does not wait for such days."""
    return settings().when_nothing_landed is WhenNothingLanded.SKIP and not has_landed(day)


def unclosed_before(day: date) -> list[date]:
    """The days before `day` that have landing files and are not closed, earliest first."""
    earlier = {landed for landed in open_landing().days() if landed < day}
    return sorted(earlier - open_ledger().closed_days())


def waits_for(day: date) -> date | None:
    """The first earlier day with files that is not closed, or the day itself while it has none."""
    unclosed = unclosed_before(day)
    if unclosed:
        return unclosed[0]
    return None if has_landed(day) else day


def _take_in(stretch: Stretch) -> dict[str, dict[str, int]]:
    lake = open_lake()
    judged: dict[str, Judged] = {}
    for table in contracts.LANDED_TABLES:
        judged[table] = _judge(lake, table, stretch, judged)
    refused = pa.concat_tables([each.refused for each in judged.values()])
    lake.replace("quarantine", refused, stretch.first, stretch.last)
    for table, each in judged.items():
        lake.replace(table, each.accepted, stretch.first, stretch.last)
        _LOG.info("%s %s to %s: %s", table, stretch.first, stretch.last, each.counts)
    days = (stretch.last - stretch.first).days + 1
    open_ledger().close([stretch.first + timedelta(days=n) for n in range(days)], announced_with=stretch.last)
    return {table: each.counts for table, each in judged.items()}


def _judge(lake: Lake, table: str, stretch: Stretch, earlier: Mapping[str, Judged]) -> Judged:
    """Read, normalise and judge one table, which may refer to the tables judged `earlier`."""
    contract, landing = contracts.CONTRACTS[table], open_landing()
    files, source = landing.files(table, stretch.first, stretch.last), landing.sources.of(table)
    if not files:
        return Judged(
            ibis.memtable(contract.schema.empty_table()), contracts.QUARANTINE.schema.empty_table(), 0
        )
    # Great Expectations takes seconds to import: only when there is something to judge.
    from perennial.ingestion import judgement

    judgement.judge_columns(_headers(files), contract, source)
    raw = sources.read(files)
    references = {
        column: _ids(lake, name, stretch, earlier) for column, name in facts.refers_to(table).items()
    }
    rows = _computed(_prepared(raw, contract, source, references, stretch))
    reasons = _refused(rows, contract)
    landed = _landed(rows, files)
    judgement.judge_landings(_landings(files, landed, reasons), table, source)
    return Judged(
        accepted=rows.anti_join(_places(reasons), AT),
        refused=quarantine.set_aside(table, _refusals(raw, files, reasons), column_names(contract, source)),
        landed=sum(landed.values()),
    )


def _prepared(
    raw: Sequence[ir.Table],
    contract: Contract,
    source: Source,
    references: Mapping[str, ir.Table],
    stretch: Stretch,
) -> ir.Table:
    """The rows in the contract's types, stamped, with the facts that the suite judges."""
    lag = source.history.lag_days if stretch.history and source.history else None
    zone = settings().zone
    parts = [normalise(part, contract, source.columns) for part in raw]
    rows = stamp(ibis.union(*parts), contract, zone, stretch.last, lag)
    return facts.add(rows, contract, references, zone, stretch.last)


def _refused(rows: ir.Table, contract: Contract) -> dict[int, list[Reason]]:
    """Place → reasons of each row that the suite refuses; rows that look alike to it are judged once."""
    from perennial.ingestion import judgement

    seen = facts.judged(rows, contract)
    columns = [name for name in seen.columns if name != AT]
    numbered = seen.drop(AT).distinct().mutate(pattern=ibis.row_number())
    patterns = _computed(numbered)
    reasons = judgement.judge_rows(patterns.to_pandas(), contract)
    failed = patterns.semi_join(
        ibis.memtable({"pattern": list(reasons)}, schema={"pattern": "int64"}), "pattern"
    )
    alike = [seen[name].identical_to(failed[name]) for name in columns]
    found = seen.join(failed, alike).select(AT, "pattern").to_pyarrow()
    pairs = zip(found[AT].to_pylist(), found["pattern"].to_pylist(), strict=True)
    return {at: reasons[pattern] for at, pattern in pairs}


def _refusals(
    raw: Sequence[ir.Table], files: Sequence[LandingFile], reasons: Mapping[int, list[Reason]]
) -> Iterator[Refusal]:
    """The refused rows as they came, read from their files once more."""
    if not reasons:
        return
    for part in raw:
        for row in part.semi_join(_places(reasons), AT).to_pyarrow().to_pylist():
            at = row.pop(AT)
            del row[DAY]
            file, line = sources.place(at, files)
            yield Refusal(file.day, file.name, line, row, tuple(reasons[at]))


def _landed(rows: ir.Table, files: Sequence[LandingFile]) -> dict[date, int]:
    """Rows landed on each day that has files."""
    counted = rows.group_by(DAY).agg(rows=rows.count()).to_pyarrow()
    found = dict(zip(counted[DAY].to_pylist(), counted["rows"].to_pylist(), strict=True))
    return {file.day: found.get(file.day, 0) for file in files}


def _landings(
    files: Sequence[LandingFile], landed: Mapping[date, int], reasons: Mapping[int, list[Reason]]
) -> "pd.DataFrame":
    """One row a day, as `judgement.judge_landings` wants it."""
    import pandas as pd

    names: dict[date, list[str]] = {day: [] for day in landed}
    refused: dict[date, list[Reason]] = {day: [] for day in landed}
    counts = Counter[date]()
    for file in files:
        names[file.day].append(file.name)
    for at, found in reasons.items():
        day = sources.place(at, files)[0].day
        counts[day] += 1
        refused[day].extend(found)
    rows = [
        {
            "day": day,
            "files": ", ".join(names[day]),
            "landed": total,
            "refused": counts[day],
            "share": counts[day] / total if total else 0.0,
            "reasons": _commonest(refused[day]),
        }
        for day, total in landed.items()
    ]
    return pd.DataFrame(rows)


def _commonest(reasons: Sequence[Reason]) -> str:
    codes = Counter(reason.code for reason in reasons).most_common(_NAMED_REASONS)
    return "".join(f"; {code}: {count}" for code, count in codes)


def _computed(rows: ir.Table) -> ir.Table:
    """The same rows, computed once for the several questions that follow."""
    # Not `rows.cache()`: Ibis 12 cannot drop its cached tables with the sqlglot it allows today.
    return ibis.memtable(rows.to_pyarrow())


def _headers(files: Sequence[LandingFile]) -> dict[str, tuple[str, ...]]:
    """Of each different header the first file that has it."""
    first = {file.columns: file.name for file in reversed(files)}
    return {name: columns for columns, name in first.items()}


def _places(reasons: Mapping[int, list[Reason]]) -> ir.Table:
    return ibis.memtable(pa.table({AT: pa.array(list(reasons), pa.int64())}))


def _ids(lake: Lake, table: str, stretch: Stretch, earlier: Mapping[str, Judged]) -> ir.Table:
    """`id` and `since`: what the table knew on other days, and what of this stretch will be published."""
    contract = contracts.CONTRACTS[table]
    name, since = contract.key[0], contract.partition
    held, fresh = conform(lake.read(table), contract), conform(earlier[table].accepted, contract)
    others = held.filter(~held[since].between(stretch.first, stretch.last))
    both = ibis.union(*(rows.select(id=rows[name], since=rows[since]) for rows in (others, fresh)))
    return both.group_by("id").agg(since=both.since.min())
