"""Landed = published + quarantined: the account of every table and day.

What landed is counted in the landing files themselves (Parquet footers, CSV lines), not by the pipeline.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ibis.expr.types.groupby import GroupedTable

from perennial.foundation import contracts
from perennial.foundation.lake import Lake
from perennial.ingestion.declarations import read_sources
from perennial.ingestion.sources import Landing


@dataclass(frozen=True)
class Entry:
    """One table and day, in rows."""

    table: str
    day: date
    landed: int
    published: int
    quarantined: int

    @property
    def balanced(self) -> bool:
        """Whether nothing was lost and nothing came from nowhere."""
        return self.landed == self.published + self.quarantined


def account(lake: Lake, landing: Path, first: date, last: date) -> list[Entry]:
    """An entry for each table and day of the stretch that has files or rows, by table and day."""
    files = Landing(landing, read_sources())
    entries = []
    for table in contracts.LANDED_TABLES:
        landed: Counter[date] = Counter()
        for file in files.files(table, first, last):
            landed[file.day] += file.count()
        published = _published(lake, table, first, last)
        quarantined = _quarantined(lake, table, first, last)
        days = sorted({*landed, *published, *quarantined})
        entries += [Entry(table, day, landed[day], published[day], quarantined[day]) for day in days]
    return entries


def _published(lake: Lake, table: str, first: date, last: date) -> Counter[date]:
    rows = lake.read(table)
    day = rows[contracts.CONTRACTS[table].partition]
    return _counted(rows.filter(day.between(first, last)).group_by(day=day))


def _quarantined(lake: Lake, table: str, first: date, last: date) -> Counter[date]:
    rows = lake.read("quarantine")
    ours = rows.filter((rows.table == table) & rows.landed_on.between(first, last))
    return _counted(ours.group_by(day=ours.landed_on))


def _counted(grouped: GroupedTable) -> Counter[date]:
    found = grouped.agg(rows=lambda rows: rows.count()).to_pyarrow()
    return Counter(dict(zip(found["day"].to_pylist(), found["rows"].to_pylist(), strict=True)))
