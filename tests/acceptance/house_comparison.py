"""Two tables with the same key, row by row: exact except floats, and floats as close as their type allows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

FLOAT64, FLOAT32 = 1e-9, 1e-5
"""How far apart two floats may be that count as the same, in parts of the greater one."""

_NEARLY_NOTHING = 1e-3
"""Numbers this small, in units of the tolerance, count as 0."""

Key = tuple[object, ...]


@dataclass(frozen=True)
class Difference:
    """How one table differs from another.

    Args:
        rows: keys whose rows differ, and keys that only one of the tables has.
        of: all keys.
        columns: by column, in how many common rows it differs; all of them where the other table lacks it.
        new: columns that only the other table has. They are no difference.
        first: the first value that differs, in words.
    """

    rows: int
    of: int
    columns: dict[str, int] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    first: str = ""

    def __str__(self) -> str:
        columns = ", ".join(f"{name} {count}" for name, count in self.columns.items())
        parts = [f"{self.rows} of {self.of} rows differ", columns, self.first]
        new = f"new columns: {', '.join(self.new)}" if self.new else ""
        return "; ".join(part for part in (*parts, new) if part)


@dataclass(frozen=True)
class Agreement:
    """How far two tables of recommendations agree.

    Args:
        places: all (customer, rank) that one of the tables has.
        equal: share of them with the same item, 0 to 1.
        greatest: the greatest difference of the scores of the same items in the same places.
        columns: by column, in how many of the equal places it differs.
    """

    places: int
    equal: float
    greatest: float
    columns: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        columns = ", ".join(f"{name} {count}" for name, count in self.columns.items())
        same = f"{self.equal:.6f} of {self.places} places equal, scores up to {self.greatest:.3g} apart"
        return f"{same}; in equal places differ: {columns}" if columns else same


def compare(base: pa.Table, other: pa.Table, key: Sequence[str]) -> Difference:
    """How `other` differs from `base` in the columns of `base`."""
    ours, theirs = _rows_by_key(base, key), _rows_by_key(other, key)
    common = [one for one in ours if one in theirs]
    alone = ours.keys() ^ theirs.keys()
    left = base.take(pa.array([ours[one] for one in common], pa.int64()))
    right = other.take(pa.array([theirs[one] for one in common], pa.int64()))
    wrong, columns = set(), {}
    first = f"only one has {min(alone, key=str)}" if alone else ""
    for name in base.column_names:
        unlike = _unlike(left, right, name)
        if unlike:
            columns[name] = len(unlike)
            wrong.update(unlike)
            first = first or _in_words(left, right, name, unlike[0], common[unlike[0]])
    new = tuple(name for name in other.column_names if name not in base.column_names)
    return Difference(len(alone) + len(wrong), len(ours | theirs), columns, new, first)


def agreement(base: pa.Table, other: pa.Table, key: Sequence[str]) -> Agreement:
    """How far the recommendations of `other` are those of `base`."""
    ours, theirs = _rows_by_key(base, key), _rows_by_key(other, key)
    common = [one for one in ours if one in theirs]
    left = base.take(pa.array([ours[one] for one in common], pa.int64()))
    right = other.take(pa.array([theirs[one] for one in common], pa.int64()))
    equal = pa.array(
        [a == b for a, b in zip(left["item_id"].to_pylist(), right["item_id"].to_pylist(), strict=True)]
    )
    left, right = left.filter(equal), right.filter(equal)
    scores = zip(left["score"].to_pylist(), right["score"].to_pylist(), strict=True)
    differing = {name: len(_unlike(left, right, name)) for name in base.column_names}
    return Agreement(
        places=len(ours | theirs),
        equal=left.num_rows / max(len(ours | theirs), 1),
        greatest=max((abs(a - b) for a, b in scores), default=0.0),
        columns={name: count for name, count in differing.items() if count},
    )


def same(a: object, b: object, kind: pa.DataType) -> bool:
    """Whether two values of a type count as the same."""
    if a is None or b is None:
        return a is b
    if pa.types.is_floating(kind):
        return close(float(a), float(b), FLOAT32 if pa.types.is_float32(kind) else FLOAT64)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return len(a) == len(b) and all(same(x, y, kind.value_type) for x, y in zip(a, b, strict=True))
    if pa.types.is_struct(kind):
        return all(same(a[part.name], b.get(part.name), part.type) for part in kind)
    return a == b


def close(a: float, b: float, tolerance: float) -> bool:
    """Whether two floats count as the same; no number is the same as no number."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance * _NEARLY_NOTHING)


def _rows_by_key(table: pa.Table, key: Sequence[str]) -> dict[Key, int]:
    columns = [table[name].to_pylist() for name in key]
    rows = {values: row for row, values in enumerate(zip(*columns, strict=True))}
    if len(rows) < table.num_rows:
        raise ValueError(
            f"{table.num_rows - len(rows)} rows have a key that is there already: {', '.join(key)}"
        )
    return rows


def _unlike(left: pa.Table, right: pa.Table, name: str) -> list[int]:
    """The rows in which a column differs."""
    if name not in right.column_names:
        return list(range(left.num_rows))
    # Most columns are the same to the bit; only the others are worth a look at each value.
    if left[name].equals(right[name]):
        return []
    pairs = zip(left[name].to_pylist(), right[name].to_pylist(), strict=True)
    return [row for row, (a, b) in enumerate(pairs) if not same(a, b, left.schema.field(name).type)]


def _in_words(left: pa.Table, right: pa.Table, name: str, row: int, key: Key) -> str:
    where = " ".join(str(value) for value in key)
    if name not in right.column_names:
        return f"{name} is missing"
    a, b = (str(table[name][row].as_py())[:80] for table in (left, right))
    return f"{name} of {where}: {a} and {b}"
