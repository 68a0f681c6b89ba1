"""The YAML files that people edit, read into models that reject nonsense with a plain sentence.

They lie in the folder that `PERENNIAL_CONFIG` names. A file that is missing there is read from
`include/config`, where every file has a default for any shop. A file is read as a whole;
two files are never merged.
"""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.foundation.settings import DEFAULT_CONFIG, settings

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A file is wrong: the message says which, which key, what was found, what is allowed."""


class Part(BaseModel):
    """Any part of a configuration file: frozen, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load(name: str, model: type[Model], folder: Path | None = None) -> Model:
    """Read `<folder>/<name>.yaml` (by default the settings' folder), else the default file, into its model.

    Raises:
        ConfigError: the folder or the file is missing, the file is no YAML, or a key of it is wrong.
    """
    path = path_of(name, folder)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file, and no default") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {_plain(error)}") from None
    try:
        return model.model_validate(content if content is not None else {})
    except ValidationError as error:
        raise ConfigError(problems_of(path, error)) from None


def path_of(name: str, folder: Path | None = None) -> Path:
    """The file that `load` reads: the folder's own, or else the default, or else the folder's missing one.

    Raises:
        ConfigError: there is no such folder, or it has a YAML file whose name means nothing: it would be
            passed over in silence.
    """
    folder = folder or settings().config
    own, default = folder / f"{name}.yaml", DEFAULT_CONFIG / f"{name}.yaml"
    if own.exists() or own.is_symlink():
        return own
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; PERENNIAL_CONFIG names it")
    allowed = sorted(path.name for path in DEFAULT_CONFIG.glob("*.yaml"))
    yaml_files = [path.name for path in folder.iterdir() if path.suffix.casefold() in (".yaml", ".yml")]
    unknown = sorted(name for name in yaml_files if name not in allowed and not name.startswith("."))
    if unknown:
        raise ConfigError(f"{folder / unknown[0]}: nothing reads this file; allowed are {', '.join(allowed)}")
    return default if default.exists() else own


def _plain(error: Exception) -> str:
    """Where YAML stopped and why, without the line itself: it may hold letters that nobody can see."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    mark, parts = error.problem_mark, filter(None, (error.context, error.problem))
    return f"line {mark.line + 1}, column {mark.column + 1}: {' '.join(parts)}"


def problems_of(where: object, error: ValidationError) -> str:
    """What is wrong, a sentence for each key: in which file or form, which key, what was found."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "all of it"
        value = repr(problem["input"])
        lines.append(f"{where}: {key}: {problem['msg']}; found {value[:80]}")
    return "\n".join(lines)
