"""What all reports have in common: a frame that needs nothing else, words of the shop, pictures as text."""

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
    """What reports.yaml says."""
    return load("reports", ReportWords)


def date_of(day: date) -> str:
    """A day as people write it, the same in every locale."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


@cache
def templates(folder: Path) -> Environment:
    """The templates in a folder, which may extend `page.html.j2`; whatever they are given is escaped."""
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent / "templates"]),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write(path: Path, text: str) -> None:
    """All of it or nothing: a reader never sees half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def svg(figure: "Figure") -> str:
    """The figure as an element for a page: no prologue, no metadata, no ids that another picture has too."""
    import matplotlib as mpl

    written = StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return re.sub(r"\n\s*", "\n", text).strip()
