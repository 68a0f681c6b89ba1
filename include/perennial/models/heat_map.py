"""The picture of drift: a row for each measure, a column for each day, the redder the further away."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from perennial.foundation.pages import STYLE
from perennial.models.drift import SCORE, DriftReport, Level

COLOURS: Mapping[Level, str] = {
    Level.STEADY: "#ccfbf1",
    Level.SHIFTING: "#fcd34d",
    Level.SHIFTED: "#f87171",
}
_INCHES_A_ROW, _WIDTH = 0.26, 10.6
_NUMBERED_DAYS = 14


def heat_map(days: Mapping[date, Sequence[DriftReport]]) -> Figure:
    """Stability indices over days; each cell says its level by colour, and up to 14 days their number.

    Measures that grow by themselves stand at the bottom.

    Args:
        days: what was measured on each, the columns in their order.
    """
    grows = {one.name: one.grows for measures in days.values() for one in measures}
    rows = sorted(grows, key=lambda name: (grows[name], name != SCORE, name))
    cells = np.full((len(rows), len(days)), np.nan)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(_WIDTH, 1.1 + _INCHES_A_ROW * len(rows)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for column, measures in enumerate(days.values()):
            for one in measures:
                row = rows.index(one.name)
                cells[row, column] = list(Level).index(one.level)
                if len(days) <= _NUMBERED_DAYS:
                    place = column + 0.5, row + 0.52
                    axes.text(*place, f"{one.psi:.2f}", ha="center", va="center", fontsize=8)
        colours = ListedColormap([COLOURS[level] for level in Level])
        axes.pcolormesh(cells, cmap=colours, vmin=-0.5, vmax=2.5, edgecolors="white", linewidth=1.5)
        axes.set_yticks(np.arange(len(rows)) + 0.5, [_said(name, grows=grows[name]) for name in rows])
        axes.set_xticks(np.arange(len(days)) + 0.5, [f"{day.day}\n{_month(day, days)}" for day in days])
        axes.invert_yaxis()
        handles = [Patch(color=COLOURS[level], label=str(level)) for level in Level]
        figure.legend(handles=handles, loc="outside upper right", ncols=3, handlelength=1, frameon=False)
        return figure


def _said(name: str, *, grows: bool) -> str:
    return name.replace("_", " ") + (" (grows by itself)" if grows else "")


def _month(day: date, days: Iterable[date]) -> str:
    """The month under its first column."""
    return day.strftime("%b") if day == min(one for one in days if one.month == day.month) else ""
