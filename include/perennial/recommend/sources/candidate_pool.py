"""Which items may be recommended at all, and which of them to customers who never bought them: the pool."""

import numpy as np

from perennial.foundation.arrays import BoolArray, IntArray
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.item_features import ItemFeatures


def still_sold(offered: BoolArray, history: PurchaseHistory, within_days: int) -> BoolArray:
    """The offered items that somebody bought in the last days, shape (items,).

    Args:
        offered: may the item be recommended, shape (items,).
        history: of all customers.
        within_days: how many days.
    """
    sold_lately = np.zeros(len(offered), bool)
    sold_lately[history.items[history.ages < within_days]] = True
    return offered & sold_lately


def best_sellers(offered: BoolArray, item_features: ItemFeatures, count: int) -> IntArray:
    """Rows of the offered items with most buyers in the last 28 days, ascending; no more than `count`."""
    buyers = np.where(offered, item_features.buyers_lately, 0)
    most_popular = np.argsort(-buyers, kind="stable")[:count]
    return np.sort(most_popular[buyers[most_popular] > 0])
