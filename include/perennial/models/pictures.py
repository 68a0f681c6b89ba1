"""Pictures of a model: calibration, gain, importance of feature groups and partial dependence."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from perennial.foundation.arrays import FloatArray
from perennial.foundation.modelling import calibration as calibration_error
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


def calibration(labels: FloatArray, predictions: dict[str, FloatArray]) -> Figure:
    """Predicted probabilities against the share that came back, in ten bins of equal mass, a line a set."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, probabilities in predictions.items():
        mean, true, _ = calibration_error.in_bins(labels, probabilities)
        axes.plot(mean, true, marker="o", label=name)
    axes.set(xlabel="predicted probability", ylabel="share that came back", title="Calibration")
    axes.legend(frameon=False)
    return figure


def gain(labels: FloatArray, predictions: dict[str, FloatArray]) -> Figure:
    """The share of the returning customers among the first customers by probability; a line for each set."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, probabilities in predictions.items():
        shares = metrics.gain(labels, probabilities)
        axes.plot([k / len(labels) for k in range(len(shares))], shares, label=name)
    axes.set(
        xlabel="share of customers, likeliest first", ylabel="share of those who came back", title="Gain"
    )
    axes.legend(frameon=False)
    return figure


def importance(contributions: FloatArray) -> Figure:
    """The mean absolute contribution of each feature group to the log odds.

    Args:
        contributions: shape (n, len(FEATURE_GROUPS)).
    """
    means = np.abs(contributions).mean(axis=0)
    order = np.argsort(means)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.barh([FEATURE_GROUPS[place].value for place in order], means[order])
    axes.set(xlabel="mean change of the log odds, up or down", title="What the probability rests on")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def partial_dependence(score: Callable[[FloatArray], FloatArray], rows: FloatArray) -> Figure:
    """Mean probability with one feature set to the same value for all customers (Friedman 2001).

    Args:
        score: returns probabilities (m,) for features of m customers, shape (m, len(NAMES)).
        rows: features of customers, shape (n, len(NAMES)); at most 500 of them are used.
    """
    sample = rows[:: max(1, len(rows) // _CUSTOMERS)]
    figure = Figure(figsize=(9, 5), layout="constrained")
    for axes, name in zip(figure.subplots(2, 3, sharey=True).flat, _SHOWN, strict=True):
        column = NAMES.index(name)
        known = rows[~np.isnan(rows[:, column]), column]
        values = np.unique(np.quantile(known, np.linspace(0.02, 0.98, _POINTS))) if len(known) else known
        means = []
        for value in values:
            changed = sample.copy()
            changed[:, column] = value
            means.append(score(changed).mean())
        axes.plot(values, means, marker="o", markersize=3)
        axes.set_xlabel(name.replace("_", " "))
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("mean probability of an order")
    return figure
