"""A test month for recommenders: what was known before its first day, and what was bought in it.

The split is by time and is the same for all customers. The whole catalogue is ranked; nothing is sampled.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Self

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from perennial.foundation.arrays import BoolArray, IntArray, StringArray
from perennial.recommend.data.window_purchases import WindowPurchases, purchases_in_window

WARM_PURCHASES = 10
"""An item with at least so many purchases before the month is warm; any other item is cold."""


class Slice(StrEnum):
    """Which items are candidates. Only purchases of candidates count."""

    ALL = "all"
    REPEAT = "repeat"
    EXPLORE = "explore"
    COLD = "cold"


@dataclass(frozen=True)
class RankingTask:
    """A test month, for the customers who bought before it and in it.

    Args:
        customer_ids: ascending, shape (customers,).
        item_ids: the catalogue on the eve, most purchases first and then by id, shape (items,).
        warm: how many of the items are warm; they come first.
        bought: which items each customer bought before the month, shape (customers, items).
        wanted: which items each customer bought in the month, shape (customers, items).
    """

    customer_ids: StringArray
    item_ids: StringArray
    warm: int
    bought: sparse.csr_array
    wanted: sparse.csr_array

    @classmethod
    def from_purchases(cls, pairs: pa.Table, item_ids: pa.Array, truth: WindowPurchases) -> Self:
        """From the purchases before the month and in it.

        Args:
            pairs: `customer_id, item_id, times`: purchases before the month, all of items in `item_ids`.
            item_ids: the items of the catalogue.
            truth: what was bought in the month.
        """
        buyers, bought = (pairs[name].combine_chunks() for name in ("customer_id", "item_id"))
        places = pc.index_in(bought, item_ids).to_numpy()
        times = np.bincount(places, pairs["times"].to_numpy(), len(item_ids))
        order = np.lexsort((item_ids.to_numpy(zero_copy_only=False).astype(str), -times))
        items, in_month = item_ids.take(pa.array(order)), pa.array(truth.customer_ids, pa.string())
        customers = in_month.filter(pc.is_in(in_month, buyers))
        buyers_in_month = in_month.take(pa.array(truth.rows))
        return cls(
            customer_ids=customers.to_numpy(zero_copy_only=False),
            item_ids=items.to_numpy(zero_copy_only=False),
            warm=int((times >= WARM_PURCHASES).sum()),
            bought=_pair_matrix(buyers, customers, bought, items),
            wanted=_pair_matrix(buyers_in_month, customers, truth.item_ids, items),
        )

    @property
    def history_sizes(self) -> IntArray:
        """How many different items each customer bought before."""
        return np.diff(self.bought.indptr).astype(np.int64)

    def columns(self, part: Slice) -> slice:
        """Where the candidates of a slice come from: the columns of the warm items or of the cold items."""
        return slice(self.warm, None) if part is Slice.COLD else slice(0, self.warm)

    def candidates(self, part: Slice, rows: IntArray) -> BoolArray:
        """Which items of a slice are candidates for customers, shape (rows, columns of the slice)."""
        bought = self.bought[rows, self.columns(part)].toarray()
        if part in (Slice.ALL, Slice.COLD):
            return np.ones_like(bought)
        return bought if part is Slice.REPEAT else ~bought


def ranking_task(before: ir.Table, after: ir.Table, items: ir.Table, month: date) -> RankingTask:
    """The test month that begins on a day.

    Args:
        before: `data.tables.purchases` as known at the end of the day before the month.
        after: the same as known at the end of the month or later.
        items: the known items that are ranked; purchases of other items in the month do not count.
        month: its first day.
    """
    eve, next_month = month - timedelta(days=1), (month + timedelta(days=32)).replace(day=1)
    pairs = before.semi_join(items, "item_id").group_by("customer_id", "item_id")
    counted = pairs.aggregate(times=lambda rows: rows.count()).to_pyarrow()
    item_ids = items.select("item_id").to_pyarrow()["item_id"].combine_chunks()
    truth = purchases_in_window(after, items, eve, next_month - month)
    return RankingTask.from_purchases(counted, item_ids, truth)


def _pair_matrix(
    customer_ids: pa.Array, customers: pa.Array, item_ids: pa.Array, items: pa.Array
) -> sparse.csr_array:
    """Pairs of a customer and an item as a matrix, shape (customers, items).

    Pairs with an unknown customer or item are left out.
    """
    rows, columns = pc.index_in(customer_ids, customers), pc.index_in(item_ids, items)
    both = pc.and_(pc.is_valid(rows), pc.is_valid(columns))
    at = rows.filter(both).to_numpy(), columns.filter(both).to_numpy()
    return sparse.csr_array((np.ones(len(at[0]), bool), at), shape=(len(customers), len(items)))
