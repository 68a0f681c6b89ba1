"""The days that are ingested together, and rows counted by day."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import ibis.expr.types as ir


@dataclass(frozen=True)
class Period:
    """The days that are ingested together, both ends included.

    history: whether they are loaded as history, so that rows may count as known before they landed.
    """

    first: date
    last: date
    history: bool

    def days(self) -> Iterator[date]:
        """Each day of the period, in order."""
        return (self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))


def by_day(rows: ir.Table, column: str) -> Counter[date]:
    """The number of rows of each day; `column` holds the day."""
    counted = rows.group_by(day=rows[column]).agg(rows=rows.count()).to_pyarrow()
    return Counter(dict(zip(counted["day"].to_pylist(), counted["rows"].to_pylist(), strict=True)))
