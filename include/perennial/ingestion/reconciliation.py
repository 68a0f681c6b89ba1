"""Landed = published + quarantined + left out on purpose: the account of every table and day.

What landed is counted in the landing files themselves (Parquet footers, lines of text), not by the pipeline;
but for files whose rows name their days themselves, which only reading them can tell apart.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from perennial.foundation import contracts
from perennial.ingestion import mapping, sources
from perennial.ingestion.days import by_day
from perennial.ingestion.screening import LEFT_OUT, Desk


@dataclass(frozen=True)
class Entry:
    """One table and day, in rows; what `where` or `keep` left out is part of what landed."""

    table: str
    day: date
    landed: int
    published: int
    quarantined: int
    left_out: int = 0

    @property
    def balanced(self) -> bool:
        """Whether nothing was lost and nothing came from nowhere."""
        return self.landed == self.published + self.quarantined + self.left_out


def account(desk: Desk, first: date, last: date) -> list[Entry]:
    """An entry for each table and day of the stretch that has files or rows, by table and day."""
    entries = []
    for table in contracts.LANDED_TABLES:
        landed = _landed(desk, table, first, last)
        published = _published(desk, table, first, last)
        quarantined = _quarantined(desk, table, first, last)
        left_out = _left_out(desk, table, first, last)
        days = sorted({*landed, *published, *quarantined})
        counts = (landed, published, quarantined, left_out)
        entries += [Entry(table, day, *(count[day] for count in counts)) for day in days]
    return entries


def _landed(desk: Desk, table: str, first: date, last: date) -> Counter[date]:
    landed: Counter[date] = Counter()
    files = desk.landing.files(table, first, last)
    for file in files:
        if file.day is not None:
            landed[file.day] += file.count()
    if any(file.day is None for file in files) or desk.databases:
        with sources.read(desk.landing, table, first, last, desk.databases) as found:
            uncounted = [n for n, piece in enumerate(found.pieces) if piece.day is None or piece.asked]
            for raw in found.raw(uncounted):
                landed += mapping.rows_by_day(raw, first, last)
    return landed


def _published(desk: Desk, table: str, first: date, last: date) -> Counter[date]:
    rows, day = desk.home(table).read(table), str(contracts.CONTRACTS[table].partition)
    return by_day(rows.filter(rows[day].between(first, last)), day)


def _quarantined(desk: Desk, table: str, first: date, last: date) -> Counter[date]:
    rows = desk.lake.read("quarantine")
    ours = rows.filter(
        (rows.table == table) & rows.replayed_on.isnull() & rows.landed_on.between(first, last)
    )
    return by_day(ours, "landed_on")


def _left_out(desk: Desk, table: str, first: date, last: date) -> Counter[date]:
    rows = desk.lake.read("validations")
    ours = rows.filter((rows.table == table) & (rows.rule == LEFT_OUT) & rows.day.between(first, last))
    found = ours.select("day", "failed").to_pyarrow()
    return Counter(dict(zip(found["day"].to_pylist(), found["failed"].to_pylist(), strict=True)))
