"""Candidates that many bought lately: they fill up a short history, and are all a new customer gets."""

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray


def counted(histories: ir.Table, window_days: int) -> ir.Table:
    """The same with `buyers`, how many customers bought the item in the last days, and `first_of_item`.

    `first_of_item` marks one row for each item.
    """
    of_item = ibis.window(group_by="item_id")
    recent = (histories.age_days < window_days).cast("int64")
    first = histories.customer_id == histories.customer_id.min().over(of_item)
    return histories.mutate(buyers=recent.sum().over(of_item), first_of_item=first)


def candidates(buyers: NDArray[np.int64], sellable: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """The items with most buyers, most first; equals in the items' order."""
    order = np.argsort(-buyers, kind="stable")
    found = order[sellable[order] & (buyers[order] > 0)]
    return found[:count]
