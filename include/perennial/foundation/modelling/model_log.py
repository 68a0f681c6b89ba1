"""What has been in force since which day, and why: the rows of `model_log`, of models and of the encoder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from perennial.foundation import contracts
from perennial.foundation.lake import Lake

PROMOTED, KEPT, FAILED, ROLLED_BACK = contracts.MODEL_LOG.allowed("verdict")
HELD_THROUGH = "held_through"
"""Among the figures of a roll back: the last day on which no candidate takes the place again."""


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
        """The last day on which no candidate takes the place of this version; of a roll back alone."""
        held = json.loads(self.figures).get(HELD_THROUGH) if self.verdict == ROLLED_BACK else None
        return None if held is None else date.fromisoformat(held)


def records(lake: Lake, model: str) -> list[Record]:
    """All that was decided about the model, oldest first."""
    rows = lake.read("model_log")
    found = rows.filter(rows.model == model).order_by("day", "change").to_pyarrow().to_pylist()
    return [Record(**row) for row in found]


def line(held: Sequence[Record]) -> list[Record]:
    """The rows to which one can go back, oldest first; the last is in force now.

    A roll back takes out whatever was put in force since the version it goes back to.
    """
    found: list[Record] = []
    for record in held:
        versions = [one.version for one in found]
        if record.verdict == ROLLED_BACK and record.version in versions:
            del found[versions.index(record.version) :]
        if record.in_force:
            found.append(record)
    return found


def next_change(held: Sequence[Record], day: date) -> int:
    """The number of a further change of the day."""
    return 1 + max((record.change for record in held if record.day == day), default=0)


def add(lake: Lake, rows: Sequence[Record]) -> None:
    """Write these rows in one commit; one whose model, day and change are on record stays as it is."""
    schema = contracts.MODEL_LOG.schema
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    lake.add("model_log", pa.Table.from_pylist([vars(row) for row in rows], schema=nullable))
