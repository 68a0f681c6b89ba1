"""Why this probability? The kinds of evidence that moved it most, as a person would say them."""

from collections.abc import Callable

import numpy as np

from perennial.foundation.arrays import FloatArray
from perennial.models.feature_groups import FEATURE_GROUPS, FeatureGroup
from perennial.models.features import NAMES

NO_ORDER = "has not ordered yet"
_SAID = 3

Values = dict[str, float]


def reasons_of(matrix: FloatArray, pushes: FloatArray) -> list[list[str]]:
    """The three strongest pushes of each customer, strongest first, each with its direction.

    Args:
        matrix: the features, shape (n, len(features.NAMES)).
        pushes: what each kind of evidence adds, shape (n, len(KINDS)); above 0 raises the probability.
    """
    return [
        [_sentence(kind, dict(zip(NAMES, values, strict=True)), push) for kind, push in kinds]
        for values, kinds in zip(matrix, strongest(pushes), strict=True)
    ]


def strongest(pushes: FloatArray) -> list[list[tuple[FeatureGroup, float]]]:
    """The three kinds of evidence that move each customer's probability most, and how much."""
    order = np.argsort(-np.abs(pushes), axis=1, kind="stable")[:, :_SAID]
    return [
        [(FEATURE_GROUPS[place], float(row[place])) for place in places]
        for row, places in zip(pushes, order, strict=True)
    ]


def _sentence(kind: FeatureGroup, values: Values, push: float) -> str:
    return f"{_WORDS[kind](values)} ({'raises' if push >= 0 else 'lowers'} it)"


def _count(value: float, one: str) -> str:
    number = round(value)
    return f"{number} {one}{'' if number == 1 else 's'}"


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
