"""What made a figure: the code, the machine's software, and the tables as a data set's columns."""

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

import perennial

_PACKAGES = (
    *("numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "lightgbm", "torch", "transformers"),
    *("duckdb", "ibis-framework", "deltalake", "mlflow"),
)
_KINDS: tuple[tuple[Any, str], ...] = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int32, "integer"),
    (pa.types.is_integer, "long"),
    (pa.types.is_float32, "float"),
    (pa.types.is_floating, "double"),
    (pa.types.is_decimal, "double"),
    (pa.types.is_temporal, "datetime"),
)


@cache
def code_version() -> str:
    """The git commit of this code, with `-dirty` where files differ from it; else the package's version."""
    asked = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*")
    # Without the locks, two runs that ask at once do not get into each other's way.
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *asked]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"perennial {perennial.__version__}"


@cache
def environment() -> dict[str, str]:
    """`python`, `platform`, and the versions of those packages that figures depend on."""
    found = {one.metadata["Name"]: one.version for name in _PACKAGES for one in _installed(name)}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": ", ".join(f"{name} {version}" for name, version in found.items()),
    }


def columns(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns of a table in the words of MLflow's data sets; money is called double there."""
    return [{"name": one.name, **_described(one.type), "required": not one.nullable} for one in schema]


def _installed(name: str) -> list[metadata.Distribution]:
    try:
        return [metadata.distribution(name)]
    except metadata.PackageNotFoundError:
        return []


def _described(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"type": "array", "items": _described(kind.value_type)}
    if pa.types.is_struct(kind):
        inner = {one.name: {**_described(one.type), "required": not one.nullable} for one in kind}
        return {"type": "object", "properties": inner}
    return {"type": next((said for is_one, said in _KINDS if is_one(kind)), "string")}
