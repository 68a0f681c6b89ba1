"""BG/NBD: how often and how long customers buy, from three numbers each (Fader, Hardie and Lee 2005).

While alive a customer orders at a rate of their own, gamma distributed (r, alpha), and after each order drops
out with a probability of their own, beta distributed (a, b). The textbook model, fitted for comparison.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from perennial.foundation.arrays import FloatArray
from perennial.models.features import NAMES


@dataclass(frozen=True)
class Histories:
    """What the model knows of each customer, shapes (n,), times in days.

    Args:
        repeats: orders after the first.
        last: from the first to the last order.
        age: from the first order to now.
    """

    repeats: FloatArray
    last: FloatArray
    age: FloatArray

    @classmethod
    def of(cls, matrix: FloatArray) -> "Histories":
        """Of a feature matrix; of customers with at least one order."""
        orders, gap, recency = (
            matrix[:, NAMES.index(name)] for name in ("orders", "gap_mean_days", "recency_days")
        )
        repeats = orders - 1
        last = np.where(repeats > 0, np.nan_to_num(gap) * repeats, 0.0)
        return cls(repeats, last, last + recency)


@dataclass(frozen=True)
class BgNbd:
    """The fitted parameters and their log likelihood."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    def alive(self, given: Histories) -> FloatArray:
        """P(has not dropped out), shape (n,)."""
        x, r, alpha = given.repeats, self.r, self.alpha
        log_odds = np.log(self.a) - np.log(np.maximum(self.b + x - 1, 1e-12))
        log_odds = log_odds + (r + x) * (np.log(alpha + given.age) - np.log(alpha + given.last))
        return np.where(x > 0, 1 / (1 + np.exp(np.minimum(log_odds, 700))), 1.0)

    def probabilities(self, given: Histories, days: float) -> FloatArray:
        """P(an order within so many days), shape (n,)."""
        waiting = (self.alpha + given.age) / (self.alpha + given.age + days)
        return self.alive(given) * (1 - waiting ** (self.r + given.repeats))


def fit(given: Histories) -> BgNbd:
    """Maximum likelihood, from several starts: from a bad one the search may end beside the top."""
    scale = max(float(given.age.max()), 1.0) / 10
    scaled = Histories(given.repeats, given.last / scale, given.age / scale)

    def loss(logs: FloatArray) -> float:
        negative = -_log_likelihood(np.exp(np.clip(logs, -20, 20)), scaled)
        return negative if np.isfinite(negative) else 1e300

    starts = [np.log(start) for start in ((1, 1, 1, 1), (0.3, 0.5, 0.5, 3), (2, 1, 0.1, 5))]
    best = min((minimize(loss, start, method="L-BFGS-B") for start in starts), key=lambda result: result.fun)
    r, alpha, a, b = np.exp(best.x)
    # Times were divided by the scale: the density of each repeat order was multiplied by it.
    total = -best.fun - float(given.repeats.sum()) * np.log(scale)
    return BgNbd(float(r), float(alpha * scale), float(a), float(b), total)


def _log_likelihood(parameters: FloatArray, given: Histories) -> float:
    r, alpha, a, b = parameters
    x, last, age = given.repeats, given.last, given.age
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stay = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    alive = -(r + x) * np.log(alpha + age)
    gone = np.log(a) - np.log(np.maximum(b + x - 1, 1e-12)) - (r + x) * np.log(alpha + last)
    return float((rate + stay + np.where(x > 0, np.logaddexp(alive, gone), alive)).sum())
