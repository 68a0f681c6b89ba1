"""What has been in force since which day, and why: the rows of `model_log`, of models and of the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from perennial.foundation import contracts
from perennial.foundation.lake import Lake

PROMOTED, KEPT, FAILED, ROLLED_BACK = contracts.MODEL_LOG.allowed("verdict")


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


def records(lake: Lake, model: str) -> list[Record]:
    """All that was decided about the model, oldest first."""
    rows = lake.read("model_log")
    found = rows.filter(rows.model == model).order_by("day", "change").to_pyarrow().to_pylist()
    return [Record(**row) for row in found]


def add(lake: Lake, rows: Sequence[Record]) -> None:
    """Write these rows in one commit; one whose model, day and change are on record stays as it is."""
    schema = contracts.MODEL_LOG.schema
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    lake.add("model_log", pa.Table.from_pylist([vars(row) for row in rows], schema=nullable))
