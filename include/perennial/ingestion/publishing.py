"""All tables of a period are published, or none: if a table rule fails for one of them, no table changes.

All tables are judged first. Then the refused rows are written (of all tables at once, because the table
`quarantine` is replaced by day), then the results of the rules, then the tables in the order in which they
refer to each other.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.foundation import contracts, engine
from perennial.foundation.settings import settings
from perennial.ingestion import data_docs, sources
from perennial.ingestion.days import Period
from perennial.ingestion.screening import Screened, Storage, screen

_LOG = logging.getLogger(__name__)
Counts = dict[str, int | dict[str, int]]
Outcome = dict[str, Counts | str]
"""Table → numbers of rows; and `report`, the page that shows them."""


def publish_all(storage: Storage, period: Period) -> Outcome:
    """Judge every table, then publish all of them.

    Raises:
        RefusedTableError: a table rule failed; nothing was published.
        SourceError: a source cannot be read; nothing was published.
    """
    screened: dict[str, Screened] = {}
    with ExitStack() as stack:
        for table in contracts.LANDED_TABLES:
            screened[table] = screen(storage, table, period, screened, stack)
            if screened[table].problems:
                # Imported here because Great Expectations takes seconds to import.
                from perennial.ingestion import validation

                validation.check(screened[table].problems, _record(storage, period, screened))
        report = _publish(storage, period, screened, stack)
    return {**{table: {**each.counts} for table, each in screened.items()}, "report": report}


def _publish(storage: Storage, period: Period, screened: dict[str, Screened], stack: ExitStack) -> str:
    """Write everything, in the order of the module docstring.

    Returns:
        The page with the results of the rules, relative to the reports folder.
    """
    file = stack.enter_context(sources.staging()) / "quarantine.parquet"
    with pq.ParquetWriter(file, contracts.QUARANTINE.schema) as writer:
        for batch in _refusals(storage, screened):
            writer.write_batch(batch)
    storage.lake.replace("quarantine", engine.files([str(file)]), period.first, period.last)
    report = _record(storage, period, screened)
    for table, each in screened.items():
        lake = storage.lake_of(table)
        if each.landed or any(period.first <= day <= period.last for day in lake.days(table)):
            lake.replace(table, each.accepted, period.first, period.last)
        _LOG.info("%s %s to %s: %s", table, period.first, period.last, each.counts)
    return report


def _refusals(storage: Storage, screened: dict[str, Screened]) -> Iterator[pa.RecordBatch]:
    for each in screened.values():
        if each.refused:
            yield from each.refusals.batches(storage.masker)


def _record(storage: Storage, period: Period, screened: dict[str, Screened]) -> str:
    """Store the results of the rules, also if they stop the tables.

    Returns:
        The page with the results, relative to the reports folder; empty if nothing was judged.
    """
    rows = [row for each in screened.values() for row in each.validations()]
    table = pa.Table.from_pylist(rows, contracts.VALIDATIONS.schema)
    storage.lake.replace("validations", table, period.first, period.last)
    data_docs.write_quarantine_page(settings().reports, storage.lake.read("quarantine"))
    results = {name: list(each.results.values()) for name, each in screened.items() if each.results}
    if not results:
        return ""
    stopped = [name for name, each in screened.items() if each.problems]
    return data_docs.write_pages(settings().reports, results, period.first, period.last, stopped)
