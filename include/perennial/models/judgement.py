"""How good are probabilities? Each measure once, in plain arrays, with an interval that says how sure."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_TINY = 1e-7


def log_losses(labels: Numbers, probabilities: Numbers) -> Numbers:
    """−ln of the probability given to what happened, one for each case, in nats."""
    given = np.where(labels > 0, probabilities, 1 - probabilities)
    return -np.log(np.clip(given, _TINY, 1.0))


def area_under_curve(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> Numbers:
    """Probability that a case that came true outranks one that did not; ties count half.

    Args:
        labels: 0 or 1, shape (n,).
        scores: higher means likelier, shape (n,).
        weights: how often each case counts, shape (draws, n); once by default.

    Returns:
        One area for each row of weights (Mann and Whitney, 1947).
    """
    counts = np.ones((1, len(labels))) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positive = np.add.reduceat(counts[:, order] * labels[order], starts, axis=1)
    negative = np.add.reduceat(counts[:, order] * (1 - labels[order]), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def calibration(labels: Numbers, probabilities: Numbers, bins: int = 10) -> tuple[Numbers, Numbers, Numbers]:
    """Mean probability, share that came true and number of cases in bins of equal mass, lowest first."""
    parts = [part for part in np.array_split(np.argsort(probabilities, kind="stable"), bins) if len(part)]
    said = np.array([probabilities[part].mean() for part in parts])
    true = np.array([labels[part].mean() for part in parts])
    return said, true, np.array([float(len(part)) for part in parts])


def calibration_error(labels: Numbers, probabilities: Numbers, bins: int = 10) -> float:
    """Mean distance between what was said and what came true over bins of equal mass (ECE)."""
    said, true, sizes = calibration(labels, probabilities, bins)
    return float((np.abs(said - true) * sizes).sum() / sizes.sum())


def gain(labels: Numbers, probabilities: Numbers) -> Numbers:
    """Share of all that came true among the first k cases by probability, for k = 0 … n."""
    found = np.cumsum(labels[np.argsort(-probabilities, kind="stable")])
    return np.r_[0.0, found / max(found[-1], 1.0)]


def figures(labels: Numbers, probabilities: Numbers, draws: int = 500) -> dict[str, float]:
    """All measures with 95 % bootstrap intervals over the cases (`<measure>_low`, `<measure>_high`)."""
    n = len(labels)
    picks = np.random.default_rng(0).integers(0, n, (draws, n))
    losses, squares = log_losses(labels, probabilities), (probabilities - labels) ** 2
    counts = np.stack([np.bincount(pick, minlength=n) for pick in picks]).astype(float)
    resampled: dict[str, Callable[[], Numbers]] = {
        "auc": lambda: area_under_curve(labels, probabilities, counts),
        "log_loss": lambda: counts @ losses / n,
        "brier": lambda: counts @ squares / n,
        "ece": lambda: np.array([calibration_error(labels[pick], probabilities[pick]) for pick in picks]),
    }
    found = {
        "auc": float(area_under_curve(labels, probabilities)[0]),
        "log_loss": float(losses.mean()),
        "brier": float(squares.mean()),
        "ece": calibration_error(labels, probabilities),
    }
    for name, draw in resampled.items():
        low, high = np.nanquantile(draw(), [0.025, 0.975])
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found
