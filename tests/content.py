"""Equal content: what every rerun and kill test compares (DESIGN section 3).

The keys are the same. Values are equal; float64 within 1e-9 relative, float32 within 1e-5, text vectors by a
cosine of at least 0.999, and figures computed from them within 1e-3. Version numbers of the registry are left
out.
"""

import json
import math
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import Lake

LEFT_OUT = {"model_version", "version"}
ONCE_ONLY = ("model_log", "audiences", "campaign_log", "arms")
RE_MAKEABLE = tuple(name for name in contracts.CONTRACTS if name not in ONCE_ONLY)
FROM_VECTORS = {("recommendations", "score"): 1e-3, ("scores", "p_return_28"): 1e-3, ("drift", "psi"): 1e-2}
COSINE = 0.999


def differences(left: Lake, right: Lake, tables: Iterable[str] = contracts.CONTRACTS) -> list[str]:
    """One sentence for each table and column in which two lakes differ; empty when their content is equal.

    Only tables that both have are compared: those of a lake or of a vault.
    """
    common = [name for name in tables if name in left.tables and name in right.tables]
    return [sentence for name in common for sentence in _table(contracts.CONTRACTS[name], left, right)]


def rows(lake: Lake, name: str) -> list[dict]:
    """All rows of a table in the order of its key."""
    return list(_sorted(lake, contracts.CONTRACTS[name]).to_pylist())


def _sorted(lake: Lake, contract: Contract) -> pa.Table:
    """All rows of a table in the order of its key, each column in one piece."""
    table: pa.Table = lake.read(contract.name).to_pyarrow()
    return table.sort_by([(column, "ascending") for column in contract.key]).combine_chunks()


def _table(contract: Contract, left: Lake, right: Lake) -> Iterator[str]:
    ours, theirs = _sorted(left, contract), _sorted(right, contract)
    keys = list(contract.key)
    if not ours.select(keys).equals(theirs.select(keys)):
        extra = _keys(ours.select(keys)) ^ _keys(theirs.select(keys))
        sizes = f"{len(ours)} and {len(theirs)} rows"
        yield f"{contract.name}: {sizes}; {len(extra)} keys differ: {sorted(extra)[:3]}"
        return
    for field in contract.schema:
        # Most columns are equal to the bit; only the others are compared value by value.
        if field.name in LEFT_OUT or ours[field.name].equals(theirs[field.name]):
            continue
        wrong = _unlike(ours[field.name], theirs[field.name], field, contract)
        if wrong:
            where = ours.select(keys).slice(wrong[0], 1).to_pylist()[0]
            a, b = (table[field.name][wrong[0]].as_py() for table in (ours, theirs))
            count = f"{len(wrong)} of {len(ours)} rows differ"
            yield f"{contract.name}.{field.name}: {count}, first {where}: {a} and {b}"


def _unlike(ours: pa.ChunkedArray, theirs: pa.ChunkedArray, field: pa.Field, contract: Contract) -> list[int]:
    """The rows whose values are not the same."""
    if field.type == contracts.VECTOR and ours.is_null().equals(theirs.is_null()):
        there = np.flatnonzero(ours.is_valid().to_numpy())
        left, right = (np.stack(column.drop_null().to_numpy()) for column in (ours, theirs))
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        return [int(row) for row in there[np.einsum("ij,ij->i", left, right) < COSINE * lengths]]
    tolerance = FROM_VECTORS.get((contract.name, field.name), 1e-9)
    pairs = zip(ours.to_pylist(), theirs.to_pylist(), strict=True)
    return [row for row, (a, b) in enumerate(pairs) if not _same(a, b, field, tolerance)]


def _keys(table: pa.Table) -> set[tuple[str, ...]]:
    return {tuple(str(value) for value in row.values()) for row in table.to_pylist()}


def _same(a: object, b: object, field: pa.Field, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    if field.name == "figures":
        return _close(_plain(json.loads(str(a))), _plain(json.loads(str(b))), 1e-3)
    return _close(a, b, tolerance)


def _plain(figures: dict) -> dict:
    return {name: value for name, value in figures.items() if not name.endswith(("version", "run_id"))}


def _close(a: object, b: object, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key], tolerance) for key in a)
    return a == b
