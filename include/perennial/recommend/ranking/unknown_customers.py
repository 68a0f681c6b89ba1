"""Probabilities for customers without purchases, about whom the ranker learned nothing."""

import numpy as np

from perennial.foundation.arrays import FloatArray
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates


def popularity(block: CustomerBlock, candidates: Candidates) -> FloatArray:
    """How many customers bought each candidate in the last 28 days."""
    return block.item_features.buyers_lately[candidates.items].astype(np.float64)


def with_unknown_customers(
    probabilities: FloatArray, block: CustomerBlock, candidates: Candidates, customers: int
) -> FloatArray:
    """The probabilities; customers without purchases get the item's share of buyers in the last 28 days.

    Args:
        probabilities: of the ranker, for each candidate; changed in place.
        block: the customers.
        candidates: of the customers.
        customers: how many customers there are, to make a share of the buyers.
    """
    is_unknown = (np.diff(block.history.starts) == 0)[candidates.rows]
    probabilities[is_unknown] = popularity(block, candidates)[is_unknown] / customers
    return probabilities
