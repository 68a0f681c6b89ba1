"""Why this probability? The features that moved it most, as a person would say them.

The pushes are exact tree path attributions (Lundberg, Erion and Lee, 2018), in log odds.
"""

from collections.abc import Callable, Sequence

import numpy as np

from perennial.models.features import Numbers

NO_ORDER = "has not ordered yet"
_SAID = 3


def in_words(names: Sequence[str], matrix: Numbers, pushes: Numbers) -> list[list[str]]:
    """The three strongest pushes of each row, strongest first, each with its direction.

    Args:
        names: of the columns.
        matrix: feature values, shape (n, k).
        pushes: attribution of each value, shape (n, k); above 0 raises the probability.
    """
    strongest = np.argsort(-np.abs(pushes), axis=1, kind="stable")[:, :_SAID]
    return [
        [_sentence(names[column], values[column], push[column]) for column in columns]
        for values, push, columns in zip(matrix, pushes, strongest, strict=True)
    ]


def _sentence(name: str, value: float, push: float) -> str:
    said = (
        _WORDS[name](value)
        if not np.isnan(value)
        else _UNKNOWN.get(name, f"{name.replace('_', ' ')} not known")
    )
    return f"{said} ({'raises' if push >= 0 else 'lowers'} it)"


def _count(value: float, one: str, many: str = "") -> str:
    number = round(value)
    return f"{number} {one if number == 1 else many or one + 's'}"


def _orders_within(days: int) -> Callable[[float], str]:
    return lambda value: (
        f"{_count(value, 'order')} in the last {days} days" if value else f"no order in {days} days"
    )


def _days_ago(value: float) -> str:
    return "ordered today" if round(value) == 0 else f"ordered {_count(value, 'day')} ago"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


_WORDS: dict[str, Callable[[float], str]] = {
    "recency_days": _days_ago,
    "tenure_days": lambda value: f"customer for {_count(value, 'day')}",
    "orders": lambda value: f"{_count(value, 'order')} so far",
    "orders_7": _orders_within(7),
    "orders_14": _orders_within(14),
    "orders_28": _orders_within(28),
    "orders_91": _orders_within(91),
    "spend_28": lambda value: f"spent {value:.2f} in the last 28 days",
    "spend_91": lambda value: f"spent {value:.2f} in the last 91 days",
    "average_order_value": lambda value: f"spends {value:.2f} an order",
    "average_order_quantity": lambda value: f"buys {value:.1f} pieces an order",
    "gap_mean_days": lambda value: f"orders every {value:.1f} days on average",
    "gap_deviation_days": lambda value: f"time between orders varies by {value:.1f} days",
    "discount_share": lambda value: f"{_share(value)} of what was bought was taken off as discount",
    "coupon_share": lambda value: f"{_share(value)} of what was bought was taken off by coupons",
    "redemptions": lambda value: f"{_count(value, 'coupon')} redeemed",
    "last_gap_days": lambda value: f"{_count(value, 'day')} between the last two orders",
    "recent_gap_days": lambda value: f"{value:.1f} days between the last orders",
    "recent_gap_deviation_days": lambda value: f"time between the last orders varies by {value:.1f} days",
    "recency_in_gaps": lambda value: f"away for {value:.1f} times the usual time between orders",
    "rate_change": lambda value: f"orders {value:.1f} times as often as in the last 91 days",
    "recent_value": lambda value: f"spent {value:.2f} an order lately",
    "weekend_share": lambda value: f"{_share(value)} of orders at the weekend",
}
_UNKNOWN = {
    "gap_mean_days": "ordered only once",
    "gap_deviation_days": "too few orders to see a rhythm",
    "last_gap_days": "ordered only once",
    "recent_gap_days": "ordered only once",
    "recent_gap_deviation_days": "too few orders to see a rhythm",
    "recency_days": NO_ORDER,
}
