"""What counts as a purchase, and what may be recommended at all."""

from collections.abc import Collection

import ibis.expr.types as ir
import pyarrow as pa


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
