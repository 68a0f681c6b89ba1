"""Lists of different lengths, one behind the other in an array, as a table with a row for each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from perennial.recommend.shelf import Codes, Whole


@dataclass(frozen=True)
class Ragged:
    """Where the entries of lists lie.

    Args:
        rows: the list of each entry, ascending, shape (n,).
        count: how many lists.
    """

    rows: Whole | Codes
    count: int

    @cached_property
    def starts(self) -> Whole:
        """Where each list begins, and where the last ends, shape (count + 1,)."""
        return np.searchsorted(self.rows, np.arange(self.count + 1))

    @cached_property
    def width(self) -> int:
        """Length of the longest list, 1 at least."""
        return max(1, int(np.diff(self.starts).max(initial=0)))

    @cached_property
    def place(self) -> Whole:
        """Each entry's place in the table, row by row, shape (n,)."""
        behind = np.arange(self.count) * self.width - self.starts[:-1]
        return np.arange(len(self.rows)) + behind[self.rows]

    def table(self, values: NDArray[np.floating], fill: float) -> NDArray[np.floating]:
        """Values of the entries, and `fill` behind them, shape (count, width)."""
        found = np.full(self.count * self.width, fill, values.dtype)
        found[self.place] = values
        return found.reshape(self.count, self.width)

    def best(self, values: NDArray[np.floating], k: int) -> Whole:
        """The entries with the k largest values of each list, equals in their order, shape (count, k); −1."""
        order = np.argsort(self.table(-values, np.inf), axis=1, kind="stable")[:, :k]
        found = np.full((self.count, k), -1, np.int64)
        lengths = np.diff(self.starts)[:, None]
        found[:, : order.shape[1]] = np.where(order < lengths, order + self.starts[:-1, None], -1)
        return found

    def ranks(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """How many others of the list have at least each value, shape (n,)."""
        table = self.table(-values, np.inf)
        order = np.argsort(table, axis=1)
        ordered = np.take_along_axis(table, order, axis=1)
        last = np.full(table.shape, self.width - 1, np.int32)
        last[:, :-1] = np.where(ordered[:, 1:] > ordered[:, :-1], np.arange(self.width - 1), self.width - 1)
        equal = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        found = np.empty(table.shape, np.float32)
        np.put_along_axis(found, order, equal, axis=1)
        return found.ravel()[self.place]
