"""Are probabilities honest? Predicted against actual shares, and how far apart chance alone puts them."""

import numpy as np

from perennial.foundation.arrays import FloatArray, IntArray

BINS = 10
_AT_ONCE = 4_000_000
"""Simulated labels in memory at a time."""


def in_bins(
    labels: FloatArray, probabilities: FloatArray, bins: int = BINS
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean probability, actual share and number of cases in bins of equally many cases, lowest first.

    `sklearn.calibration.calibration_curve` cuts at quantiles, so that ties make bins of other sizes.
    """
    order = np.argsort(probabilities, kind="stable")
    starts, sizes = _bounds(len(order), bins)
    predicted = np.add.reduceat(probabilities[order], starts) / sizes
    actual = np.add.reduceat(labels[order], starts) / sizes
    return predicted, actual, sizes


def error(labels: FloatArray, probabilities: FloatArray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of the two shares over such bins (Naeini et al. 2015)."""
    predicted, actual, sizes = in_bins(labels, probabilities, bins)
    return float((np.abs(predicted - actual) * sizes).sum() / sizes.sum())


def error_by_chance(probabilities: FloatArray, share: float = 0.95, draws: int = 1000) -> float:
    """The calibration error that honest probabilities stay under, in that share of simulations.

    In each simulation every case comes true with exactly its predicted probability (the consistency
    resampling of Bröcker and Smith 2007).
    """
    predicted = np.sort(probabilities)
    starts, sizes = _bounds(len(predicted), BINS)
    means, random = np.add.reduceat(predicted, starts) / sizes, np.random.default_rng(0)
    rows = max(1, _AT_ONCE // len(predicted))
    errors = []
    for start in range(0, draws, rows):
        actual = random.random((min(rows, draws - start), len(predicted)), dtype=np.float32) < predicted
        shares = np.add.reduceat(actual, starts, axis=1, dtype=np.float64) / sizes
        errors.append((np.abs(shares - means) * sizes).sum(axis=1) / sizes.sum())
    return float(np.quantile(np.concatenate(errors), share))


def _bounds(cases: int, bins: int) -> tuple[IntArray, FloatArray]:
    """Where each bin of sorted cases begins, and how many it holds; fewer cases than bins make fewer bins."""
    ends = np.linspace(0, cases, min(bins, cases) + 1).round().astype(np.int64)
    return ends[:-1], np.diff(ends).astype(np.float64)
