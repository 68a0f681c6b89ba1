"""Pictures of exposure as SVG: who is shown against catalogue and purchases, and what variety costs."""

from collections.abc import Sequence

import matplotlib as mpl
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from perennial.foundation.pages import STYLE, svg
from perennial.recommend.exposure.shares import Step

_SHARES = {
    "of_catalogue": ("of the catalogue", "#94a3b8"),
    "of_purchases": ("of purchases", "#b45309"),
    "of_recommendations": ("of recommendations", "#0f766e"),
}
_INCHES_A_ROW = 0.24
_BAND = "#ccfbf1"


def shares(exposure: pa.Table) -> str:
    """The shares of each group, a panel for each dimension of `exposure.exposure`."""
    dimensions = pc.unique(exposure["dimension"]).to_pylist()
    panels = [exposure.filter(pc.equal(exposure["dimension"], one)) for one in dimensions]
    deepest = max(panel.num_rows for panel in panels)
    with mpl.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(10.6, 2 * (0.9 + _INCHES_A_ROW * deepest)), layout="constrained")
        FigureCanvasSVG(figure)
        for axes, panel, dimension in zip(figure.subplots(2, 2).flat, panels, dimensions, strict=True):
            rows = range(panel.num_rows)
            for column, (label, colour) in _SHARES.items():
                axes.plot(panel[column].to_pylist(), rows, "o", markersize=5, color=colour, label=label)
            axes.set_yticks(rows, panel["group"].to_pylist())
            axes.set_ylim(panel.num_rows - 0.5, -0.5)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set_title(dimension, loc="left", fontsize=10)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=3, handlelength=1)
        return svg(figure)


def cost(steps: Sequence[Step], setting: str) -> str:
    """What a setting buys and costs: NDCG@k with its change's 95 % band, over the Gini coefficient.

    Args:
        steps: of `exposure.cost_curve`.
        setting: what it is called; each point says its value.
    """
    across, up = [step.spread.gini for step in steps], [step.ndcg.mean for step in steps]
    with mpl.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        low, high = ([up[0] + getattr(step.change, end) for step in steps] for end in ("low", "high"))
        axes.fill_between(across, low, high, color=_BAND, linewidth=0)
        axes.plot(across, up, color="#0f766e", marker="o", markersize=4)
        for step in steps:
            place = step.spread.gini, step.ndcg.mean
            axes.annotate(
                f"{step.setting:g}", place, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8
            )
        axes.set(
            xlabel="concentration of what is shown (Gini)",
            ylabel="NDCG",
            title=f"Each point: {setting}",
        )
        axes.invert_xaxis()
        return svg(figure)
