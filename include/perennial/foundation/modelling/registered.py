"""What goes into the model registry, and what comes out of it.

A saved model names the layout of its files. Code for another layout refuses the model with a clear message,
and the next candidate replaces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_LAYOUT_FILE = "layout"
_FIRST_LAYOUT = 1
"""The layout of models that were saved before layouts had numbers."""


class LayoutError(ValueError):
    """A model was saved in a layout that this code does not read."""


def write_layout(folder: Path, layout: int) -> None:
    """Write the layout of its files into the folder of a saved model."""
    (folder / _LAYOUT_FILE).write_text(f"{layout}\n")


def check_layout(folder: Path, layout: int) -> None:
    """Refuse the folder of a saved model whose files are in another layout.

    Raises:
        LayoutError: they are.
    """
    file = folder / _LAYOUT_FILE
    saved = int(file.read_text()) if file.exists() else _FIRST_LAYOUT
    if saved != layout:
        raise LayoutError(f"its files are in layout {saved}; this code reads layout {layout}")


@dataclass(frozen=True)
class Pyfunc:
    """A saved model as MLflow should know it.

    Args:
        name: the registered name.
        folder: the folder that the loader reads.
        loader: the module whose `_load_pyfunc(folder)` gives an object with `predict(frame, params)`.
        example: input that callers can imitate.
        answer: the model's output for the example; the two make the signature.
        options: the parameters of `predict` with their defaults.
        packages: the distributions it needs, pinned to the installed versions.
    """

    name: str
    folder: Path
    loader: str
    example: "pd.DataFrame"
    answer: "pd.DataFrame"
    options: Mapping[str, Any]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Registered:
    """The number of a version, and the id of the logged model behind it."""

    version: int
    model_id: str


@dataclass(frozen=True)
class Trained:
    """A candidate: a registered version and the run that made it."""

    model: str
    version: int
    run_id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
