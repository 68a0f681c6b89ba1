"""What may be recommended at all: available, not excluded, and bought by somebody not too long ago."""

from collections.abc import Collection

import ibis.expr.types as ir


def purchases(events: ir.Table) -> ir.Table:
    """The purchases among events: `customer_id, item_id, occurred_at`, one row for each line of an order."""
    bought = events.filter(events.event_type == "purchase", events.item_id.notnull(), events.quantity > 0)
    return bought.select("customer_id", "item_id", "occurred_at")


def merchandise(items: ir.Table, excluded: Collection[str]) -> ir.Table:
    """The items of which no level of the category is excluded."""
    if not excluded:
        return items
    levels = items.category.fill_null("").split(" > ")
    return items.filter(levels.filter(lambda level: level.isin(sorted(excluded))).length() == 0)


def offered(histories: ir.Table, items: ir.Table, within_days: int) -> ir.Table:
    """The histories, with `title`, of items that are available and that somebody bought lately.

    Args:
        histories: `customer_id, item_id, age_days, …`.
        items: `item_id, title, available, …`, a row each.
        within_days: an item that nobody bought for longer is not offered.
    """
    fresh = histories.filter(histories.age_days < within_days).select("item_id").distinct()
    titles = items.filter(items.available).semi_join(fresh, "item_id").select("item_id", "title")
    return histories.join(titles, "item_id")
