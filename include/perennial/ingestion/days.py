"""The days that are taken in together, and rows counted by day."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import ibis.expr.types as ir


@dataclass(frozen=True)
class Stretch:
    """The days that are taken in together, and whether they are declared history."""

    first: date
    last: date
    history: bool

    def days(self) -> Iterator[date]:
        """Each of them, in order."""
        return (self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))


def by_day(rows: ir.Table, column: str) -> Counter[date]:
    """How many rows each day has; `column` holds the day."""
    counted = rows.group_by(day=rows[column]).agg(rows=rows.count()).to_pyarrow()
    return Counter(dict(zip(counted["day"].to_pylist(), counted["rows"].to_pylist(), strict=True)))
