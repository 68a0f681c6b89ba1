"""How a table that older code wrote becomes one of today's contract.

Two changes need nothing written down: a contract gains a column that may be null (files without it read as
null, the next write adds it to the table), and a column may be null that might not before.

Everything else (a column renamed, retyped, dropped, newly required) is a step in `STEPS`, a function from the
rows that the step before it left to rows of the next shape. Reading applies the steps that a version has not
seen, so that old versions stay readable; the next write rewrites the table with them, once, and the same
commit records the number of the last one.
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
"""Mark of a column that came after the table: files from before have no such column."""


@dataclass(frozen=True)
class Step:
    """What one change of a contract means for the rows from before. Each table's steps count from 1."""

    table: str
    number: int
    rows: Callable[[ir.Table], ir.Table]


STEPS: tuple[Step, ...] = ()


def last(table: str) -> int:
    """The number of the table's last step; 0 without any."""
    return max((step.number for step in STEPS if step.table == table), default=0)


def done(table: DeltaTable) -> int:
    """The number of the last step that this version of a table has seen."""
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
    """Columns that may be null by now."""
    unknown: tuple[str, ...]
    """What hinders writing only: columns that the contract does not have."""
    broken: tuple[str, ...]
    """What only a step can mend: column, what was found, what was expected."""


def drift(found: Schema, contract: Contract) -> Drift:
    """How a table with this schema differs from its contract."""
    held = {field.name: field for field in found.fields}
    wanted = {field.name: field for field in Schema.from_arrow(contract.schema).fields}
    lacking = [field for name, field in wanted.items() if name not in held]
    both = [(held[name], field) for name, field in wanted.items() if name in held]
    other = [(theirs, ours) for theirs, ours in both if not _holds(ours, theirs)]
    return Drift(
        gained=tuple(Field(f.name, f.type, metadata={GAINED: "yes"}) for f in lacking if f.nullable),
        loosened=tuple(ours.name for theirs, ours in both if ours.nullable and not theirs.nullable),
        unknown=tuple(f"{name}: found, expected no such column" for name in held if name not in wanted),
        broken=(
            *(f"{f.name}: found no such column, expected {_said(f)}" for f in lacking if not f.nullable),
            *(f"{ours.name}: found {_said(theirs)}, expected {_said(ours)}" for theirs, ours in other),
        ),
    )


def is_mixed(found: Schema) -> bool:
    """Whether some files of a table with this schema may lack columns that others have."""
    return any(GAINED in field.metadata for field in found.fields)


def _holds(wide: Field, narrow: Field) -> bool:
    """Whether every value that the narrow column may have is one of the wide column too."""
    return wide.type == narrow.type and (wide.nullable or not narrow.nullable)


def _said(field: Field) -> str:
    kind = field.type.type if isinstance(field.type, PrimitiveType) else field.type.to_json()
    return f"{kind}{' or null' if field.nullable else ''}"
