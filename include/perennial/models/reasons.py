"""Reasons for a probability: sentences about the feature groups that changed it most."""

from collections.abc import Callable

import numpy as np

from perennial.foundation.arrays import FloatArray
from perennial.models.feature_groups import FEATURE_GROUPS, FeatureGroup
from perennial.models.features import NAMES

NO_ORDER = "has not ordered yet"
_REASONS = 3

Values = dict[str, float]


def reasons_of(matrix: FloatArray, contributions: FloatArray) -> list[list[str]]:
    """Sentences for each customer's three strongest contributions, strongest first, with their direction.

    Args:
        matrix: the features, shape (n, len(features.NAMES)).
        contributions: of each feature group to the log odds, shape (n, len(FEATURE_GROUPS)); a positive
            one raises the probability.
    """
    return [
        [
            _sentence(group, dict(zip(NAMES, values, strict=True)), contribution)
            for group, contribution in groups
        ]
        for values, groups in zip(matrix, strongest(contributions), strict=True)
    ]


def strongest(contributions: FloatArray) -> list[list[tuple[FeatureGroup, float]]]:
    """Each customer's three feature groups with the greatest contributions, and the contributions."""
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :_REASONS]
    return [
        [(FEATURE_GROUPS[place], float(row[place])) for place in places]
        for row, places in zip(contributions, order, strict=True)
    ]


def _sentence(group: FeatureGroup, values: Values, contribution: float) -> str:
    return f"{_WORDS[group](values)} ({'raises' if contribution >= 0 else 'lowers'} it)"


def _count(value: float, unit: str) -> str:
    number = round(value)
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _recency(values: Values) -> str:
    days = values["recency_days"]
    return "ordered today" if round(days) == 0 else f"ordered {_count(days, 'day')} ago"


def _frequency(values: Values) -> str:
    if not values["orders_91"]:
        return f"no order in the last 91 days, {_count(values['orders'], 'order')} before"
    lately = f"{values['orders_28']:.0f} in the last 28"
    return f"{_count(values['orders_91'], 'order')} in the last 91 days, {lately}"


def _gaps(values: Values) -> str:
    mean, lately = values["gap_mean_days"], values["recent_gap_days"]
    if np.isnan(mean):
        return "ordered only once"
    return f"orders every {mean:.1f} days on average, lately every {lately:.1f}"


def _money(values: Values) -> str:
    return f"spent {values['spend_91']:.2f} in the last 91 days, {values['average_order_value']:.2f} an order"


def _basket(values: Values) -> str:
    return f"buys {values['average_order_quantity']:.1f} pieces an order"


def _discounts(values: Values) -> str:
    if np.isnan(values["discount_share"]):
        return "nothing known of discounts"
    return f"{values['discount_share']:.0%} off what was bought, {values['coupon_share']:.0%} by coupons"


def _tenure(values: Values) -> str:
    return f"customer for {_count(values['tenure_days'], 'day')}"


_WORDS: dict[FeatureGroup, Callable[[Values], str]] = {
    FeatureGroup.RECENCY: _recency,
    FeatureGroup.FREQUENCY: _frequency,
    FeatureGroup.GAPS: _gaps,
    FeatureGroup.MONEY: _money,
    FeatureGroup.BASKET: _basket,
    FeatureGroup.DISCOUNTS: _discounts,
    FeatureGroup.TENURE: _tenure,
}
