"""docker-compose.yaml as the compose engine reads it: merged, and with an environment put in."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yaml"
EXAMPLE = REPOSITORY / ".env.example"
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?::(?P<operator>[-?])(?P<text>[^}]*))?\}")

Node = dict[str, Any]


@cache
def file() -> Node:
    """The file with its anchors and merges resolved, and every variable still in it."""
    return yaml.safe_load(COMPOSE.read_text())


@cache
def example() -> dict[str, str]:
    """The variables of .env.example."""
    return {name: value or "" for name, value in dotenv_values(EXAMPLE, interpolate=False).items()}


def services() -> dict[str, Node]:
    """The services by name."""
    return file()["services"]


def variables(text: str) -> list[tuple[str, str, str]]:
    """Every variable in the text, as name, operator (`-` has a default, `?` is required) and its words."""
    return [
        (found["name"], found["operator"] or "", found["text"] or "") for found in VARIABLE.finditer(text)
    ]


def filled(node: Any, environment: dict[str, str]) -> Any:
    """The node with the environment put in, as `docker compose config` does; KeyError if one is missing."""

    def value(found: re.Match[str]) -> str:
        name, operator, text = found["name"], found["operator"], found["text"]
        if environment.get(name):
            return environment[name]
        if operator == "-":
            return text
        raise KeyError(f"{name}: {text}")

    if isinstance(node, dict):
        return {key: filled(inner, environment) for key, inner in node.items()}
    if isinstance(node, list):
        return [filled(inner, environment) for inner in node]
    return VARIABLE.sub(value, node).replace("$$", "$") if isinstance(node, str) else node
