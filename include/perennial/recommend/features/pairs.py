"""Each item that a customer bought, with when and how often: what repeat purchases are foreseen from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perennial.recommend.data.catalogue import Codes, Whole
from perennial.recommend.data.history import History, decayed

NEVER = 999
"""Days, where something has not happened."""
HALF_LIFE_DAYS = 90.0
"""Of purchases, where how much of them is asked."""


@dataclass(frozen=True)
class Pairs:
    """Customers and the different items each bought, by customer, then item.

    Args:
        history: what they are pairs of.
        lines: the lines of the history by pair, the oldest first, shape (lines,).
        starts: where each pair's lines begin in `lines`, shape (pairs,).
    """

    history: History
    lines: Whole
    starts: Whole

    @classmethod
    def of(cls, history: History) -> Self:
        """The pairs of a history."""
        return cls(history, history.by_pair, history.pair_starts)

    @cached_property
    def rows(self) -> Codes:
        """The customer's row."""
        return self.history.customers[self.lines[self.starts]]

    @property
    def items(self) -> Codes:
        """The item's row on the shelf."""
        return self.history.pair_items

    @cached_property
    def keys(self) -> Whole:
        """Both in one number, ascending."""
        return self.rows.astype(np.int64) * self.history.width + self.items

    @cached_property
    def times(self) -> Whole:
        """In how many orders."""
        return np.diff(self.starts, append=len(self.lines))

    @cached_property
    def last(self) -> Codes:
        """Days since the newest purchase."""
        return self.history.ages[self._newest]

    @cached_property
    def first(self) -> Codes:
        """Days since the oldest purchase."""
        return self.history.ages[self.lines[self.starts]]

    @cached_property
    def one_before(self) -> Codes:
        """Days since the newest purchase but one, `NEVER` where there was only one."""
        before = self.history.ages[self.lines[np.maximum(self._ends - 2, 0)]]
        return np.where(self.times > 1, before, NEVER)

    @cached_property
    def orders_since_last(self) -> Codes:
        """Orders of the customer after the newest with the item."""
        return self._newest_order[self.rows] - self.history.orders[self._newest]

    @cached_property
    def orders_since_first(self) -> Codes:
        """Orders of the customer since the oldest with the item, that one included."""
        return self._newest_order[self.rows] - self.history.orders[self.lines[self.starts]] + 1

    def total(self, of_lines: NDArray[np.floating] | NDArray[np.bool_]) -> np.ndarray:
        """The sum over each pair's lines."""
        return np.bincount(self.history.pair_of_line, of_lines, len(self.starts))

    def weight(self, half_life_days: float) -> np.ndarray:
        """Purchases, each counting half after so many days."""
        return self.total(decayed(self.history.ages, half_life_days))

    def first_since(self, days: int) -> sparse.csr_array:
        """1 where the oldest purchase lies within the last days, shape (customers, items), float32."""
        new = self.first < days
        at, shape = (self.rows[new], self.items[new]), (len(self.history), self.history.width)
        return sparse.csr_array((np.ones(int(new.sum()), np.float32), at), shape=shape)

    @cached_property
    def _ends(self) -> Whole:
        return np.append(self.starts, len(self.lines))[1:]

    @cached_property
    def _newest(self) -> Whole:
        return self.lines[self._ends - 1]

    @cached_property
    def _newest_order(self) -> Codes:
        """The number of each customer's newest order; of no meaning for who has none."""
        held = np.r_[self.history.orders, 0]
        return held[self.history.starts[1:] - 1]
