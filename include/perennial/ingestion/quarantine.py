"""Refused rows as rows of the table `quarantine`: as they came, with all reasons, file and line.

Pseudonyms replace the contact data in them, as in the table that they were meant for.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
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
        whole_files: whether all columns of the file with this name may hold contact data.
    """

    key: bytes | None
    contacts: Collection[str] = ()
    ids: Collection[str] = ()
    whole_files: Callable[[str], bool] = lambda file: False

    def masked(self, row: Mapping[str, Any], file: str = "") -> dict[str, Any]:
        """The row without nulls and without contact data."""
        is_whole = self.whole_files(file)
        return {
            masking.masked(name, self.key): self._hidden(value, is_whole or name.casefold() in self._names)
            for name, value in row.items()
            if value is not None
        }

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name.casefold() for name in (*self.contacts, *self.ids))

    def _hidden(self, value: object, is_contact: bool) -> object:
        if isinstance(value, str) and (masking.is_pseudonym(value) or not value.strip()):
            return value
        if is_contact:
            return masking.pseudonym(self.key, str(value)) if self.key else masking.NAMELESS
        return self._masked(value)

    def _masked(self, value: object) -> object:
        """The value with contacts masked, also in lists and structs."""
        if isinstance(value, str):
            return masking.masked(value, self.key)
        if isinstance(value, Mapping):
            return {masking.masked(str(name), self.key): self._masked(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(part) for part in value]
        return masking.masked(str(value), self.key) if isinstance(value, bytes) else _plain(value)


def to_rows(table: str, refusals: Iterable[Refusal], masker: RowMasker) -> pa.RecordBatch:
    """The refused rows as rows of the table `quarantine`."""
    rows = [_as_row(table, refusal, masker) for refusal in refusals]
    return pa.RecordBatch.from_pylist(rows, contracts.QUARANTINE.schema)


def _as_row(table: str, refusal: Refusal, masker: RowMasker) -> dict[str, Any]:
    row = masker.masked(refusal.row, refusal.file)
    return {
        "table": table,
        "landed_on": refusal.day,
        "file": refusal.file,
        "line": refusal.line,
        "row": json.dumps(row, ensure_ascii=False, default=str),
        "reasons": [
            masking.masked(reason.text(_value(row, refusal.filled_by, reason.column)), masker.key)
            for reason in refusal.reasons
        ],
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
