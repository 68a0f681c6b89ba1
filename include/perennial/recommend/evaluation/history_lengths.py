"""Customers by the length of their history: a short, a middling and a long third."""

import numpy as np

from perennial.foundation.arrays import IntArray

HISTORY_LENGTHS = ("short", "middling", "long")


def history_bounds(counts: IntArray) -> tuple[int, int]:
    """The smallest count of a middling history, and the smallest count of a long one.

    Args:
        counts: how long each customer's history is, shape (customers,). The caller chooses the unit: the
            comparison counts different items bought, the gate's examination counts order lines.
    """
    first, second = np.quantile(counts, [1 / 3, 2 / 3]) if len(counts) else (0, 0)
    return int(first) + 1, int(second) + 1


def history_thirds(counts: IntArray) -> IntArray:
    """The place in `HISTORY_LENGTHS` of each customer's history, 0 to 2, shape (customers,).

    Args:
        counts: as of `history_bounds`.
    """
    return np.searchsorted(history_bounds(counts), counts, side="right")
