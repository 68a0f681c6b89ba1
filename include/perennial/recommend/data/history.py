"""What customers bought, as known at the end of a day: arrays over the items of a catalogue."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from scipy import sparse

from perennial.foundation.arrays import Float32Array, FloatArray, Int32Array, IntArray, StringArray
from perennial.recommend.arrays.lookup import find, sample_rows, sort_keys
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.settings import PurchaseWeighting


@dataclass(frozen=True)
class PurchaseHistory:
    """Lines of orders by customer, the oldest first; an item counts once in an order.

    Args:
        customer_ids: shape (customers,), ascending as they come from `of_lines`.
        starts: where each customer's lines begin, shape (customers + 1,).
        width: how many items the catalogue has.
        items: row of the item in the catalogue, shape (lines,), as all that follow.
        ages: whole days since the purchase, 0 for the day itself.
        orders: number of the order, ascending along the lines.
        quantities: pieces.
        paid: what the shop received, in currency.
        listed: the same at list prices.
    """

    customer_ids: StringArray
    starts: IntArray
    width: int
    items: Int32Array
    ages: Int32Array
    orders: Int32Array
    quantities: Float32Array
    paid: Float32Array
    listed: Float32Array

    def __len__(self) -> int:
        """How many customers."""
        return len(self.customer_ids)

    @cached_property
    def customers(self) -> Int32Array:
        """The customer's row of each line."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))

    @cached_property
    def bought(self) -> sparse.csr_array:
        """1 where a customer ever bought an item, shape (customers, items), float32."""
        bought = self.weights()
        bought.data[:] = 1
        return bought

    def weights(
        self,
        half_life_days: float | None = None,
        window_days: int | None = None,
        *,
        newest_only: bool = False,
    ) -> sparse.csr_array:
        """How often each customer bought each item, shape (customers, items), float32, sorted by item.

        Args:
            half_life_days: a purchase counts half after so many days; None: all count 1.
            window_days: only purchases of so many last days; None: all.
            newest_only: only the newest purchase of each item.
        """
        weight_of_line = (
            np.ones(len(self.ages)) if half_life_days is None else decay(self.ages, half_life_days)
        )
        if window_days is not None:
            weight_of_line *= self.ages < window_days
        if newest_only:
            data = weight_of_line[self.by_pair[np.append(self.pair_starts, len(weight_of_line))[1:] - 1]]
        else:
            data = np.bincount(self.pair_of_line, weight_of_line, minlength=len(self.pair_starts))
        starts, items = self._pairs_of, self.pair_items
        if window_days is not None:
            is_positive = data > 0
            starts = np.append(0, np.cumsum(is_positive, dtype=np.int32))[starts]
            data, items = data[is_positive], items[is_positive]
        return sparse.csr_array((data.astype(np.float32), items, starts), shape=(len(self), self.width))

    def weighted(self, weighting: PurchaseWeighting) -> sparse.csr_array:
        """The same by the settings of a source, shape (customers, items), float32."""
        weights = self.weights(weighting.half_life_days, newest_only=weighting.newest_only)
        weights.data = weights.data ** np.float32(weighting.power)
        return weights

    @cached_property
    def by_pair(self) -> IntArray:
        """The lines by customer, then item, the oldest first."""
        return sort_keys(self.customers.astype(np.int64) * self.width + self.items)[0]

    @cached_property
    def pair_starts(self) -> IntArray:
        """Where the lines of each different pair of customer and item begin in `by_pair`."""
        customers, items = self.customers[self.by_pair], self.items[self.by_pair]
        return np.flatnonzero((np.diff(customers, prepend=-1) != 0) | (np.diff(items, prepend=-1) != 0))

    @cached_property
    def pair_items(self) -> Int32Array:
        """The item of each pair."""
        return self.items[self.by_pair[self.pair_starts]]

    @cached_property
    def _pairs_of(self) -> Int32Array:
        """Where each customer's pairs begin, and where the last end, shape (customers + 1,)."""
        return np.searchsorted(self.pair_starts, self.starts).astype(np.int32)

    @cached_property
    def pair_of_line(self) -> IntArray:
        """The number of each line's pair."""
        pairs = np.empty(len(self.items), np.int64)
        lengths = np.diff(self.pair_starts, append=len(pairs))
        pairs[self.by_pair] = np.repeat(np.arange(len(lengths)), lengths)
        return pairs

    def find(self, customer_ids: pa.Array | pa.ChunkedArray) -> IntArray:
        """The rows of customers, −1 for unknown ones."""
        return find(customer_ids, self.customer_ids)

    def sample(self, customers: int) -> "PurchaseHistory":
        """No more than so many of the customers, drawn by chance; the same ones for the same history."""
        if len(self) <= customers:
            return self
        return self.of(sample_rows(len(self), customers))

    def of(self, rows: IntArray, customer_ids: StringArray | None = None) -> "PurchaseHistory":
        """The histories of some customers, in the order of the rows; an empty one for row −1.

        Args:
            rows: of the customers; −1 for an unknown one.
            customer_ids: their ids; None: as they are here.
        """
        known = np.where(rows >= 0, rows, 0)
        lengths = np.where(rows >= 0, (self.starts[1:] - self.starts[:-1])[known], 0)
        starts = np.r_[0, np.cumsum(lengths)]
        lines = np.arange(starts[-1]) + np.repeat(self.starts[known] - starts[:-1], lengths)
        names = self.customer_ids[known] if customer_ids is None else customer_ids
        return PurchaseHistory(
            names, starts, self.width, **{name: getattr(self, name)[lines] for name in _ARRAYS}
        )

    def save(self, path: Path) -> None:
        """Write it as one compressed file, without pickle."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(path, **arrays | {"customer_ids": self.customer_ids.astype(str)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as file:
            arrays = {field.name: file[field.name] for field in fields(cls)}
        return cls(
            **arrays | {"customer_ids": arrays["customer_ids"].astype(object), "width": int(arrays["width"])}
        )

    @classmethod
    def of_lines(cls, lines: pa.Table, catalogue: Catalogue) -> Self:
        """From the rows of `order_lines`; items outside the catalogue are left out."""
        items = catalogue.find(lines["item_id"])
        lines, items = lines.filter(pa.array(items >= 0)), items[items >= 0]
        coded = lines["customer_id"].combine_chunks().dictionary_encode()
        rows = coded.indices.to_numpy()
        orders = lines["order_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        is_new_order = np.r_[True, (orders[1:] != orders[:-1]) | (rows[1:] != rows[:-1])] if len(rows) else []
        numbers = {name: lines[name].to_numpy().astype(np.float32) for name in ("quantity", "paid", "listed")}
        return cls(
            customer_ids=coded.dictionary.to_numpy(zero_copy_only=False),
            starts=np.searchsorted(rows, np.arange(len(coded.dictionary) + 1)),
            width=len(catalogue),
            items=items.astype(np.int32),
            ages=lines["age"].to_numpy().astype(np.int32),
            orders=(np.cumsum(is_new_order) - 1).astype(np.int32),
            quantities=numbers["quantity"],
            paid=numbers["paid"],
            listed=numbers["listed"],
        )


_ARRAYS = ("items", "ages", "orders", "quantities", "paid", "listed")


def decay(ages: Int32Array, half_life_days: float) -> FloatArray:
    """The weight of purchases of these ages: it halves after so many days."""
    return np.exp2(ages * (-1 / half_life_days))
