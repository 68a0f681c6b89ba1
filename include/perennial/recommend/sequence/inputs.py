"""What the sequence model reads: orders one after the other, and what was known at moments.

Everything is as of moments in the past: purchases before a moment are known, those after it are to be
predicted.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.recommend.data.history import PurchaseHistory

GAPS = np.array([1, 2, 3, 5, 8, 13, 21, 34, 55, 90, 180])
"""Edges, in days, of the spans of a gap or a silence; span 0 means: there is no order before."""
SPANS = len(GAPS) + 2

HALF_LIVES = (7.0, 30.0, 90.0)
FEATURES = ("times", "last", "first", "rate", "due", *(f"weight_{half_life:g}" for half_life in HALF_LIVES))
"""Logarithms for an item that the customer bought, at a moment: number of purchases; days since the last and
the first; purchases for each order; days since the last divided by the usual gap; decayed purchases."""

WINDOW_DAYS = 28
"""Purchases within so many days after a moment are to be predicted at it."""

_FEW = 1e-3
_LINES = ("items", "ages", "orders", "quantities", "paid", "listed")


@dataclass(frozen=True)
class SequenceInputs:
    """Orders of customers and, at moments that are the same for all, what each customer had bought.

    Args:
        new: whether the customer had not bought the item of each line before, shape (lines,).
        bags: where the lines of each order begin in the block, shape (orders,).
        at: customer and place of each order in the sequence, places from 1, shape (2, orders).
        ages: of the orders in days, shape (customers, places + 1); place 0 is the beginning, as old as the
            first order; after the last one −1.
        gaps: span of days since the order before, shape (customers, places + 1).
        places: of the last order before each moment, 0 for none, shape (customers, moments).
        silences: span of days between that order and the moment, shape (customers, moments).
    """

    new: BoolArray
    bags: IntArray
    at: IntArray
    ages: IntArray
    gaps: IntArray
    places: IntArray
    silences: IntArray

    @classmethod
    def of(cls, block: PurchaseHistory, moments: IntArray) -> Self:
        """Read a block of customers.

        Args:
            block: their histories.
            moments: ages in days, shape (moments,); lines of this age or older are known at the moment.
        """
        bags = np.flatnonzero(_changes(block.orders, block.customers))
        customer, age = block.customers[bags].astype(np.int64), block.ages[bags]
        counts = np.bincount(customer, minlength=len(block))
        place = np.arange(len(bags)) - (np.cumsum(counts) - counts)[customer] + 1
        ages = np.full((len(block), counts.max(initial=0) + 1), -1, np.int64)
        ages[customer, place] = age
        ages[counts > 0, 0] = ages[counts > 0, 1:2].ravel()
        gaps = np.zeros_like(ages)
        has_earlier = place > 1
        gaps[customer[has_earlier], place[has_earlier]] = _span(
            ages[customer, place - 1][has_earlier] - age[has_earlier]
        )
        places = (ages[:, 1:, None] >= moments).sum(axis=1)
        span = _span(np.take_along_axis(ages, places, axis=1) - moments)
        silences = np.where(places > 0, span, 0)
        is_new = np.zeros(len(block.items), bool)
        is_new[block.by_pair[block.pair_starts]] = True
        return cls(is_new, bags, np.stack([customer, place]), ages, gaps, places, silences)


def recent_orders(history: PurchaseHistory, orders: int) -> PurchaseHistory:
    """The history of the last orders of each customer, at most so many."""
    last = history.orders[history.starts[1:][history.customers] - 1]
    return with_lines(history, history.orders > last - orders)


def with_lines(history: PurchaseHistory, lines: BoolArray) -> PurchaseHistory:
    """A history of some of its lines."""
    starts = np.r_[0, np.cumsum(lines)][history.starts]
    return replace(history, starts=starts, **{name: getattr(history, name)[lines] for name in _LINES})


def pairs(
    block: PurchaseHistory, places: IntArray, moments: IntArray
) -> tuple[IntArray, Float32Array, IntArray]:
    """The purchases known at moments, and those to be predicted at them.

    Args:
        block: histories of customers.
        places: as `SequenceInputs` has them.
        moments: ages in days.

    Returns:
        Customer, moment and item of the known purchases, shape (3, n); their `FEATURES`, shape (n,
        len(FEATURES)); customer, moment and item of the purchases in the window after the moment, shape (3,
        m).
    """
    starts = block.pair_starts
    if not len(starts):
        return (
            np.zeros((3, 0), np.int64),
            np.zeros((0, len(FEATURES)), np.float32),
            np.zeros((3, 0), np.int64),
        )
    first = block.by_pair[starts]
    customers, items = block.customers[first], block.items[first]
    days = block.ages[block.by_pair][:, None] - moments
    before = days >= 0
    wanted = np.logical_or.reduceat((days < 0) & (days >= -WINDOW_DAYS), starts).nonzero()
    counts = np.add.reduceat(before, starts, dtype=np.float32)
    pair, moment = counts.nonzero()
    times = counts[pair, moment]
    newest = np.minimum.reduceat(np.where(before, days, np.iinfo(days.dtype).max), starts)[pair, moment]
    oldest = np.maximum.reduceat(np.where(before, days, -1), starts)[pair, moment]
    usual_gap = np.where(times > 1, (oldest - newest) / np.maximum(times - 1, 1), oldest + WINDOW_DAYS)
    orders = places[customers[pair], moment]
    features = [times, 1 + newest, 1 + oldest, times / orders, (newest + 1) / (usual_gap + 1)]
    for half_life in HALF_LIVES:
        decayed = np.where(before, np.exp2(-np.maximum(days, 0) / np.float32(half_life)), 0)
        features.append(np.add.reduceat(decayed, starts)[pair, moment] + _FEW)

    def triples(pair: IntArray, moment: IntArray) -> IntArray:
        return np.stack([customers[pair], moment, items[pair]]).astype(np.int64)

    return triples(pair, moment), np.log(np.stack(features, 1)).astype(np.float32), triples(*wanted)


def _changes(*values: NDArray[np.integer]) -> BoolArray:
    """Where any of the values differs from that of the line before."""
    return np.any([np.diff(column, prepend=-1) != 0 for column in values], axis=0)


def _span(days: NDArray[np.integer]) -> IntArray:
    return np.digitize(days, GAPS) + 1
