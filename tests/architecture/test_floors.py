"""Import floors: within a room, a module imports only from floors below its own.

A unit is a folder of the room or a module beside the folders. Units of one floor do not import each other.
"""

import ast
from pathlib import Path

import pytest

from tests.architecture.test_layering import PACKAGE, files

FLOORS: dict[str, list[set[str]]] = {
    "foundation": [
        {"settings", "arrays", "contracts", "endpoint", "hardware", "staging", "time_zones"},
        {"config", "engine", "ledger", "activity", "bootstrap", "chance"},
        {"lake", "encoder", "item_texts", "masking", "measures", "pages"},
        {"modelling"},
        {"embedding_spaces"},
    ],
    "recommend": [
        {"settings", "arrays"},
        {"data"},
        {"features", "sequence"},
        {"sources", "ranking"},
        {"fit", "lists"},
        {"evaluation"},
        {"recommender", "exposure", "any_data"},
        {"registration", "retraining"},
        {"pipeline"},
    ],
}
"""The ground floor first."""


def unit_of(path: Path, room: str) -> str:
    """The folder of the room in which a file lies, or the module that it is."""
    return path.relative_to(PACKAGE / room).parts[0].removesuffix(".py")


def imported_units(path: Path, room: str) -> set[str]:
    """The units of the room that a file imports, wherever in the file the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    prefix = f"perennial.{room}."
    return {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}


@pytest.mark.parametrize("room", FLOORS)
def test_every_unit_has_one_floor(room: str):
    listed = [unit for floor in FLOORS[room] for unit in floor]
    units = {unit_of(path, room) for path in files(PACKAGE / room)} - {"__init__"}
    assert sorted(listed) == sorted(units)


@pytest.mark.parametrize("room", FLOORS)
def test_imports_go_to_lower_floors_only(room: str):
    floors = {unit: number for number, floor in enumerate(FLOORS[room]) for unit in floor}
    for path in files(PACKAGE / room):
        unit = unit_of(path, room)
        others = imported_units(path, room) & floors.keys() - {unit}
        not_lower = {other for other in others if unit in floors and floors[other] >= floors[unit]}
        assert not not_lower, f"{path}: imports {not_lower}"


def test_the_foundation_has_at_most_five_floors_and_the_recommender_nine():
    assert len(FLOORS["foundation"]) <= 5
    assert len(FLOORS["recommend"]) <= 9
