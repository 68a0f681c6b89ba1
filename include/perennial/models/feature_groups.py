"""What a probability rests on: seven kinds of evidence, and how much each of them moved it.

Taking a kind of evidence away means to put the typical customer's in its place. What a kind adds is its
Shapley value over all 2⁷ ways to take kinds away (Shapley 1953; Štrumbelj and Kononenko 2014): exact, and the
same for trees, network and their blend. The values of all kinds add up to the difference from the typical
customer.
"""

from collections.abc import Callable
from enum import StrEnum
from math import factorial

import numpy as np
from numpy.typing import NDArray

from perennial.foundation.arrays import FloatArray
from perennial.models import features, order_hazard_network

NAMES: tuple[str, ...] = (*features.NAMES, *order_hazard_network.NAMES)
"""Everything the return model reads, in the order of the columns."""


class Kind(StrEnum):
    """A kind of evidence."""

    RECENCY = "recency"
    FREQUENCY = "frequency"
    GAPS = "gaps"
    MONEY = "money"
    BASKET = "basket"
    DISCOUNTS = "discounts"
    TENURE = "tenure"


KINDS = tuple(Kind)
_FEATURES = {
    Kind.RECENCY: ("recency_days", "recency_in_gaps", "recency_in_longest"),
    Kind.FREQUENCY: (
        *("orders", "orders_7", "orders_14", "orders_28", "orders_56", "orders_91"),
        *("active_windows", "rate_change", "log_orders"),
    ),
    Kind.GAPS: (
        *("gap_mean_days", "gap_deviation_days", "last_gap_days", "recent_gap_days"),
        *("recent_gap_deviation_days", "gap_median_days", "gap_longest_days", "log_span"),
    ),
    Kind.MONEY: (
        *("spend", "spend_7", "spend_14", "spend_28", "spend_56", "spend_91", "spend_a_window"),
        *("average_order_value", "recent_value", "recent_value_deviation"),
        *("window_spend_median", "window_spend_deviation"),
    ),
    Kind.BASKET: ("average_order_quantity",),
    Kind.DISCOUNTS: ("discount_share", "coupon_share", "redemptions"),
    Kind.TENURE: ("tenure_days",),
}
_SERIES = {"log_value": Kind.MONEY, "log_quantity": Kind.BASKET}


def _kind(name: str) -> Kind:
    """Of the network's inputs, those about money and pieces belong there, all others to the gaps."""
    for kind, names in _FEATURES.items():
        if name in names:
            return kind
    series = name.rpartition("_")[0]
    return _SERIES.get(series, Kind.GAPS)


COLUMNS: NDArray[np.intp] = np.array([KINDS.index(_kind(name)) for name in NAMES])
"""Of which kind each column is, as a place in `KINDS`."""

_AT_ONCE = 4096


def shapley(score: Callable[[FloatArray], FloatArray], read: FloatArray, typical: FloatArray) -> FloatArray:
    """What each kind of evidence adds to the score of each customer, shape (n, len(KINDS)).

    Args:
        score: from what is read of m customers, shape (m, len(NAMES)), to numbers of shape (m,).
        read: of the customers asked about, shape (n, len(NAMES)).
        typical: what is put in the place of evidence that is taken away, shape (len(NAMES),).
    """
    blocks = [read[start : start + _AT_ONCE] for start in range(0, len(read), _AT_ONCE)]
    return np.concatenate([np.zeros((0, len(KINDS))), *(_block(score, one, typical) for one in blocks)])


def without(read: FloatArray, kind: Kind, typical: FloatArray) -> FloatArray:
    """The customers with the typical customer's evidence of one kind."""
    return np.where(KINDS.index(kind) == COLUMNS, typical, read)


def _block(score: Callable[[FloatArray], FloatArray], read: FloatArray, typical: FloatArray) -> FloatArray:
    k = len(KINDS)
    held = np.array([[(number >> place) & 1 for place in range(k)] for number in range(1 << k)], bool)
    scores = np.stack([score(np.where(some[COLUMNS], read, typical)) for some in held])
    sizes = held.sum(axis=1)
    added = []
    for place in range(k):
        with_it = np.flatnonzero(held[:, place])
        without_it = with_it - (1 << place)
        weights = [factorial(s) * factorial(k - s - 1) / factorial(k) for s in sizes[without_it]]
        added.append(np.array(weights) @ (scores[with_it] - scores[without_it]))
    return np.column_stack(added)
