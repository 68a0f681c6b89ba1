"""What customers bought in a past window: the truth that recommendations made before it are judged by."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Self

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from perennial.foundation.arrays import IntArray, StringArray
from perennial.foundation.lake import end_of
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory


@dataclass(frozen=True)
class WindowPurchases:
    """Customers and the different items each bought in the window.

    Args:
        customer_ids: shape (customers,), ascending.
        rows: the customer's row of each item bought, ascending.
        item_ids: the items bought.
    """

    customer_ids: StringArray
    rows: IntArray
    item_ids: pa.Array

    @classmethod
    def of(cls, pairs: pa.Table) -> Self:
        """From the table `customer_id, item_id`, sorted by both, each pair once."""
        coded = pairs["customer_id"].combine_chunks().dictionary_encode()
        rows = coded.indices.to_numpy().astype(np.int64)
        return cls(coded.dictionary.to_numpy(zero_copy_only=False), rows, pairs["item_id"].combine_chunks())

    @property
    def wanted(self) -> IntArray:
        """How many different items each customer bought."""
        return np.bincount(self.rows, minlength=len(self.customer_ids))

    def among(self, customer_ids: StringArray) -> "WindowPurchases":
        """Only those of these customers."""
        is_kept = np.isin(self.customer_ids[self.rows].astype(str), customer_ids.astype(str))
        return WindowPurchases.of(self._table().filter(pa.array(is_kept)))

    def save(self, path: Path) -> None:
        """Write it as one Parquet file, so that other models can be judged by the same."""
        pq.write_table(self._table(), path, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote, in the same order."""
        return cls.of(pq.read_table(path))

    def _table(self) -> pa.Table:
        customers = pa.array(self.customer_ids, pa.string()).take(pa.array(self.rows))
        return pa.table({"customer_id": customers, "item_id": self.item_ids})


def purchases_in_window(
    purchases: ir.Table, items: ir.Table, day: date, window: timedelta
) -> WindowPurchases:
    """The different items each customer bought in the window that follows the day.

    Args:
        purchases: `tables.purchases` as known at the end of the window or later.
        items: the items that count.
        day: the day before the window.
        window: how long it is.
    """
    inside = purchases.filter(
        purchases.occurred_at >= end_of(day), purchases.occurred_at < end_of(day + window)
    )
    pairs = inside.semi_join(items, "item_id").select("customer_id", "item_id").distinct()
    return WindowPurchases.of(pairs.order_by("customer_id", "item_id").to_pyarrow())


def purchase_matrix(
    truth: WindowPurchases, history: PurchaseHistory, catalogue: Catalogue
) -> sparse.csr_array:
    """Which items of the catalogue customers of a history bought in the window, shape (customers, items)."""
    customers = history.find(pa.array(truth.customer_ids, pa.string()))[truth.rows]
    items = catalogue.find(truth.item_ids)
    is_known = (customers >= 0) & (items >= 0)
    cells = customers[is_known], items[is_known]
    return sparse.csr_array((np.ones(int(is_known.sum()), bool), cells), shape=(len(history), len(catalogue)))
