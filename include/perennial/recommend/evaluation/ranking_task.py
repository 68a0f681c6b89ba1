"""A test month for recommenders: what was known before its first day, and what was bought in it.

The split is by time and the same for all customers, and the whole catalogue is ranked, nothing sampled.
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
"""An item that was bought at least so often before the month is warm, any other cold."""


class Slice(StrEnum):
    """Which items are candidates, and with them which of the items bought in the month count."""

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
        bought: who bought what before the month, shape (customers, items).
        wanted: who bought what in the month.
    """

    customer_ids: StringArray
    item_ids: StringArray
    warm: int
    bought: sparse.csr_array
    wanted: sparse.csr_array

    @classmethod
    def of(cls, pairs: pa.Table, catalogue: pa.Array, truth: WindowPurchases) -> Self:
        """The split, from all that it is made of.

        Args:
            pairs: `customer_id, item_id, times`, what was bought before, of items of the catalogue.
            catalogue: the ids of the items.
            truth: what was bought in the month.
        """
        who, what = (pairs[name].combine_chunks() for name in ("customer_id", "item_id"))
        places = pc.index_in(what, catalogue).to_numpy()
        times = np.bincount(places, pairs["times"].to_numpy(), len(catalogue))
        order = np.lexsort((catalogue.to_numpy(zero_copy_only=False).astype(str), -times))
        items, present = catalogue.take(pa.array(order)), pa.array(truth.customer_ids, pa.string())
        customers = present.filter(pc.is_in(present, who))
        asked = present.take(pa.array(truth.rows))
        return cls(
            customer_ids=customers.to_numpy(zero_copy_only=False),
            item_ids=items.to_numpy(zero_copy_only=False),
            warm=int((times >= WARM_PURCHASES).sum()),
            bought=_grid(who, customers, what, items),
            wanted=_grid(asked, customers, truth.item_ids, items),
        )

    @property
    def history_sizes(self) -> IntArray:
        """How many different items each customer bought before."""
        return np.diff(self.bought.indptr).astype(np.int64)

    def columns(self, part: Slice) -> slice:
        """The items of which a slice chooses its candidates: the warm ones or the cold ones."""
        return slice(self.warm, None) if part is Slice.COLD else slice(0, self.warm)

    def candidates(self, part: Slice, rows: IntArray) -> BoolArray:
        """Which of these items are candidates for customers, shape (rows, columns of the slice)."""
        bought = self.bought[rows, self.columns(part)].toarray()
        if part in (Slice.ALL, Slice.COLD):
            return np.ones_like(bought)
        return bought if part is Slice.REPEAT else ~bought


def ranking_task(before: ir.Table, after: ir.Table, wares: ir.Table, month: date) -> RankingTask:
    """The test month that begins on a day.

    Args:
        before: `catalogue.purchases` as known at the end of the day before the month.
        after: the same as known at the end of the month or later.
        wares: the items known on that day that count; whatever else is bought in the month cannot be ranked.
        month: its first day.
    """
    eve, next_month = month - timedelta(days=1), (month + timedelta(days=32)).replace(day=1)
    pairs = before.semi_join(wares, "item_id").group_by("customer_id", "item_id")
    counted = pairs.aggregate(times=lambda rows: rows.count()).to_pyarrow()
    item_ids = wares.select("item_id").to_pyarrow()["item_id"].combine_chunks()
    return RankingTask.of(counted, item_ids, purchases_in_window(after, wares, eve, next_month - month))


def _grid(who: pa.Array, customers: pa.Array, what: pa.Array, items: pa.Array) -> sparse.csr_array:
    """Pairs of a customer and an item as a matrix; what is not among both is left out."""
    rows, columns = pc.index_in(who, customers), pc.index_in(what, items)
    both = pc.and_(pc.is_valid(rows), pc.is_valid(columns))
    at = rows.filter(both).to_numpy(), columns.filter(both).to_numpy()
    return sparse.csr_array((np.ones(len(at[0]), bool), at), shape=(len(customers), len(items)))
