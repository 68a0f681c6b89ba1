"""The table *Where is …?* of docs/house.md: every file and every name in it exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "include" / "perennial"
ROW = re.compile(r"^\| (?P<behaviour>[^|]+) \| `(?P<file>[^`]+)` \| `(?P<name>[^`]+)` \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """Behaviour, file and name of each row."""
    return [
        (row["behaviour"], row["file"], row["name"])
        for row in ROW.finditer((ROOT / "docs/house.md").read_text())
    ]


def names_in(body: list[ast.stmt], prefix: str = "") -> set[str]:
    """Functions, classes, their members and constants, by dotted name."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            names |= names_in(node.body, f"{prefix}{node.name}.")
        if isinstance(node, ast.Assign):
            names |= {prefix + target.id for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(prefix + node.target.id)
    return names


def test_at_least_forty_behaviours_are_named():
    assert len(rows()) >= 40
    assert len({behaviour for behaviour, _, _ in rows()}) == len(rows())


@pytest.mark.parametrize(("file", "name"), [row[1:] for row in rows()])
def test_the_file_and_the_name_exist(file: str, name: str):
    assert name in names_in(ast.parse((PACKAGE / file).read_text()).body)
