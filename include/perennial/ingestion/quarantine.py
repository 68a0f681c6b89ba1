"""Refused rows, as the table `quarantine` keeps them: as they came, with every reason, file and line.

Contact data in them is hidden behind pseudonyms, as it would be in the table they were meant for.
"""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from perennial.foundation import contracts, masking
from perennial.foundation.engine.sql_expressions import columns_of
from perennial.ingestion.source_settings import Constant, Expression

Filled = Mapping[str, str | Constant | Expression]
"""Contract column → what fills it."""


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
    reasons: Sequence[Reason]
    filled: Filled = field(default_factory=dict)


@dataclass(frozen=True)
class Veil:
    """What of a refused row nobody may read.

    Args:
        key: makes the pseudonyms.
        contacts: columns of files that hold contact data, well-formed or not.
        ids: columns of files that hold customer ids, where these are personal.
    """

    key: bytes | None
    contacts: Collection[str] = ()
    ids: Collection[str] = ()

    def over(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row without its empty places and without contact data."""
        return {name: self._hidden(name, value) for name, value in row.items() if value is not None}

    def _hidden(self, name: str, value: object) -> object:
        if isinstance(value, str) and masking.is_pseudonym(value):
            return value
        if name in self.contacts or name in self.ids:
            return masking.pseudonym(self.key, str(value)) if self.key else masking.NAMELESS
        return masking.masked(value, self.key) if isinstance(value, str) else _plain(value)


def set_aside(table: str, refusals: Iterable[Refusal], veil: Veil) -> pa.RecordBatch:
    """Rows of the table `quarantine`."""
    rows = [_as_row(table, refusal, veil) for refusal in refusals]
    return pa.RecordBatch.from_pylist(rows, contracts.QUARANTINE.schema)


def _as_row(table: str, refusal: Refusal, veil: Veil) -> dict[str, Any]:
    row = veil.over(refusal.row)
    return {
        "table": table,
        "landed_on": refusal.day,
        "file": refusal.file,
        "line": refusal.line,
        "row": json.dumps(row, ensure_ascii=False, default=str),
        "reasons": [reason.of(_found(row, refusal.filled, reason.column)) for reason in refusal.reasons],
        "replayed_on": None,
    }


def _found(row: Mapping[str, Any], filled: Filled, column: str) -> object:
    """What the row says where the contract's column comes from."""
    source = filled.get(column, column)
    if isinstance(source, Constant):
        return source.value
    if isinstance(source, Expression):
        return ", ".join(f"{name}={_short(row.get(name))!r}" for name in columns_of(source.sql))
    return _short(row.get(source))


def _short(value: object) -> object:
    return f"{value[:200]}…" if isinstance(value, str) and len(value) > 200 else value


def _plain(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
