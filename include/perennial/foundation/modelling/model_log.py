"""Which version has been in force since which day, and why: the rows of `model_log`, also of the encoder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from perennial.foundation import contracts
from perennial.foundation.lake import Lake

PROMOTED, KEPT, FAILED, ROLLED_BACK = contracts.MODEL_LOG.allowed("verdict")
HELD_THROUGH = "held_through"
"""Among the figures of a roll back: the last day on which no candidate can be promoted."""


@dataclass(frozen=True)
class Record:
    """A row of `model_log`."""

    model: str
    day: date
    change: int
    version: int | None
    trained_through: date
    verdict: str
    reason: str
    figures: str

    @property
    def in_force(self) -> bool:
        """Does the row put its version in force?"""
        return self.verdict in (PROMOTED, ROLLED_BACK)

    @property
    def decides(self) -> bool:
        """Does the row decide on the day's candidate? A roll back does not."""
        return self.verdict != ROLLED_BACK

    @property
    def held_through(self) -> date | None:
        """The last day on which no candidate can replace this version; None unless it is a roll back."""
        day = json.loads(self.figures).get(HELD_THROUGH) if self.verdict == ROLLED_BACK else None
        return None if day is None else date.fromisoformat(day)


def records(lake: Lake, model: str) -> list[Record]:
    """All rows of the model, oldest first."""
    rows = lake.read("model_log")
    of_model = rows.filter(rows.model == model).order_by("day", "change").to_pyarrow().to_pylist()
    return [Record(**row) for row in of_model]


def revertible(history: Sequence[Record]) -> list[Record]:
    """The rows to which a roll back can go, oldest first; the last one is in force now.

    A roll back removes every version that was put in force after the version it goes back to.
    """
    rows: list[Record] = []
    for record in history:
        versions = [row.version for row in rows]
        if record.verdict == ROLLED_BACK and record.version in versions:
            del rows[versions.index(record.version) :]
        if record.in_force:
            rows.append(record)
    return rows


def next_change(history: Sequence[Record], day: date) -> int:
    """The number of a further change of the day."""
    return 1 + max((record.change for record in history if record.day == day), default=0)


def add(lake: Lake, rows: Sequence[Record]) -> None:
    """Write these rows in one commit. A row whose model, day and change are on record is left out."""
    schema = contracts.MODEL_LOG.schema
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    lake.add("model_log", pa.Table.from_pylist([vars(row) for row in rows], schema=nullable))
