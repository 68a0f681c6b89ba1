"""Refused rows, as the table `quarantine` keeps them: as they came, with every reason, file and line."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from perennial.foundation import contracts


@dataclass(frozen=True)
class Reason:
    """Why a row is refused: a code to count by, the column, a sentence with a place for what was found."""

    code: str
    column: str
    sentence: str

    def of(self, found: object) -> str:
        """`occurred_at unreadable: 'abc' is no point in time`; what stands before the colon is the code."""
        said = repr(found) if isinstance(found, str) else str(found)
        return f"{self.code}: {self.sentence.replace('{found}', said)}"


@dataclass(frozen=True)
class Refusal:
    """A refused row: where it stood, what it said (by the file's own column names), and why."""

    day: date
    file: str
    line: int
    row: Mapping[str, Any]
    reasons: tuple[Reason, ...]


def set_aside(table: str, refusals: Iterable[Refusal], names: Mapping[str, str]) -> pa.Table:
    """Rows of the table `quarantine`, by day, file and line.

    Args:
        table: the table the rows were meant for.
        refusals: the refused rows.
        names: contract column → column in the files.
    """
    ordered = sorted(refusals, key=lambda refusal: (refusal.day, refusal.file, refusal.line))
    rows = [
        {
            "table": table,
            "landed_on": refusal.day,
            "file": refusal.file,
            "line": refusal.line,
            "row": _as_json(refusal.row),
            "reasons": [reason.of(refusal.row.get(names[reason.column])) for reason in refusal.reasons],
            "replayed_on": None,
        }
        for refusal in ordered
    ]
    return pa.Table.from_pylist(rows, contracts.QUARANTINE.schema)


def _as_json(row: Mapping[str, Any]) -> str:
    """The row without its empty places; numbers stay numbers, what JSON has no word for becomes text."""
    filled = {name: _plain(value) for name, value in row.items() if value is not None}
    return json.dumps(filled, ensure_ascii=False, default=str)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
