"""Each item that a customer bought, with when and how often: what repeat purchases are foreseen from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import BoolArray, Float32Array, Int32Array, IntArray, RealArray
from perennial.recommend.data.history import PurchaseHistory, decay

NEVER = 999
"""Days, where something has not happened."""
HALF_LIFE_DAYS = 90.0
"""The weight of a purchase halves after so many days, unless a setting says otherwise."""


@dataclass(frozen=True)
class PurchasedPairs:
    """Customers and the different items each bought, by customer, then item.

    Args:
        history: what they are pairs of.
        lines: the lines of the history by pair, the oldest first, shape (lines,).
        starts: where each pair's lines begin in `lines`, shape (pairs,).
    """

    history: PurchaseHistory
    lines: IntArray
    starts: IntArray

    @classmethod
    def of(cls, history: PurchaseHistory) -> Self:
        """The pairs of a history."""
        return cls(history, history.by_pair, history.pair_starts)

    @cached_property
    def rows(self) -> Int32Array:
        """The customer's row."""
        return self.history.customers[self.lines[self.starts]]

    @property
    def items(self) -> Int32Array:
        """The item's row in the catalogue."""
        return self.history.pair_items

    @cached_property
    def keys(self) -> IntArray:
        """Both in one number, ascending."""
        return self.rows.astype(np.int64) * self.history.width + self.items

    @cached_property
    def times(self) -> IntArray:
        """In how many orders."""
        return np.diff(self.starts, append=len(self.lines))

    @cached_property
    def last(self) -> Int32Array:
        """Days since the newest purchase."""
        return self.history.ages[self._newest]

    @cached_property
    def first(self) -> Int32Array:
        """Days since the oldest purchase."""
        return self.history.ages[self.lines[self.starts]]

    @cached_property
    def one_before(self) -> Int32Array:
        """Days since the newest purchase but one, `NEVER` where there was only one."""
        before = self.history.ages[self.lines[np.maximum(self._ends - 2, 0)]]
        return np.where(self.times > 1, before, NEVER)

    @cached_property
    def orders_since_last(self) -> Int32Array:
        """Orders of the customer after the newest with the item."""
        return self._newest_order[self.rows] - self.history.orders[self._newest]

    @cached_property
    def orders_since_first(self) -> Int32Array:
        """Orders of the customer since the oldest with the item, that one included."""
        return self._newest_order[self.rows] - self.history.orders[self.lines[self.starts]] + 1

    def total(self, of_lines: RealArray | BoolArray) -> np.ndarray:
        """The sum over each pair's lines."""
        return np.bincount(self.history.pair_of_line, of_lines, len(self.starts))

    def weight(self, half_life_days: float) -> np.ndarray:
        """Purchases, each counting half after so many days."""
        return self.total(decay(self.history.ages, half_life_days))

    def first_since(self, days: int) -> sparse.csr_array:
        """1 where the oldest purchase lies within the last days, shape (customers, items), float32."""
        new = self.first < days
        at, shape = (self.rows[new], self.items[new]), (len(self.history), self.history.width)
        return sparse.csr_array((np.ones(int(new.sum()), np.float32), at), shape=shape)

    @cached_property
    def _ends(self) -> IntArray:
        return np.append(self.starts, len(self.lines))[1:]

    @cached_property
    def _newest(self) -> IntArray:
        return self.lines[self._ends - 1]

    @cached_property
    def _newest_order(self) -> Int32Array:
        """The number of each customer's newest order; of no meaning for who has none."""
        orders = np.r_[self.history.orders, 0]
        return orders[self.history.starts[1:] - 1]


@dataclass(frozen=True)
class Candidates:
    """Pairs of a customer and an item, by customer.

    Args:
        rows: the customer's row in the block, ascending, shape (n,).
        items: the item's row in the catalogue.
        scores: what each source says, shape (n, sources); not a number where it says nothing.
        pair: position among the block's `PurchasedPairs`, −1 where never bought.
    """

    rows: IntArray
    items: IntArray
    scores: Float32Array
    pair: IntArray

    def __len__(self) -> int:
        """How many."""
        return len(self.rows)

    def where(self, kept: np.ndarray) -> "Candidates":
        """Some of them."""
        at = np.flatnonzero(kept)
        return Candidates(self.rows[at], self.items[at], self.scores.T[:, at].T, self.pair[at])
