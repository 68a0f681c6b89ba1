"""Checks that no row is lost: landed = published + quarantined + left out, for every table and day.

Landed rows are counted in the landing files themselves (Parquet footers, lines of text), not by the pipeline.
The exception is files whose rows name their own day: only reading them shows how many rows a day has.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from perennial.foundation import contracts
from perennial.ingestion import mapping, sources
from perennial.ingestion.days import by_day
from perennial.ingestion.screening import LEFT_OUT, Storage


@dataclass(frozen=True)
class Entry:
    """The number of rows of one table and day. Rows that `where` or `keep` left out are part of `landed`."""

    table: str
    day: date
    landed: int
    published: int
    quarantined: int
    left_out: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every landed row is published, quarantined or left out, and no other row is there."""
        return self.landed == self.published + self.quarantined + self.left_out


def reconcile(storage: Storage, first: date, last: date) -> list[Entry]:
    """One entry for each table and day that has files or rows, sorted by table and day."""
    entries = []
    for table in contracts.LANDED_TABLES:
        landed = _landed(storage, table, first, last)
        published = _published(storage, table, first, last)
        quarantined = _quarantined(storage, table, first, last)
        left_out = _left_out(storage, table, first, last)
        days = sorted({*landed, *published, *quarantined})
        counts = (landed, published, quarantined, left_out)
        entries += [Entry(table, day, *(count[day] for count in counts)) for day in days]
    return entries


def _landed(storage: Storage, table: str, first: date, last: date) -> Counter[date]:
    landed: Counter[date] = Counter()
    files = storage.landing.files(table, first, last)
    for file in files:
        if file.day is not None:
            landed[file.day] += file.count()
    if any(file.day is None for file in files) or storage.databases:
        with sources.read(storage.landing, table, first, last, storage.databases) as sources_read:
            uncounted = [
                number
                for number, piece in enumerate(sources_read.pieces)
                if piece.day is None or piece.is_query_result
            ]
            for raw in sources_read.raw(uncounted):
                landed += mapping.rows_by_day(raw, first, last)
    return landed


def _published(storage: Storage, table: str, first: date, last: date) -> Counter[date]:
    rows, day = storage.lake_of(table).read(table), str(contracts.CONTRACTS[table].partition)
    return by_day(rows.filter(rows[day].between(first, last)), day)


def _quarantined(storage: Storage, table: str, first: date, last: date) -> Counter[date]:
    rows = storage.lake.read("quarantine")
    of_table = rows.filter(
        (rows.table == table) & rows.replayed_on.isnull() & rows.landed_on.between(first, last)
    )
    return by_day(of_table, "landed_on")


def _left_out(storage: Storage, table: str, first: date, last: date) -> Counter[date]:
    rows = storage.lake.read("validations")
    of_table = rows.filter((rows.table == table) & (rows.rule == LEFT_OUT) & rows.day.between(first, last))
    counted = of_table.select("day", "failed").to_pyarrow()
    return Counter(dict(zip(counted["day"].to_pylist(), counted["failed"].to_pylist(), strict=True)))
