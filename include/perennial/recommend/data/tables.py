"""What counts as a purchase, and what may be recommended at all."""

from collections.abc import Collection
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation.lake import end_of


def purchases(events: ir.Table) -> ir.Table:
    """The purchases among events: `customer_id, item_id, occurred_at`, one row for each line of an order."""
    bought = events.filter(events.event_type == "purchase", events.item_id.notnull(), events.quantity > 0)
    return bought.select("customer_id", "item_id", "occurred_at")


def item_names(items: ir.Table) -> pa.Table:
    """Every item, sold or not, by what it is called: `item_id, title, category, brand`."""
    return items.select("item_id", "title", "category", "brand").to_pyarrow()


def merchandise(items: ir.Table, excluded: Collection[str]) -> ir.Table:
    """The items of which no level of the category is excluded."""
    if not excluded:
        return items
    levels = items.category.fill_null("").split(" > ")
    return items.filter(levels.filter(lambda level: level.isin(sorted(excluded))).length() == 0)


def order_lines(events: ir.Table, day: date) -> ir.Table:
    """The purchases among events as lines of orders, by customer, the oldest first.

    Args:
        events: as known at the end of the day.
        day: the day.

    Returns:
        `customer_id, item_id, order_id, age, quantity, paid, listed`; a purchase without an order is one by
        its moment, one without a price has 0.
    """
    end = int(end_of(day).timestamp())
    bought = events.filter(events.event_type == "purchase", events.item_id.notnull(), events.quantity > 0)
    age = ((end - 1 - bought.occurred_at.epoch_seconds().cast("int64")) / _DAY_SECONDS).floor().cast("int32")
    order = ibis.coalesce(bought.order_id, bought.occurred_at.epoch_seconds().cast("string"))
    each = bought.select(
        "customer_id",
        "item_id",
        "quantity",
        order_id=order,
        age=age,
        paid=bought.revenue,
        listed=bought.unit_price * bought.quantity,
    )
    once = each.group_by("customer_id", "item_id", "order_id").agg(
        age=each.age.min(),
        quantity=each.quantity.sum(),
        paid=each.paid.sum().cast("float64").fill_null(0.0),
        listed=each.listed.sum().cast("float64").fill_null(0.0),
    )
    return once.select(*_LINE).order_by("customer_id", ibis.desc("age"), "order_id", "item_id")


_DAY_SECONDS = 86_400


_LINE = ("customer_id", "item_id", "order_id", "age", "quantity", "paid", "listed")
