"""The files in include/config, read into models that reject nonsense with a plain sentence."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.foundation.settings import settings

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A file is wrong: the message says which, which key, what was found, what is allowed."""


class Part(BaseModel):
    """Any part of a configuration file: frozen, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load(name: str, model: type[Model], folder: Path | None = None) -> Model:
    """Read `<folder>/<name>.yaml` (by default the settings' folder) into its model.

    Raises:
        ConfigError: the file is missing, is no YAML, or a key of it is wrong.
    """
    path = (folder or settings().config) / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {_plain(error)}") from None
    try:
        return model.model_validate(found if found is not None else {})
    except ValidationError as error:
        raise ConfigError(told(path, error)) from None


def _plain(error: Exception) -> str:
    """Where YAML stopped and why, without the line itself: it may hold letters that nobody can see."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    mark, said = error.problem_mark, filter(None, (error.context, error.problem))
    return f"line {mark.line + 1}, column {mark.column + 1}: {' '.join(said)}"


def told(where: object, error: ValidationError) -> str:
    """What is wrong, a sentence for each key: in which file or form, which key, what was found."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "all of it"
        found = repr(problem["input"])
        lines.append(f"{where}: {key}: {problem['msg']}; found {found[:80]}")
    return "\n".join(lines)
