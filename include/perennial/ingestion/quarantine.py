"""Refused rows as rows of the table `quarantine`: as they came, with all reasons, file and line.

Pseudonyms replace the contact data in them, as in the table that they were meant for.
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

FilledBy = Mapping[str, str | Constant | Expression]
"""Contract column → what fills it."""


@dataclass(frozen=True)
class Reason:
    """Why a row is refused.

    code: what refusals are counted by, such as `quantity out of range`.
    column: the contract column.
    sentence: the explanation; `{found}` in it stands for the value.
    """

    code: str
    column: str
    sentence: str

    def text(self, value: object) -> str:
        """The code and the sentence: `occurred_at unreadable: 'abc' is no point in time`."""
        shown = repr(value) if isinstance(value, str) else str(value)
        return f"{self.code}: {self.sentence.replace('{found}', shown)}"


@dataclass(frozen=True)
class Refusal:
    """A refused row: its place, its values by the file's own columns, and the reasons.

    filled_by: contract column → what fills it.
    """

    day: date
    file: str
    line: int
    row: Mapping[str, Any]
    reasons: Sequence[Reason]
    filled_by: FilledBy = field(default_factory=dict)


@dataclass(frozen=True)
class RowMasker:
    """Hides contact data and personal ids in refused rows.

    Args:
        key: the key of the pseudonyms; None if the shop has none.
        contacts: source columns that hold contact data, well-formed or not.
        ids: source columns that hold customer ids, if these are personal.
    """

    key: bytes | None
    contacts: Collection[str] = ()
    ids: Collection[str] = ()

    def masked(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row without nulls and without contact data."""
        return {name: self._hidden(name, value) for name, value in row.items() if value is not None}

    def _hidden(self, name: str, value: object) -> object:
        if isinstance(value, str) and masking.is_pseudonym(value):
            return value
        if name in self.contacts or name in self.ids:
            return masking.pseudonym(self.key, str(value)) if self.key else masking.NAMELESS
        return masking.masked(value, self.key) if isinstance(value, str) else _plain(value)


def to_rows(table: str, refusals: Iterable[Refusal], veil: RowMasker) -> pa.RecordBatch:
    """The refused rows as rows of the table `quarantine`."""
    rows = [_as_row(table, refusal, veil) for refusal in refusals]
    return pa.RecordBatch.from_pylist(rows, contracts.QUARANTINE.schema)


def _as_row(table: str, refusal: Refusal, veil: RowMasker) -> dict[str, Any]:
    row = veil.masked(refusal.row)
    return {
        "table": table,
        "landed_on": refusal.day,
        "file": refusal.file,
        "line": refusal.line,
        "row": json.dumps(row, ensure_ascii=False, default=str),
        "reasons": [reason.text(_value(row, refusal.filled_by, reason.column)) for reason in refusal.reasons],
        "replayed_on": None,
    }


def _value(row: Mapping[str, Any], filled_by: FilledBy, column: str) -> object:
    """The row's value for a contract column; for an expression, the values that it reads, as text."""
    origin = filled_by.get(column, column)
    if isinstance(origin, Constant):
        return origin.value
    if isinstance(origin, Expression):
        return ", ".join(f"{name}={_short(row.get(name))!r}" for name in columns_of(origin.sql))
    return _short(row.get(origin))


def _short(value: object) -> object:
    return f"{value[:200]}…" if isinstance(value, str) and len(value) > 200 else value


def _plain(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
