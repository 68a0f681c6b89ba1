"""The steps of the DAGs `ingest`, `load_history`, `replay_quarantine` and `check_sources`.

`publishing` judges all tables of a period before it publishes any; then the days are closed. Each write
replaces the period, so running a killed run again repairs it.

Memory is bounded: the engine scans the sources and spills to disk, only the place and the pattern of each row
are kept, and published and refused rows are streamed.
"""

import logging
from datetime import date

from perennial.foundation import contracts
from perennial.foundation.ledger import open_ledger
from perennial.foundation.settings import WhenNothingLanded, settings
from perennial.ingestion import data_docs, mapping, sources
from perennial.ingestion import quarantine_replay as replaying
from perennial.ingestion.days import Period
from perennial.ingestion.landing import open_landing
from perennial.ingestion.publishing import Outcome, publish_all
from perennial.ingestion.screening import Storage
from perennial.ingestion.sources import NO_DATABASES, Databases

_LOG = logging.getLogger(__name__)
ALL_TABLES = "all"


def ingest(day: str, databases: Databases = NO_DATABASES) -> Outcome:
    """Ingest one day and close it.

    Raises:
        RefusedTableError: a table rule failed; nothing was published.
        SourceError: a source cannot be read; nothing was published.
    """
    return _ingest(Period(date.fromisoformat(day), date.fromisoformat(day), history=False), databases)


def load_history(first_day: str, last_day: str, databases: Databases = NO_DATABASES) -> Outcome:
    """Ingest past days together and close them. Rows of sources with `history` are known from their own day.

    Raises:
        ValueError: the last day is before the first.
        RefusedTableError: a table rule failed; nothing was published.
        SourceError: a source cannot be read; nothing was published.
    """
    return _ingest(_stretch(first_day, last_day, history=True), databases)


def replay(table: str, first_day: str, last_day: str, reason: str, day: str) -> Outcome:
    """Judge refused rows of a table (or of `all`) again. Rows that pass are published on their landing day.

    Raises:
        ValueError: the last day is before the first, or the table's rows cannot be replayed.
        SourceError: today's settings cannot read a row; that table was not changed.
    """
    period, storage = _stretch(first_day, last_day, history=False), Storage.from_settings()
    counts: Outcome = {}
    for name in replaying.TABLES if table == ALL_TABLES else (table,):
        counts[name] = replaying.replay(storage, name, period, reason.strip(), date.fromisoformat(day)).counts
        _LOG.info("%s %s to %s: %s", name, period.first, period.last, counts[name])
    return {
        **counts,
        "report": data_docs.write_quarantine_page(settings().reports, storage.lake.read("quarantine")),
    }


def check_sources(day: str, table: str, rows: int, databases: Databases = NO_DATABASES) -> Outcome:
    """Dry run of the sources of a table (or of `all`) on the first rows of a day. Nothing is published.

    Raises:
        SourceError: a source would stop the day, or nothing landed; `report` is the page with all results.
    """
    # Imported here because Great Expectations takes seconds to import.
    from perennial.ingestion import dry_run, dry_run_report

    storage, landed_on = Storage.from_settings(databases), date.fromisoformat(day)
    tables = contracts.LANDED_TABLES if table == ALL_TABLES else (table,)
    trials = dry_run.try_sources(storage, landed_on, tables, rows)
    _LOG.info("%s", dry_run_report.text(trials))
    report = dry_run_report.write_page(settings().reports, landed_on, trials)
    dry_run.check(trials, storage.landing, tables, landed_on, report)
    return {"report": report}


def connections() -> tuple[str, ...]:
    """The ids of the Airflow connections that the sources use."""
    return open_landing().sources.connections


def has_landed(day: date) -> bool:
    """Whether there is anything to ingest for the day. Databases always count: they are not queried here."""
    landing = open_landing()
    return bool(landing.sources.connections) or landing.has_files(day) or _is_named_in_rows(day)


def is_skipped(day: date) -> bool:
    """Whether nothing landed on the day and the shop skips such days."""
    return settings().when_nothing_landed is WhenNothingLanded.SKIP and not has_landed(day)


def unclosed_before(day: date) -> list[date]:
    """The days before `day` that landing files name and that are not closed, earliest first."""
    earlier = {landed for landed in open_landing().named_days() if landed < day}
    return sorted(earlier - open_ledger().closed_days())


def waits_for(day: date) -> date | None:
    """The day that `day` waits for: the first earlier unclosed day with files, or itself if nothing landed.

    None: it need not wait.
    """
    unclosed = unclosed_before(day)
    if unclosed:
        return unclosed[0]
    return None if has_landed(day) else day


def still_missing(day: date) -> date | None:
    """As `waits_for`, but cheap: only by the names of files. Also None where only rows could tell."""
    unclosed = unclosed_before(day)
    if unclosed:
        return unclosed[0]
    landing = open_landing()
    by_name = not landing.sources.connections and not any(landing.undated())
    return day if by_name and not landing.has_files(day) else None


def looked_for(day: date) -> list[str]:
    """Every place where a file of the day may be."""
    landing = open_landing()
    return [place for table in contracts.LANDED_TABLES for place in landing.places(table, day)]


def _is_named_in_rows(day: date) -> bool:
    """Whether a file of many days has rows of the day."""
    landing = open_landing()
    for table in {file.table for file in landing.undated()}:
        with sources.read(landing, table, day, day, NO_DATABASES) as landed:
            if any(mapping.has_rows(raw, day) for raw in landed.raw()):
                return True
    return False


def _stretch(first_day: str, last_day: str, *, history: bool) -> Period:
    first, last = date.fromisoformat(first_day), date.fromisoformat(last_day)
    if last < first:
        raise ValueError(
            f"found the days {first} to {last}; allowed is a last day that is not before the first day"
        )
    return Period(first, last, history)


def _ingest(period: Period, databases: Databases) -> Outcome:
    outcome = publish_all(Storage.from_settings(databases), period)
    open_ledger().close(period.days(), announced_with=period.last)
    return outcome
