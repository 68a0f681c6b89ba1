"""What a setting of the lists costs in accuracy, and what it gains in spread over the catalogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from scipy import sparse

from perennial.foundation.arrays import IntArray
from perennial.foundation.bootstrap import Interval, interval
from perennial.foundation.pages import STYLE, svg
from perennial.recommend.evaluation.metrics import evaluate, hits
from perennial.recommend.exposure.shares import Spread, counts

_BAND = "#ccfbf1"


@dataclass(frozen=True)
class Step:
    """The result of one value of a setting.

    Args:
        setting: the value.
        ndcg: mean over customers, with its interval.
        change: the difference to the first step, customer by customer.
        spread: over the catalogue.
    """

    setting: float
    ndcg: Interval
    change: Interval
    spread: Spread


def cost_curve(
    values: Sequence[float], lists: Callable[[float], IntArray], wanted: sparse.csr_array, buyers: IntArray
) -> list[Step]:
    """Accuracy and spread for each value of a setting, compared with its first value.

    Args:
        values: the others are compared with the first.
        lists: from a value to the items of each customer's list, −1 for an empty place, shape (customers, k).
        wanted: what each customer bought afterwards, as booleans, shape (customers, items); customers who
            bought nothing are left out.
        buyers: how many customers bought each item before, shape (items,).
    """
    purchases = np.diff(wanted.indptr)
    is_buyer = purchases > 0
    steps: list[Step] = []
    reference = np.zeros(0)
    for value in values:
        shown = lists(value)
        ndcg = evaluate(hits(shown, wanted)[is_buyer], purchases[is_buyer]).ndcg
        reference = reference if steps else ndcg
        spread = Spread.of(counts(shown, len(buyers)), buyers)
        steps.append(Step(value, interval(ndcg), interval(ndcg - reference), spread))
    return steps


def picture(steps: Sequence[Step], setting: str) -> str:
    """NDCG over the Gini coefficient as SVG, with the 95 % band of the change.

    Args:
        steps: of `cost_curve`.
        setting: its name; each point is labelled with its value.
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
