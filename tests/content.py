"""Equal content: what every rerun and kill test compares (DESIGN section 3).

Same keys; exact except floats; float64 within 1e-9 relative, float32 within 1e-5; text vectors by a cosine of
at least 0.999, and what is computed from them within 1e-3. Registry version numbers are left out.
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
FROM_VECTORS = {("recommendations", "score"): 1e-3, ("scores", "p_return_28"): 1e-3}
COSINE = 0.999


def differences(left: Lake, right: Lake, tables: Iterable[str] = contracts.CONTRACTS) -> list[str]:
    """One sentence for each table and column in which two lakes differ; empty when their content is equal."""
    return [sentence for name in tables for sentence in _table(contracts.CONTRACTS[name], left, right)]


def rows(lake: Lake, name: str) -> list[dict]:
    """All rows of a table in the order of its key."""
    contract = contracts.CONTRACTS[name]
    table: pa.Table = lake.read(name).to_pyarrow()
    return table.sort_by([(column, "ascending") for column in contract.key]).to_pylist()


def _table(contract: Contract, left: Lake, right: Lake) -> Iterator[str]:
    ours, theirs = rows(left, contract.name), rows(right, contract.name)
    if [_key(contract, row) for row in ours] != [_key(contract, row) for row in theirs]:
        extra = {_key(contract, r) for r in ours} ^ {_key(contract, r) for r in theirs}
        yield f"{contract.name}: {len(ours)} and {len(theirs)} rows; {len(extra)} keys differ: {sorted(extra)[:3]}"
        return
    for field in contract.schema:
        if field.name in LEFT_OUT:
            continue
        wrong = [
            (_key(contract, a), a[field.name], b[field.name])
            for a, b in zip(ours, theirs, strict=True)
            if not _same(
                a[field.name], b[field.name], field, FROM_VECTORS.get((contract.name, field.name), 1e-9)
            )
        ]
        if wrong:
            yield f"{contract.name}.{field.name}: {len(wrong)} of {len(ours)} rows differ, first {wrong[0]}"


def _key(contract: Contract, row: dict) -> tuple[str, ...]:
    return tuple(str(row[column]) for column in contract.key)


def _same(a: object, b: object, field: pa.Field, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    if field.type == contracts.VECTOR:
        return bool(np.dot(a, b) >= COSINE * np.linalg.norm(a) * np.linalg.norm(b))
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
