"""Lists of different lengths, one after the other in an array, as a table with a row for each list."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perennial.foundation.arrays import Float32Array, Int32Array, IntArray, RealArray


@dataclass(frozen=True)
class RaggedLists:
    """The entries of lists.

    Args:
        rows: the list of each entry, ascending, shape (n,).
        count: how many lists.
    """

    rows: IntArray | Int32Array
    count: int

    @cached_property
    def starts(self) -> IntArray:
        """Where each list begins, and where the last ends, shape (count + 1,)."""
        return np.searchsorted(self.rows, np.arange(self.count + 1))

    @cached_property
    def width(self) -> int:
        """Length of the longest list, 1 at least."""
        return max(1, int(np.diff(self.starts).max(initial=0)))

    @cached_property
    def place(self) -> IntArray:
        """Each entry's place in the table, row by row, shape (n,)."""
        behind = np.arange(self.count) * self.width - self.starts[:-1]
        return np.arange(len(self.rows)) + behind[self.rows]

    def table(self, values: RealArray, fill: float) -> RealArray:
        """Values of the entries, and `fill` behind them, shape (count, width)."""
        table = np.full(self.count * self.width, fill, values.dtype)
        table[self.place] = values
        return table.reshape(self.count, self.width)

    def best(self, values: RealArray, k: int) -> IntArray:
        """Entries with the k largest values of each list, ties in their order; else −1. Shape (count, k)."""
        order = self._falling(values)[1][:, :k]
        best = np.full((self.count, k), -1, np.int64)
        lengths = np.diff(self.starts)[:, None]
        best[:, : order.shape[1]] = np.where(order < lengths, order + self.starts[:-1, None], -1)
        return best

    def ranks(self, values: RealArray) -> Float32Array:
        """How many others of the list have at least each value, shape (n,)."""
        ordered, order = self._falling(values)
        last = np.full(order.shape, self.width - 1, np.int32)
        last[:, :-1] = np.where(ordered[:, 1:] > ordered[:, :-1], np.arange(self.width - 1), self.width - 1)
        equal = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        ranks = np.empty(order.size, np.float32)
        ranks[order + np.arange(self.count)[:, None] * self.width] = equal
        return ranks[self.place]

    def _falling(self, values: RealArray) -> tuple[IntArray, IntArray]:
        """Each list from its largest value on: keys that grow as values fall, and the columns.

        Values are compared in single precision. The bits of a float, read as an integer (inverted for
        negative ones), are in the order of the floats; the column is appended to them, so that no two
        numbers are equal. A stable sort would take five times as long.
        """
        bits = self.table(np.float32(0) - values.astype(np.float32), np.inf).view(np.int32)
        rising = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
        keys = np.sort(rising << 32 | np.arange(self.width), axis=1)
        return keys >> 32, keys & 0xFFFFFFFF
