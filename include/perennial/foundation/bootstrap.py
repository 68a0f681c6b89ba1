"""The bootstrap: 95 % percentile intervals of means over cases (Efron and Tibshirani 1993, chapter 13).

Draws are the same on every run. `scipy.stats.bootstrap` makes the same draws, but its percentiles differ in
the last digit, and it takes up to ten times as long.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perennial.foundation.arrays import FloatArray, IntArray

_PERCENTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A mean over cases with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def interval(values: FloatArray, draws: int = 1000) -> Interval:
    """The mean of the values with its interval; of differences between two models it compares them paired.

    Args:
        values: one for each case, shape (n,).
        draws: how many resamples.
    """
    return Interval(float(values.mean()), *mean_bounds(values, draws, np.random.default_rng(0)))


def mean_bounds(values: FloatArray, draws: int, random: np.random.Generator) -> tuple[float, float]:
    """Low and high end of the interval of the mean of the values, shape (n,)."""
    low, high = bounds([values[rows].mean() for rows in resamples(len(values), draws, random)])
    return float(low), float(high)


def resamples(cases: int, draws: int, random: np.random.Generator | None = None) -> Iterator[IntArray]:
    """For each draw, which cases are in it: as many as there are, with replacement, shape (cases,)."""
    random = random or np.random.default_rng(0)
    for _ in range(draws):
        yield random.integers(0, cases, cases)


def resample_counts(cases: int, draws: int) -> FloatArray:
    """How often each case is in each draw of `resamples`, shape (draws, cases)."""
    counts = [np.bincount(rows, minlength=cases) for rows in resamples(cases, draws)]
    return np.stack(counts).astype(np.float64)


def bounds(estimates: FloatArray | Sequence[float], axis: int | None = None) -> Any:
    """Low and high end of the interval, by the estimates of all draws; arrays if there is an axis."""
    return np.quantile(estimates, _PERCENTILES, axis=axis)
