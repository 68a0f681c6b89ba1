"""One score out of several: the probability that a candidate is bought in the window, by a logistic blend.

Learned on a past window from what the sources said before it, so the score is a probability and sources are
weighed by what they were worth.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

SIGNALS = (
    "constant",
    "bought",
    "log_weight",
    "popularity_if_bought",
    "popularity_if_new",
    "likeness",
    "busyness",
)
_STEPS = 25
_CLOSE_ENOUGH = 1e-8


@dataclass(frozen=True)
class Blend:
    """A weight for each of `SIGNALS`."""

    weights: tuple[float, ...]

    def probability(self, signals: Numbers) -> Numbers:
        """P(bought within the window) for each row of signals."""
        return 1 / (1 + np.exp(-(signals @ np.array(self.weights))))


# What the blend has to beat, as blends that nobody learned: personal frequency filled up with what is
# popular, and what is popular alone. Far apart, so that every item bought before comes first, and small
# enough for a float to keep the order.
FREQUENCY = Blend((-20.0, 20.0, 1.0, 0.0, 1.0, 0.0, 0.0))
POPULARITY = Blend((-10.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0))


def signals(weight: Numbers, buyers: Numbers, likeness: Numbers, busyness: Numbers) -> Numbers:
    """The signals of each candidate, shape (n, len(SIGNALS)).

    Args:
        weight: the customer's decayed frequency of the item, 0 where never bought.
        buyers: how many customers bought the item lately.
        likeness: cosine of the customer's taste with the item's text, 0 where either is unknown.
        busyness: the customer's decayed frequency of anything.
    """
    bought = (weight > 0).astype(float)
    popular = np.log1p(buyers)
    log_weight = np.log(np.where(weight > 0, weight, 1.0))
    columns = [np.ones_like(bought), bought, log_weight, popular * bought, popular * (1 - bought)]
    return np.column_stack([*columns, likeness, np.log1p(busyness)])


def learn(rows: Numbers, labels: Numbers, ridge: float = 1.0) -> Blend:
    """Logistic regression by Newton's method, slightly shrunk (ridge on all but the constant)."""
    weights = np.zeros(rows.shape[1])
    penalty = np.diag([0.0, *[ridge] * (rows.shape[1] - 1)])
    for _ in range(_STEPS):
        said = 1 / (1 + np.exp(-(rows @ weights)))
        slope = rows.T @ (labels - said) - penalty @ weights
        curvature = (rows * (said * (1 - said))[:, None]).T @ rows + penalty
        # The small addition keeps a signal that never varies (no vectors yet) from making the system
        # singular.
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), slope)
        weights = weights + step
        if np.abs(step).max() < _CLOSE_ENOUGH:
            break
    return Blend(tuple(float(weight) for weight in weights))
