"""Estimates with 95 % intervals, differences between groups, and are the arms as large as drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from scipy.special import chdtrc, ndtri, stdtrit

CONFIDENCE = 0.95
_Z = float(ndtri(0.5 + CONFIDENCE / 2))
SUSPICIOUS = 0.001
"""A sample ratio less likely than this is called a mismatch."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval (None where there is too little), its method and the customers behind it."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int


@dataclass(frozen=True)
class Sums:
    """What one group adds up to: a row of `foundation.measures.totals`, in its words."""

    n: int
    of: float
    by: float
    w_of: float
    w_by: float
    ww_of_of: float
    ww_of_by: float
    ww_by_by: float


@dataclass(frozen=True)
class SampleRatio:
    """Did chance give the arms the sizes it should have? Pearson's chi-square over the arms."""

    p: float
    expected: dict[str, float]

    @property
    def fits(self) -> bool:
        """Whether the sizes are such as chance makes them."""
        return self.p >= SUSPICIOUS


def share(hits: float, n: int) -> Estimate:
    """A rate with its Wilson score interval (Wilson, 1927)."""
    method = "share, Wilson score interval"
    if not n:
        return Estimate(None, None, None, method, 0)
    rate, extra = hits / n, _Z**2 / n
    middle = (rate + extra / 2) / (1 + extra)
    reach = _Z / (1 + extra) * sqrt(rate * (1 - rate) / n + extra / n / 4)
    return Estimate(rate, max(0.0, middle - reach), min(1.0, middle + reach), method, n)


def ratio(sums: Sums, *, weighted: bool = False) -> Estimate:
    """A ratio of two sums over customers, such as a mean, by linearisation (Cochran, 1977, chapter 6).

    Args:
        sums: of one group.
        weighted: did customers of the group have different probabilities of being in it? Then each weighs
            1 ÷ propensity (Hájek's estimator).
    """
    method = "ratio of sums, linearised, t interval" + (", weighted by 1 ÷ propensity" if weighted else "")
    if not sums.w_by:
        return Estimate(None, None, None, method, sums.n)
    value = sums.w_of / sums.w_by
    error = _error(sums)
    if error is None:
        return Estimate(value, None, None, method, sums.n)
    reach = float(stdtrit(sums.n - 1, 0.5 + CONFIDENCE / 2)) * error
    return Estimate(value, value - reach, value + reach, method, sums.n)


def difference_of_shares(first: Estimate, second: Estimate) -> Estimate:
    """First − second with Newcombe's hybrid score interval (Newcombe, 1998, method 10)."""
    method = "difference of shares, Newcombe's hybrid score interval"
    n = first.n + second.n
    ends = (first.value, first.low, first.high, second.value, second.low, second.high)
    if None in ends:
        return Estimate(None, None, None, method, n)
    p1, l1, u1, p2, l2, u2 = (float(end) for end in ends if end is not None)
    low = p1 - p2 - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = p1 - p2 + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return Estimate(p1 - p2, low, high, method, n)


def difference_of_ratios(first: Sums, second: Sums, *, weighted: bool = False) -> Estimate:
    """First − second of two independent groups, with Welch's t interval (Welch, 1947)."""
    method = "difference of ratios, linearised, Welch's t interval"
    method += ", weighted by 1 ÷ propensity" if weighted else ""
    n = first.n + second.n
    one, other = ratio(first, weighted=weighted).value, ratio(second, weighted=weighted).value
    if one is None or other is None:
        return Estimate(None, None, None, method, n)
    errors = (_error(first), _error(second))
    if errors[0] is None or errors[1] is None:
        return Estimate(one - other, None, None, method, n)
    v1, v2 = errors[0] ** 2, errors[1] ** 2
    if v1 + v2 == 0:
        return Estimate(one - other, one - other, one - other, method, n)
    freedom = (v1 + v2) ** 2 / (v1**2 / (first.n - 1) + v2**2 / (second.n - 1))
    reach = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * sqrt(v1 + v2)
    return Estimate(one - other, one - other - reach, one - other + reach, method, n)


def sample_ratio(sizes: Mapping[str, int], propensities: Mapping[str, float]) -> SampleRatio:
    """Hold the arms' sizes against the probabilities they were drawn with.

    Args:
        sizes: customers by arm.
        propensities: the probability of each arm that has customers; what is missing to 1 belongs to an arm
            that nobody is in, and counts as such.
    """
    total = sum(sizes.values())
    expected = {arm: total * propensities[arm] for arm in sorted(propensities)}
    observed = {arm: float(sizes.get(arm, 0)) for arm in expected}
    missing = 1 - sum(propensities.values())
    if missing > 1e-9:
        expected["nobody"], observed["nobody"] = total * missing, 0.0
    square = sum((observed[arm] - mean) ** 2 / mean for arm, mean in expected.items())
    freedom = len(expected) - 1
    return SampleRatio(float(chdtrc(freedom, square)) if freedom else 1.0, expected)


def _error(sums: Sums) -> float | None:
    """Standard error of a ratio; None below two customers."""
    if sums.n < 2 or not sums.w_by:
        return None
    value = sums.w_of / sums.w_by
    spread = sums.ww_of_of - 2 * value * sums.ww_of_by + value**2 * sums.ww_by_by
    return sqrt(max(0.0, spread) * sums.n / (sums.n - 1)) / abs(sums.w_by)
