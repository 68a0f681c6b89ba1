"""How a table that older code wrote becomes one of today's contract.

Two changes need no step: a contract gains a column that may be null (files without it read as
null, the next write adds it to the table), and a column may be null that could not be null before.

Every other change (a column renamed, retyped, dropped, newly required) is a step in `STEPS`: a function from
the rows that the step before it returned to rows of the next shape. Reading applies the steps that a version
has not had yet, so that old versions stay readable. The next write rewrites the table with them, once, and
the same commit records the number of the last step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import ibis.expr.types as ir
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType

from perennial.foundation.contracts import Contract

RECORD = "perennial.migration"
"""The name under which a table's log keeps the number of its last step (a Delta application transaction)."""
GAINED = "perennial.gained"
"""Marks a column that is younger than the table: older files do not have it."""


@dataclass(frozen=True)
class Step:
    """One change of a contract: what becomes of older rows. The steps of a table count from 1."""

    table: str
    number: int
    rows: Callable[[ir.Table], ir.Table]


STEPS: tuple[Step, ...] = ()


def last(table: str) -> int:
    """The number of the table's last step; 0 without any."""
    return max((step.number for step in STEPS if step.table == table), default=0)


def done(table: DeltaTable) -> int:
    """The number of the last step that this version of a table has had."""
    return table.transaction_version(RECORD) or 0


def after(table: str, number: int) -> list[Step]:
    """The table's steps after that one, in order."""
    return sorted((s for s in STEPS if s.table == table and s.number > number), key=lambda s: s.number)


@dataclass(frozen=True)
class Drift:
    """How a table's schema differs from its contract."""

    gained: tuple[Field, ...]
    """Columns that may be null and that the table does not have yet."""
    loosened: tuple[str, ...]
    """Columns that may be null from now on."""
    unknown: tuple[str, ...]
    """Columns that the contract does not have: the table can be read, but not written."""
    broken: tuple[str, ...]
    """Differences that need a step: column, what was found, what was expected."""


def drift(schema: Schema, contract: Contract) -> Drift:
    """How a table with this schema differs from its contract."""
    present = {field.name: field for field in schema.fields}
    wanted = {field.name: field for field in Schema.from_arrow(contract.schema).fields}
    lacking = [field for name, field in wanted.items() if name not in present]
    common = [(present[name], field) for name, field in wanted.items() if name in present]
    changed = [(theirs, ours) for theirs, ours in common if not _holds(ours, theirs)]
    return Drift(
        gained=tuple(Field(f.name, f.type, metadata={GAINED: "yes"}) for f in lacking if f.nullable),
        loosened=tuple(ours.name for theirs, ours in common if ours.nullable and not theirs.nullable),
        unknown=tuple(f"{name}: found, expected no such column" for name in present if name not in wanted),
        broken=(
            *(f"{f.name}: found no such column, expected {_in_words(f)}" for f in lacking if not f.nullable),
            *(
                f"{ours.name}: found {_in_words(theirs)}, expected {_in_words(ours)}"
                for theirs, ours in changed
            ),
        ),
    )


def is_mixed(schema: Schema) -> bool:
    """Whether some files of a table with this schema may lack columns that others have."""
    return any(GAINED in field.metadata for field in schema.fields)


def _holds(wide: Field, narrow: Field) -> bool:
    """Whether the wide column may have every value that the narrow column may have."""
    return wide.type == narrow.type and (wide.nullable or not narrow.nullable)


def _in_words(field: Field) -> str:
    kind = field.type.type if isinstance(field.type, PrimitiveType) else field.type.to_json()
    return f"{kind}{' or null' if field.nullable else ''}"
