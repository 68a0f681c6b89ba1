"""Who may import whom (DESIGN: the house)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "include" / "perennial"
GROUND = {"foundation"}
OUTSIDE_THE_ROOMS = {"foundation", "orchestration", "demo"}
CAPABILITIES = sorted(
    folder.name
    for folder in PACKAGE.iterdir()
    if (folder / "__init__.py").exists() and folder.name not in OUTSIDE_THE_ROOMS
)


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    return {name for node in nodes for name in _names(node)}


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(names: set[str]) -> set[str]:
    """The packages of ours among dotted names."""
    return {name.split(".")[1] for name in names if name.startswith("perennial.")}


def words(path: Path) -> set[str]:
    """The names and attributes that a file speaks of in its code."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.id for node in nodes if isinstance(node, ast.Name)} | imports(path)
    return {name.rpartition(".")[2] for name in names} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_capability_stands_on_the_foundation_alone(capability: str):
    for path in files(PACKAGE / capability):
        assert rooms(imports(path)) <= GROUND | {capability}, path


def test_the_foundation_stands_on_nothing_of_ours():
    for path in files(PACKAGE / "foundation"):
        assert rooms(imports(path)) <= GROUND, path


@pytest.mark.parametrize("folder", ["include/perennial/orchestration", "plugins"])
def test_what_faces_airflow_stands_on_the_foundation(folder: str):
    for path in files(ROOT / folder):
        assert rooms(imports(path)) <= GROUND | {"orchestration"}, path


def test_only_orchestration_imports_airflow():
    for path in files(PACKAGE):
        if path.parent.name != "orchestration":
            assert not {name for name in imports(path) if name.split(".")[0] == "airflow"}, path


def test_only_tracking_imports_mlflow():
    for path in [*files(PACKAGE), *files(ROOT / "dags"), *files(ROOT / "plugins")]:
        if path.parent != PACKAGE / "foundation" / "modelling" / "tracking":
            assert not {name for name in imports(path) if name.split(".")[0] == "mlflow"}, path


def test_only_who_takes_in_sends_or_erases_opens_the_vault():
    allowed = {PACKAGE / room for room in ("ingestion", "delivery", "privacy")}
    names = ("settings", "lake/__init__", "lake/lake", "lake/maintenance")
    foundation = {PACKAGE / "foundation" / f"{name}.py" for name in names}
    for path in [*files(PACKAGE), *files(ROOT / "dags"), *files(ROOT / "plugins")]:
        if path not in foundation and not allowed & set(path.parents):
            assert not words(path) & {"open_vault", "vault"}, path


def test_dag_files_import_capabilities_inside_tasks_only():
    for path in files(ROOT / "dags"):
        assert rooms(imports(path, top_level_only=True)) <= {"orchestration", "foundation"}, path


def test_a_dag_file_is_a_table_of_contents():
    for path in files(ROOT / "dags"):
        assert len(path.read_text().splitlines()) <= 100, path


def test_modules_are_named_for_what_they_hold():
    forbidden = {"utils", "helpers", "common", "misc", "base"}
    assert not [path for path in files(PACKAGE) if path.stem in forbidden]
