"""Purchases and returns, each with the days for which its present form is what the shop knew.

`lake.known(events, day)` asks the whole table what was known on one day. A profile run asks for several days,
so the same rule is written here once for all days: a row counts from `known_from` until another version of
the same event, landed later, takes its place on `known_until`. `as_of(lines, day)` then is a plain filter,
and gives what `known` gives.
"""

from datetime import date

import ibis
import ibis.expr.types as ir

UNIT = 1_000_000_000
"""The weight of a purchase of that very day. Sums of whole numbers do not depend on their order."""
HEAPS = 8
"""Into so many heaps customers and items are dealt."""


def repeated(events: ir.Table) -> ir.Table:
    """Hashes (`code`) of event ids that came more than once, each time on another day: usually none."""
    coded = events.select(code=events.event_id.hash())
    counts = coded.group_by("code").aggregate(n=coded.count())
    return counts.filter(counts.n > 1).select("code")


def dated(events: ir.Table, codes: ir.Table | None) -> ir.Table:
    """The events with `known_from, known_until?`: the days for which each is what the shop knew.

    Args:
        events: the contract's columns and `occurred_on`, the shop's day.
        codes: the result of `repeated`; None if that is nothing, so that nobody looks at ids.
    """
    seen = events.mutate(known_from=ibis.greatest(events.known_on, events.occurred_on))
    if codes is None:
        return seen.mutate(known_until=ibis.null("date"))
    seen = seen.mutate(code=seen.event_id.hash())
    versions = seen.semi_join(codes, "code")
    later = ibis.window(group_by="event_id", order_by=ibis.desc("landed_on"), rows=(None, -1))
    versions = versions.mutate(known_until=versions.known_from.min().over(later))
    alone = seen.anti_join(codes, "code").mutate(known_until=ibis.null("date"))
    return alone.union(versions)


def lines(dated: ir.Table) -> ir.Table:
    """Lines of purchases, returns and redemptions with the days for which they hold.

    Returns:
        `customer_id, event_type, order_id, item_id, occurred_at, occurred_on, known_from, known_until?`,
        `quantity` in pieces, and in currency `revenue`, `list_value`, `discount` (by the shop and by coupons)
        and `coupon_discount`.
    """
    return _valued(dated.filter(dated.event_type.isin(["purchase", "return", "redeem"])))


def as_of(rows: ir.Table, day: date) -> ir.Table:
    """The rows as known at the end of `day`."""
    return rows.filter(rows.known_from <= day, rows.known_until.isnull() | (rows.known_until > day))


def order_parts(lines: ir.Table) -> ir.Table:
    """Lines of the same customer, order and kind that are known for the same days, added up."""
    keys = ("customer_id", "event_type", "order_id", "known_from", "known_until")
    sums = ("quantity", "revenue", "list_value", "discount", "coupon_discount")
    return lines.group_by(*keys).aggregate(
        occurred_at=lines.occurred_at.min(),
        occurred_on=lines.occurred_on.min(),
        lines=lines.count(),
        **{name: lines[name].sum() for name in sums},
    )


def numbered(rows: ir.Table, column: str) -> ir.Table:
    """The different values of a column with a number each, in their order: `<column>, number`.

    The number modulo `HEAPS` says into which heap the value is dealt, by the value alone: it is the same on
    every day, whatever other values there are.
    """
    values = rows.filter(rows[column].notnull()).select(column).distinct()
    heap = ibis.literal("0123456789abcdef").find(values[column].hexdigest("md5")[0]) % HEAPS
    place = ibis.row_number().over(ibis.window(order_by=column))
    return values.mutate(number=place * HEAPS + heap.cast("int64"))


def baskets(lines: ir.Table, customers: ir.Table, items: ir.Table) -> ir.Table:
    """Who bought what when for how much: a row for each line of an item with a number.

    Returns:
        `customer, item, occurred_on, known_from, known_until?`, `quantity` in pieces, and in currency
        `revenue`, `list_value` and `shelf_discount`.

    Customers and items go by their number: it halves the time of every later step over all the lines.
    """
    bought = lines.filter(lines.event_type == "purchase")
    who = customers.select("customer_id", customer=customers.number)
    what = items.select("item_id", item=items.number)
    placed = bought.join(who, "customer_id").join(what, "item_id")
    return placed.select(
        *(
            "customer",
            "item",
            "occurred_on",
            "known_from",
            "known_until",
            "quantity",
            "revenue",
            "list_value",
        ),
        shelf_discount=placed.discount - placed.coupon_discount,
    )


def item_weights(baskets: ir.Table, day: date, half_life_days: float, value_exponent: float) -> ir.Table:
    """What each customer's purchases of each item weigh on `day`: `customer, item, weight`, one row a pair.

    A purchase weighs 2^(−age ÷ half-life) × revenue^exponent, in whole numbers of which `UNIT` make 1.
    """
    age = ibis.literal(day).delta(baskets.occurred_on, unit="day")
    weight = ibis.literal(2.0) ** (-age / half_life_days)
    if value_exponent:
        weight *= ibis.greatest(baskets.revenue.cast("float64"), 0.0) ** value_exponent
    weighed = baskets.select("customer", "item", weight=(weight * UNIT).round().cast("int64"))
    return weighed.group_by("customer", "item").aggregate(weight=weighed.weight.sum())


def orders(parts: ir.Table) -> ir.Table:
    """One row for each order (an `order_id` of purchases), from the parts as of a day.

    Returns:
        `customer_id, order_id`, `occurred_at, occurred_on` (both of its first line), `revenue`, `quantity`,
        `lines`, `nth` among the customer's orders, from 0, and `gap_days`: whole days since the order before,
        null for the first.
    """
    bought = parts.filter(parts.event_type == "purchase", parts.order_id.notnull())
    rows = bought.group_by("customer_id", "order_id").aggregate(
        occurred_at=bought.occurred_at.min(),
        occurred_on=bought.occurred_on.min(),
        revenue=bought.revenue.sum(),
        quantity=bought.quantity.sum(),
        lines=bought.lines.sum(),
    )
    sequence = ibis.window(group_by="customer_id", order_by=["occurred_at", "order_id"])
    return rows.mutate(
        nth=ibis.row_number().over(sequence),
        gap_days=rows.occurred_on.delta(rows.occurred_on.lag().over(sequence), unit="day"),
    )


def _valued(events: ir.Table) -> ir.Table:
    """What each line was worth; a line without a list price is worth what was paid and taken off."""
    paid, shelf, coupon = (
        events[name].fill_null(0).cast("decimal(18, 4)")
        for name in ("revenue", "shelf_discount", "coupon_discount")
    )
    listed = (events.unit_price * events.quantity).cast("decimal(18, 4)")
    return events.select(
        *("customer_id", "event_type", "order_id", "item_id"),
        *("occurred_at", "occurred_on", "known_from", "known_until"),
        quantity=events.quantity.fill_null(0),
        revenue=paid,
        list_value=ibis.coalesce(listed, paid + shelf + coupon),
        discount=shelf + coupon,
        coupon_discount=coupon,
    )
