"""Pictures of a model, for people: is it honest, whom does it find first, and what does it go by?"""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from perennial.foundation.arrays import FloatArray
from perennial.foundation.modelling import calibration as honesty
from perennial.models import metrics
from perennial.models.feature_groups import FEATURE_GROUPS, NAMES

_SHOWN = (
    "recency_days",
    "orders_91",
    "gap_mean_days",
    "average_order_value",
    "discount_share",
    "tenure_days",
)
_POINTS = 15
_CUSTOMERS = 500


def calibration(labels: FloatArray, said: dict[str, FloatArray]) -> Figure:
    """What was said against what came true, in ten bins of equal mass; a line for each set."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, probabilities in said.items():
        mean, true, _ = honesty.in_bins(labels, probabilities)
        axes.plot(mean, true, marker="o", label=name)
    axes.set(xlabel="probability said", ylabel="share that came back", title="Calibration")
    axes.legend(frameon=False)
    return figure


def gain(labels: FloatArray, said: dict[str, FloatArray]) -> Figure:
    """Share of those who came back that is found among the first customers by probability."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, probabilities in said.items():
        found = metrics.gain(labels, probabilities)
        axes.plot([k / len(labels) for k in range(len(found))], found, label=name)
    axes.set(
        xlabel="share of customers, likeliest first", ylabel="share of those who came back", title="Gain"
    )
    axes.legend(frameon=False)
    return figure


def importance(pushes: FloatArray) -> Figure:
    """How far each kind of evidence moves the log odds of a customer, on average over customers."""
    means = np.abs(pushes).mean(axis=0)
    order = np.argsort(means)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.barh([FEATURE_GROUPS[place].value for place in order], means[order])
    axes.set(xlabel="mean change of the log odds, up or down", title="What the probability rests on")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def partial_dependence(score: Callable[[FloatArray], FloatArray], read: FloatArray) -> Figure:
    """Mean probability when one feature of all customers has a value and the rest stays (Friedman 2001).

    Args:
        score: from what is read of m customers, shape (m, len(NAMES)), to probabilities (m,).
        read: of some customers; at most 500 of them are asked.
    """
    asked = read[:: max(1, len(read) // _CUSTOMERS)]
    figure = Figure(figsize=(9, 5), layout="constrained")
    for axes, name in zip(figure.subplots(2, 3, sharey=True).flat, _SHOWN, strict=True):
        column = NAMES.index(name)
        known = read[~np.isnan(read[:, column]), column]
        values = np.unique(np.quantile(known, np.linspace(0.02, 0.98, _POINTS))) if len(known) else known
        means = []
        for value in values:
            changed = asked.copy()
            changed[:, column] = value
            means.append(score(changed).mean())
        axes.plot(values, means, marker="o", markersize=3)
        axes.set_xlabel(name.replace("_", " "))
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("mean probability of an order")
    return figure
