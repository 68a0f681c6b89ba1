"""A picture of a comparison as SVG: which method is best on which slice, and whether that is sure."""

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
"""`<measure>_value`, `<measure>_low` and `<measure>_high` of NDCG@10 and of its difference to the best."""


def who_wins(figures: pa.Table, labels: Mapping[str, str]) -> str:
    """NDCG@10 of each method with its 95 % interval, a panel for each slice with judged customers.

    Args:
        figures: of a comparison.
        labels: the title of each slice.
    """
    slices = _by_slice(figures)
    parts = [part for part in SLICES if part in slices]
    order = _order(slices)
    rows = -(-len(parts) // _COLUMNS)
    with mpl.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(10.6, rows * (0.8 + _INCHES_A_ROW * len(order))), layout="constrained")
        FigureCanvasSVG(figure)
        grid = list(figure.subplots(rows, min(_COLUMNS, len(parts)), sharey=True, squeeze=False).flat)
        for axes, part in zip(grid, parts, strict=False):
            _panel(axes, slices[part], order, labels[part])
        for axes in grid[len(parts) :]:
            axes.set_visible(False)
        markers = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in _LEGEND.values()]
        figure.supxlabel("NDCG@10, 95 % over customers", fontsize=10)
        figure.legend(markers, list(_LEGEND), loc="outside upper right", ncols=3, handlelength=1)
        return svg(figure)


def _by_slice(figures: pa.Table) -> dict[str, dict[str, Row]]:
    """By slice and method: NDCG@10 and its difference to the best, both with their intervals."""
    slices: dict[str, dict[str, dict[str, float]]] = {}
    for row in figures.to_pylist():
        if row["measure"] in (JUDGED_BY, LESS_BEST):
            values = {f"{row['measure']}_{end}": row[end] for end in ("value", "low", "high")}
            slices.setdefault(row["slice"], {}).setdefault(row["way"], {}).update(values)
    return {part: {**methods} for part, methods in slices.items()}


def _order(slices: Mapping[str, Mapping[str, Row]]) -> Sequence[str]:
    """The methods: first the ranker, then by NDCG@10 on the first slice that the method is on."""
    ndcg: dict[str, float] = {}
    for methods in slices.values():
        ndcg = {method: row[f"{JUDGED_BY}_value"] for method, row in methods.items()} | ndcg
    first = next(iter(slices.values()))
    return sorted(ndcg, key=lambda method: (method != RANKER, method not in first, -ndcg[method]))


def _panel(axes: Axes, methods: Mapping[str, Row], order: Sequence[str], title: str) -> None:
    for place, method in enumerate(order):
        if method in methods:
            colour = _colour(methods[method])
            value, *ends = (methods[method][f"{JUDGED_BY}_{end}"] for end in ("value", "low", "high"))
            axes.plot(ends, [place, place], color=colour, linewidth=2)
            axes.plot(value, place, "o", markersize=6, color=colour, clip_on=False)
    axes.set_yticks(range(len(order)), [method.replace("_", " ") for method in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_title(title, loc="left", fontsize=10)


def _colour(row: Row) -> str:
    if row[f"{LESS_BEST}_value"] == 0:
        return _BEST
    return _WORSE if row[f"{LESS_BEST}_high"] < 0 else _NOT_SURE
