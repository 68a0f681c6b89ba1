"""The refused rows of one table: which they are, and how they are read again for the quarantine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation import contracts, engine
from perennial.ingestion import quarantine
from perennial.ingestion.quarantine import Reason, Refusal, RowMasker
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.sources import AT, DAY, Landed

BROKEN_LINE = "line broken"
"""The code for a line that is no row."""
PATTERN, LANDED_ON = "_pattern", "_landed_on"
_BATCH_ROWS = 20_000


@dataclass(frozen=True)
class Refusals:
    """The refused rows of one table.

    rows: `_at`, `_landed_on`, `_pattern` of each.
    reasons: pattern → the reasons.
    broken: `_at`, `_day`, `_broken` of the lines that are no rows; None if there can be none.
    """

    table: str
    landed: Landed
    rows: ir.Table
    reasons: Mapping[int, Sequence[Reason]]
    broken: ir.Table | None

    def batches(self, masker: RowMasker) -> Iterator[pa.RecordBatch]:
        """The refused rows as rows of the table `quarantine`; they are read from their files again."""
        numbers = self.rows.select(number=self.landed.number(self.rows[AT])).distinct().to_pyarrow()
        for raw in self.landed.raw(sorted(numbers["number"].to_pylist())):
            filled_by = raw.source.reads(contracts.CONTRACTS[self.table])
            rows = raw.rows.select(AT, *raw.columns).inner_join(self.rows, AT)
            for batch in engine.stream(rows, _BATCH_ROWS):
                yield quarantine.to_rows(self.table, self._refusals(batch, filled_by), masker)
        if self.broken is not None:
            for batch in engine.stream(self.broken, _BATCH_ROWS):
                yield quarantine.to_rows(self.table, self._broken(batch), masker)

    def _refusals(self, batch: pa.RecordBatch, filled_by: quarantine.FilledBy) -> Iterator[Refusal]:
        for row in _rows(batch):
            piece, line = self.landed.place(row.pop(AT))
            day, pattern = row.pop(LANDED_ON), row.pop(PATTERN)
            yield Refusal(day, piece.name, line, row, self.reasons[pattern], filled_by)

    def _broken(self, batch: pa.RecordBatch) -> Iterator[Refusal]:
        for row in batch.to_pylist():
            piece, line = self.landed.place(row[AT])
            yield Refusal(row[DAY], piece.name, line, {}, [Reason(BROKEN_LINE, BROKEN, row[BROKEN])])


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as dictionaries; days and times as text if Python cannot hold one of them."""
    try:
        return list(batch.to_pylist())
    except (OverflowError, ValueError):
        texts = {
            name: column.cast(pa.string()) if pa.types.is_temporal(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if name != LANDED_ON
        }
        return list(pa.RecordBatch.from_pydict(texts | {LANDED_ON: batch[LANDED_ON]}).to_pylist())
