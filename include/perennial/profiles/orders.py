"""Recency, frequency, money, the rhythm of orders, and the last orders one by one."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

RECENT = 64
"""How many orders the list of recent orders holds."""


def rhythm(orders: ir.Table, day: date) -> ir.Table:
    """Recency, frequency and gaps of each customer with an order.

    Gaps are whole days between an order and the next; two orders of one day have a gap of 0.
    """
    table = orders.group_by("customer_id").aggregate(
        first_order_on=orders.occurred_on.min(),
        last_order_on=orders.occurred_on.max(),
        orders=orders.count(),
        orders_28=_since(orders, day, 28).sum(),
        orders_91=_since(orders, day, 91).sum(),
        pieces=orders.quantity.sum(),
        lines=orders.lines.sum(),
        gaps=orders.gap_days.count(),
        total=orders.gap_days.sum(),
        squares=(orders.gap_days * orders.gap_days).sum(),
    )
    # Sums of whole numbers do not depend on their order: every run gives the same deviation, to the digit.
    spread = table.gaps * table.squares - table.total * table.total
    return table.mutate(
        recency_days=ibis.literal(day).delta(table.last_order_on, unit="day"),
        average_order_quantity=table.pieces / table.orders,
        average_order_lines=table.lines / table.orders,
        gap_mean_days=table.total / table.gaps.nullif(0),
        gap_deviation_days=(spread / (table.gaps * (table.gaps - 1)).nullif(0)).sqrt(),
    ).drop("pieces", "lines", "gaps", "total", "squares")


def money(parts: ir.Table, day: date) -> ir.Table:
    """Revenue of each customer, returns taken off: `spend, spend_28, spend_91` in currency."""
    rows = parts.filter(parts.event_type.isin(["purchase", "return"]))
    revenue = rows.revenue
    return rows.group_by("customer_id").aggregate(
        spend=revenue.sum(),
        spend_28=_since(rows, day, 28).ifelse(revenue, 0).sum(),
        spend_91=_since(rows, day, 91).ifelse(revenue, 0).sum(),
    )


def recent(orders: ir.Table) -> ir.Table:
    """`recent_orders`: the last 64 orders of each customer, oldest first."""
    ends = orders.group_by("customer_id").aggregate(last=orders.nth.max())
    rows = orders.join(ends, "customer_id")
    rows = rows.filter(rows.nth > rows["last"] - RECENT)
    # Not every engine collects in an order that one asks for; every engine sorts a list by its first member.
    order = {
        "nth": rows.nth,
        "gap_days": rows.gap_days,
        "value": rows.revenue.cast("float64"),
        "quantity": rows.quantity,
    }
    collected = rows.group_by("customer_id").aggregate(numbered=ibis.struct(order).collect())
    return collected.select(
        "customer_id",
        recent_orders=collected.numbered.sort().map(
            lambda order: ibis.struct({name: order[name] for name in ("gap_days", "value", "quantity")})
        ),
    )


def _since(rows: ir.Table, day: date, days: int) -> ir.BooleanValue:
    """In the last `days` days, `day` included."""
    return rows.occurred_on > day - timedelta(days=days)
