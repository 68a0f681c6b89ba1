"""What the DAGs `ingest` and `load_history` call: what landed in, checked tables and quarantine out.

A stretch of days is judged whole before anything of it is published: if a table rule fails, every table stays
as it was. Then the refused rows are written (those of all tables at once, for the table `quarantine` is
replaced by day), then what the rules found, then the tables in the order in which they refer to each other,
then the days are closed. Each write replaces the stretch, so a run that was killed anywhere is repaired by
running it again.

Memory stays bounded: the engine scans the sources (and spills what it cannot hold), of each row only its
place and its pattern are kept, and what is published or refused is streamed.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.foundation import contracts, engine
from perennial.foundation.ledger import open_ledger
from perennial.foundation.settings import WhenNothingLanded, settings
from perennial.ingestion import data_docs, mapping, sources
from perennial.ingestion import quarantine_replay as replaying
from perennial.ingestion.days import Stretch
from perennial.ingestion.landing import open_landing
from perennial.ingestion.screening import Desk, Screened, screen
from perennial.ingestion.sources import NO_DATABASES, Databases

_LOG = logging.getLogger(__name__)
Counts = dict[str, int | dict[str, int]]
Account = dict[str, Counts | str]
"""Table → what became of the rows; and `report`, the page that shows it."""
ALL_TABLES = "all"


def ingest(day: str, databases: Databases = NO_DATABASES) -> Account:
    """Take in one day and close it; for each table what became of the rows that landed.

    Raises:
        RefusedTableError: a table rule failed; nothing was published.
        SourceError: a source cannot be read; nothing was published.
    """
    return _take_in(Stretch(date.fromisoformat(day), date.fromisoformat(day), history=False), databases)


def load_history(first_day: str, last_day: str, databases: Databases = NO_DATABASES) -> Account:
    """Take in a stretch of past days at once and close them; declared history is known at its time.

    Raises:
        ValueError: the last day is before the first.
        RefusedTableError: a table rule failed; nothing was published.
        SourceError: a source cannot be read; nothing was published.
    """
    return _take_in(_stretch(first_day, last_day, history=True), databases)


def replay(table: str, first_day: str, last_day: str, reason: str, day: str) -> Account:
    """Judge refused rows of a table (or of `all`) again; publish those that pass, on the day they landed.

    Raises:
        ValueError: the last day is before the first, or the table's rows cannot be replayed.
        SourceError: it cannot be told how to read a row; of that table nothing was changed.
    """
    stretch, desk = _stretch(first_day, last_day, history=False), Desk.at()
    counts: Account = {}
    for name in replaying.TABLES if table == ALL_TABLES else (table,):
        counts[name] = replaying.replay(desk, name, stretch, reason.strip(), date.fromisoformat(day)).counts
        _LOG.info("%s %s to %s: %s", name, stretch.first, stretch.last, counts[name])
    return {**counts, "report": data_docs.keep_quarantine(settings().reports, desk.lake.read("quarantine"))}


def check_sources(day: str, table: str, rows: int, databases: Databases = NO_DATABASES) -> Account:
    """Try the sources of a table (or of `all`) on the first rows of a day; nothing is published.

    Raises:
        SourceError: a source would stop the day, or nothing landed; its `report` shows everything.
    """
    # Great Expectations takes seconds to import: only when there is something to judge.
    from perennial.ingestion import dry_run, dry_run_report

    desk, on = Desk.at(databases), date.fromisoformat(day)
    tables = contracts.LANDED_TABLES if table == ALL_TABLES else (table,)
    trials = dry_run.tried(desk, on, tables, rows)
    _LOG.info("%s", dry_run_report.text(trials))
    report = dry_run_report.keep(settings().reports, on, trials)
    dry_run.check(trials, desk.landing, tables, on, report)
    return {"report": report}


def connections() -> tuple[str, ...]:
    """The ids of the Airflow connections that the sources ask."""
    return open_landing().sources.connections


def has_landed(day: date) -> bool:
    """Whether there is anything to take in for the day; a database is asked only when the day is taken in."""
    landing = open_landing()
    return bool(landing.sources.connections) or landing.has_files(day) or _is_named_in_rows(day)


def is_skipped(day: date) -> bool:
    """Whether nothing landed on the day and the shop does not wait for such days."""
    return settings().when_nothing_landed is WhenNothingLanded.SKIP and not has_landed(day)


def unclosed_before(day: date) -> list[date]:
    """The days before `day` whose landing files name them and that are not closed, earliest first."""
    earlier = {landed for landed in open_landing().named_days() if landed < day}
    return sorted(earlier - open_ledger().closed_days())


def waits_for(day: date) -> date | None:
    """The first earlier day with files that is not closed, or the day itself while nothing landed on it."""
    unclosed = unclosed_before(day)
    if unclosed:
        return unclosed[0]
    return None if has_landed(day) else day


def still_missing(day: date) -> date | None:
    """As `waits_for`, by the names of files alone: cheap. None too where only rows could tell."""
    unclosed = unclosed_before(day)
    if unclosed:
        return unclosed[0]
    landing = open_landing()
    by_name = not landing.sources.connections and not any(landing.undated())
    return day if by_name and not landing.has_files(day) else None


def looked_for(day: date) -> list[str]:
    """Every place where a file of the day might lie."""
    landing = open_landing()
    return [place for table in contracts.LANDED_TABLES for place in landing.places(table, day)]


def _is_named_in_rows(day: date) -> bool:
    """Whether rows name the day that lie in a file of many days."""
    landing = open_landing()
    for table in {file.table for file in landing.undated()}:
        with sources.read(landing, table, day, day, NO_DATABASES) as landed:
            if any(mapping.has_rows(raw, day) for raw in landed.raw()):
                return True
    return False


def _stretch(first_day: str, last_day: str, *, history: bool) -> Stretch:
    first, last = date.fromisoformat(first_day), date.fromisoformat(last_day)
    if last < first:
        raise ValueError(
            f"found the days {first} to {last}; allowed is a last day that is not before the first"
        )
    return Stretch(first, last, history)


def _take_in(stretch: Stretch, databases: Databases) -> Account:
    desk = Desk.at(databases)
    screened: dict[str, Screened] = {}
    with ExitStack() as held:
        for table in contracts.LANDED_TABLES:
            screened[table] = screen(desk, table, stretch, screened, held)
            if screened[table].sentences:
                _stop(screened[table].sentences, _record(desk, stretch, screened))
        report = _publish(desk, stretch, screened, held)
    open_ledger().close(stretch.days(), announced_with=stretch.last)
    return {**{table: {**each.counts} for table, each in screened.items()}, "report": report}


def _publish(desk: Desk, stretch: Stretch, screened: dict[str, Screened], held: ExitStack) -> str:
    """Write everything; the page that shows what the rules found.

    Every write replaces the stretch; in this order a run that was killed is repaired by the next.
    """
    file = held.enter_context(sources.staging()) / "quarantine.parquet"
    with pq.ParquetWriter(file, contracts.QUARANTINE.schema) as writer:
        for batch in _refusals(desk, screened):
            writer.write_batch(batch)
    desk.lake.replace("quarantine", engine.files([str(file)]), stretch.first, stretch.last)
    report = _record(desk, stretch, screened)
    for table, each in screened.items():
        home = desk.home(table)
        if each.landed or any(stretch.first <= day <= stretch.last for day in home.days(table)):
            home.replace(table, each.accepted, stretch.first, stretch.last)
        _LOG.info("%s %s to %s: %s", table, stretch.first, stretch.last, each.counts)
    return report


def _refusals(desk: Desk, screened: dict[str, Screened]) -> Iterator[pa.RecordBatch]:
    for each in screened.values():
        if each.refused:
            yield from each.refusals.batches(desk.veil)


def _record(desk: Desk, stretch: Stretch, screened: dict[str, Screened]) -> str:
    """Keep what the rules found, also where it stops the tables; the page that shows it."""
    rows = [row for each in screened.values() for row in each.found()]
    table = pa.Table.from_pylist(rows, contracts.VALIDATIONS.schema)
    desk.lake.replace("validations", table, stretch.first, stretch.last)
    data_docs.keep_quarantine(settings().reports, desk.lake.read("quarantine"))
    results = {name: list(each.results.values()) for name, each in screened.items() if each.results}
    if not results:
        return ""
    stopped = [name for name, each in screened.items() if each.sentences]
    return data_docs.keep(settings().reports, results, stretch.first, stretch.last, stopped)


def _stop(sentences: Sequence[str], report: str) -> None:
    from perennial.ingestion import validation

    validation.check(sentences, report)
