"""Are probabilities honest? What was said against what came true, and how far apart chance puts the two."""

import numpy as np

from perennial.foundation.arrays import FloatArray, IntArray

BINS = 10
_AT_ONCE = 4_000_000
"""Simulated labels held in memory at a time."""


def in_bins(
    labels: FloatArray, probabilities: FloatArray, bins: int = BINS
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean probability, share that came true and number of cases in bins of equal mass, lowest first."""
    order = np.argsort(probabilities, kind="stable")
    starts, sizes = _bounds(len(order), bins)
    said = np.add.reduceat(probabilities[order], starts) / sizes
    true = np.add.reduceat(labels[order], starts) / sizes
    return said, true, sizes


def error(labels: FloatArray, probabilities: FloatArray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of the two over bins of equal mass (Naeini et al. 2015)."""
    said, true, sizes = in_bins(labels, probabilities, bins)
    return float((np.abs(said - true) * sizes).sum() / sizes.sum())


def error_by_chance(probabilities: FloatArray, share: float = 0.95, draws: int = 1000) -> float:
    """The error that honest probabilities stay under in that share of worlds.

    In each drawn world every case comes true with just the probability that was said of it (the consistency
    resampling of Bröcker and Smith 2007).
    """
    said = np.sort(probabilities)
    starts, sizes = _bounds(len(said), BINS)
    means, random = np.add.reduceat(said, starts) / sizes, np.random.default_rng(0)
    rows = max(1, _AT_ONCE // len(said))
    errors = []
    for start in range(0, draws, rows):
        true = random.random((min(rows, draws - start), len(said)), dtype=np.float32) < said
        shares = np.add.reduceat(true, starts, axis=1, dtype=np.float64) / sizes
        errors.append((np.abs(shares - means) * sizes).sum(axis=1) / sizes.sum())
    return float(np.quantile(np.concatenate(errors), share))


def _bounds(cases: int, bins: int) -> tuple[IntArray, FloatArray]:
    """Where each bin of sorted cases begins, and how many it holds; fewer cases than bins make fewer bins."""
    ends = np.linspace(0, cases, min(bins, cases) + 1).round().astype(np.int64)
    return ends[:-1], np.diff(ends).astype(np.float64)
