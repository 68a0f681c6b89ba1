"""Seven groups of features, and how much each of them moved a probability.

A group is taken away by putting the typical customer's values in its place. What a group adds is its
Shapley value over all 2⁷ subsets of groups (Shapley 1953; Štrumbelj and Kononenko 2014): exact, and the
same for trees, network and their blend. The values of all groups add up to the difference from the typical
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


class FeatureGroup(StrEnum):
    """A group of features."""

    RECENCY = "recency"
    FREQUENCY = "frequency"
    GAPS = "gaps"
    MONEY = "money"
    BASKET = "basket"
    DISCOUNTS = "discounts"
    TENURE = "tenure"


FEATURE_GROUPS = tuple(FeatureGroup)
_FEATURES = {
    FeatureGroup.RECENCY: ("recency_days", "recency_in_gaps", "recency_in_longest"),
    FeatureGroup.FREQUENCY: (
        *("orders", "orders_7", "orders_14", "orders_28", "orders_56", "orders_91"),
        *("active_windows", "rate_change", "log_orders"),
    ),
    FeatureGroup.GAPS: (
        *("gap_mean_days", "gap_deviation_days", "last_gap_days", "recent_gap_days"),
        *("recent_gap_deviation_days", "gap_median_days", "gap_longest_days", "log_span"),
    ),
    FeatureGroup.MONEY: (
        *("spend", "spend_7", "spend_14", "spend_28", "spend_56", "spend_91", "spend_a_window"),
        *("average_order_value", "recent_value", "recent_value_deviation"),
        *("window_spend_median", "window_spend_deviation"),
    ),
    FeatureGroup.BASKET: ("average_order_quantity",),
    FeatureGroup.DISCOUNTS: ("discount_share", "coupon_share", "redemptions"),
    FeatureGroup.TENURE: ("tenure_days",),
}
_SERIES = {"log_value": FeatureGroup.MONEY, "log_quantity": FeatureGroup.BASKET}


def _group_of(name: str) -> FeatureGroup:
    """The group of a feature; inputs of the network belong to money, basket or, all others, to gaps."""
    for kind, names in _FEATURES.items():
        if name in names:
            return kind
    series = name.rpartition("_")[0]
    return _SERIES.get(series, FeatureGroup.GAPS)


COLUMNS: NDArray[np.intp] = np.array([FEATURE_GROUPS.index(_group_of(name)) for name in NAMES])
"""The group of each column, as a place in `FEATURE_GROUPS`."""

_AT_ONCE = 4096


def shapley(score: Callable[[FloatArray], FloatArray], read: FloatArray, typical: FloatArray) -> FloatArray:
    """What each kind of evidence adds to the score of each customer, shape (n, len(KINDS)).

    Args:
        score: from the features of m customers, shape (m, len(NAMES)), to scores of shape (m,).
        read: features of the customers, shape (n, len(NAMES)).
        typical: features of the typical customer, shape (len(NAMES),).
    """
    blocks = [read[start : start + _AT_ONCE] for start in range(0, len(read), _AT_ONCE)]
    return np.concatenate(
        [np.zeros((0, len(FEATURE_GROUPS))), *(_block(score, block, typical) for block in blocks)]
    )


def without(read: FloatArray, kind: FeatureGroup, typical: FloatArray) -> FloatArray:
    """The features with those of one group replaced by the typical customer's."""
    return np.where(FEATURE_GROUPS.index(kind) == COLUMNS, typical, read)


def _block(score: Callable[[FloatArray], FloatArray], read: FloatArray, typical: FloatArray) -> FloatArray:
    k = len(FEATURE_GROUPS)
    subsets = np.array([[(number >> place) & 1 for place in range(k)] for number in range(1 << k)], bool)
    scores = np.stack([score(np.where(subset[COLUMNS], read, typical)) for subset in subsets])
    sizes = subsets.sum(axis=1)
    values = []
    for place in range(k):
        with_it = np.flatnonzero(subsets[:, place])
        without_it = with_it - (1 << place)
        weights = [factorial(s) * factorial(k - s - 1) / factorial(k) for s in sizes[without_it]]
        values.append(np.array(weights) @ (scores[with_it] - scores[without_it]))
    return np.column_stack(values)
