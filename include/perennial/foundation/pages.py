"""What all reports share: a frame without external files, the words of the shop, pictures as text."""

import os
import re
from datetime import date
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pydantic import Field

from perennial.foundation.config import Part, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GRID = "#475569", "#e2e8f0"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "perennial",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
"""How pictures in reports look: matplotlib's parameters."""
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class ReportWords(Part):
    """The file reports.yaml."""

    shop: str = Field(min_length=1)
    currency: str = ""
    data_note: str = ""


def report_words() -> ReportWords:
    """The words in reports.yaml."""
    return load("reports", ReportWords)


def date_of(day: date) -> str:
    """A day as people write it, the same in every locale."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


@cache
def templates(folder: Path) -> Environment:
    """The templates in a folder, which may extend `page.html.j2`; all values are escaped."""
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent / "templates"]),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write(path: Path, text: str) -> None:
    """Write a page as a whole: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def svg(figure: "Figure") -> str:
    """The figure as an element for a page: without prologue, metadata and ids that other pictures have."""
    import matplotlib as mpl

    buffer = StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return re.sub(r"\n\s*", "\n", text).strip()
