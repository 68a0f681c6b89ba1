"""A picture of exposure as SVG: shares of recommendations beside those of catalogue and purchases."""

import matplotlib as mpl
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from perennial.foundation.pages import STYLE, svg

_SHARES = {
    "of_catalogue": ("of the catalogue", "#94a3b8"),
    "of_purchases": ("of purchases", "#b45309"),
    "of_recommendations": ("of recommendations", "#0f766e"),
}
_INCHES_A_ROW = 0.24


def shares(exposure: pa.Table) -> str:
    """The shares of each group, a panel for each dimension.

    Args:
        exposure: as `shares.exposure` returns it.
    """
    dimensions = pc.unique(exposure["dimension"]).to_pylist()
    panels = [exposure.filter(pc.equal(exposure["dimension"], dimension)) for dimension in dimensions]
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
