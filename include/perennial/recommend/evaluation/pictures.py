"""A picture of a comparison as SVG: which way of recommending wins on which slice, and how surely."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from perennial.foundation.pages import STYLE, svg
from perennial.recommend.evaluation.baselines import RANKER
from perennial.recommend.evaluation.comparison import JUDGED_BY, LESS_BEST, SLICES

_BEST, _NOT_SURE, _WORSE = "#0f766e", "#5eead4", "#94a3b8"
_LEGEND = {"best": _BEST, "not surely worse": _NOT_SURE, "surely worse": _WORSE}
_INCHES_A_ROW = 0.22
_COLUMNS = 4
Row = Mapping[str, float]


def who_wins(figures: pa.Table, labels: Mapping[str, str]) -> str:
    """NDCG@10 of each way with its 95 % interval, a panel for each slice on which anybody was judged.

    Args:
        figures: of a comparison.
        labels: what each slice is called.
    """
    found = _found(figures)
    parts = [part for part in SLICES if part in found]
    order = _order(found)
    rows = -(-len(parts) // _COLUMNS)
    with mpl.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(10.6, rows * (0.8 + _INCHES_A_ROW * len(order))), layout="constrained")
        FigureCanvasSVG(figure)
        grid = list(figure.subplots(rows, min(_COLUMNS, len(parts)), sharey=True, squeeze=False).flat)
        for axes, part in zip(grid, parts, strict=False):
            _panel(axes, found[part], order, labels[part])
        for axes in grid[len(parts) :]:
            axes.set_visible(False)
        marks = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in _LEGEND.values()]
        figure.supxlabel("NDCG@10, 95 % over customers", fontsize=10)
        figure.legend(marks, list(_LEGEND), loc="outside upper right", ncols=3, handlelength=1)
        return svg(figure)


def _found(figures: pa.Table) -> dict[str, dict[str, Row]]:
    """By slice and way: NDCG@10 with its interval, and whether it is surely below the best."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in figures.to_pylist():
        if row["measure"] in (JUDGED_BY, LESS_BEST):
            ends = {f"{row['measure']}_{end}": row[end] for end in ("value", "low", "high")}
            found.setdefault(row["slice"], {}).setdefault(row["way"], {}).update(ends)
    return {part: {**ways} for part, ways in found.items()}


def _order(found: Mapping[str, Mapping[str, Row]]) -> Sequence[str]:
    """The ways, the ranker first, then those that do best on the first slice on which they are."""
    worth: dict[str, float] = {}
    for ways in found.values():
        worth = {way: row[f"{JUDGED_BY}_value"] for way, row in ways.items()} | worth
    first = next(iter(found.values()))
    return sorted(worth, key=lambda way: (way != RANKER, way not in first, -worth[way]))


def _panel(axes: Axes, ways: Mapping[str, Row], order: Sequence[str], title: str) -> None:
    for place, way in enumerate(order):
        if way in ways:
            colour = _colour(ways[way])
            value, *ends = (ways[way][f"{JUDGED_BY}_{end}"] for end in ("value", "low", "high"))
            axes.plot(ends, [place, place], color=colour, linewidth=2)
            axes.plot(value, place, "o", markersize=6, color=colour, clip_on=False)
    axes.set_yticks(range(len(order)), [way.replace("_", " ") for way in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_title(title, loc="left", fontsize=10)


def _colour(row: Row) -> str:
    if row[f"{LESS_BEST}_value"] == 0:
        return _BEST
    return _WORSE if row[f"{LESS_BEST}_high"] < 0 else _NOT_SURE
