"""Refused rows, as the table `quarantine` keeps them: as they came, with every reason, file and line.

Contact data in them is hidden behind pseudonyms, as it would be in the table they were meant for.
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
        contacts: columns of files that hold contact data, well-formed or not; in any case of letters.
        ids: columns of files that hold customer ids, where these are personal.
        whole_files: whether all columns of the file with this name may hold contact data.
    """

    key: bytes | None
    contacts: Collection[str] = ()
    ids: Collection[str] = ()
    whole_files: Callable[[str], bool] = lambda file: False

    def over(self, row: Mapping[str, Any], file: str = "") -> dict[str, Any]:
        """The row without its empty places and without contact data."""
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


def set_aside(table: str, refusals: Iterable[Refusal], veil: Veil) -> pa.RecordBatch:
    """Rows of the table `quarantine`."""
    rows = [_as_row(table, refusal, veil) for refusal in refusals]
    return pa.RecordBatch.from_pylist(rows, contracts.QUARANTINE.schema)


def _as_row(table: str, refusal: Refusal, veil: Veil) -> dict[str, Any]:
    row = veil.over(refusal.row, refusal.file)
    return {
        "table": table,
        "landed_on": refusal.day,
        "file": refusal.file,
        "line": refusal.line,
        "row": json.dumps(row, ensure_ascii=False, default=str),
        "reasons": [
            masking.masked(reason.of(_found(row, refusal.filled, reason.column)), veil.key)
            for reason in refusal.reasons
        ],
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
