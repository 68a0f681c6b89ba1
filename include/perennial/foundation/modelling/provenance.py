"""What a figure was made with: the code, the software of the machine, and the columns of the tables."""

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
    arguments = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*")
    # Without the locks, two runs can call git at the same time.
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return f"perennial {perennial.__version__}"


@cache
def environment() -> dict[str, str]:
    """`python`, `platform`, and `packages`: the versions of the packages that figures depend on."""
    versions = {
        package.metadata["Name"]: package.version for name in _PACKAGES for package in _installed(name)
    }
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def columns(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns of a table as MLflow's data sets describe them; money becomes double."""
    return [{"name": field.name, **_field(field)} for field in schema]


def _installed(name: str) -> list[metadata.Distribution]:
    try:
        return [metadata.distribution(name)]
    except metadata.PackageNotFoundError:
        return []


def _field(field: pa.Field) -> dict[str, Any]:
    return {**_described(field.type), "required": not field.nullable}


def _described(data_type: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(data_type):
        return {"type": "array", "items": _described(data_type.value_type)}
    if pa.types.is_struct(data_type):
        return {"type": "object", "properties": {field.name: _field(field) for field in data_type}}
    return {"type": next((name for is_type, name in _KINDS if is_type(data_type)), "string")}
