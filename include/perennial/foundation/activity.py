"""Counts of what customers did: orders from events, activity in a window, and activity by unit of time.

The measures divide these counts. `members` are customers in groups, each followed from `since` to `until`:
`customer_id, since: date, until: date` and the columns that tell the groups apart, none of them null.
"""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from perennial.foundation.time_zones import local_date


class Unit(StrEnum):
    """The unit of time of retention."""

    DAY = "day"
    WEEK = "week"

    @property
    def days(self) -> int:
        """Its length in days."""
        return {Unit.DAY: 1, Unit.WEEK: 7}[self]


def orders(events: ir.Table, zone: ZoneInfo, first: date, last: date) -> ir.Table:
    """One row for each order: `customer_id, order_id, ordered_at, ordered_on, revenue` (net of returns).

    Args:
        events: as known on a day; a row without an order id is an order of its own.
        zone: the shop's time zone, for `ordered_on`.
        first: no event is earlier than this day.
        last: no event is later than this day.
    """
    lines = events.filter(events.event_type.isin(["purchase", "return"]))
    lines = lines.mutate(order_id=ibis.coalesce(lines.order_id, lines.event_id))
    is_purchase = lines.event_type == "purchase"
    orders = lines.group_by(["customer_id", "order_id"]).agg(
        ordered_at=lines.occurred_at.min(where=is_purchase), revenue=lines.revenue.sum()
    )
    orders = orders.filter(orders.ordered_at.notnull()).mutate(revenue=orders.revenue.fill_null(0))
    return orders.mutate(ordered_on=local_date(orders.ordered_at, zone, first, last))


def contacts(events: ir.Table, zone: ZoneInfo, first: date, last: date) -> ir.Table:
    """Events of campaigns: `campaign_id, customer_id, event_type, occurred_at, on` (the shop's day)."""
    of_campaigns = events.filter(events.campaign_id.notnull())
    return of_campaigns.select(
        "campaign_id",
        "customer_id",
        "event_type",
        "occurred_at",
        on=local_date(of_campaigns.occurred_at, zone, first, last),
    )


def counts(members: ir.Table, orders: ir.Table, contacts: ir.Table) -> ir.Table:
    """The activity of each member from `since` to `until`, both days included.

    Args:
        members: with `campaign_id` if only the contacts of that campaign count. A customer may be a member of
            several groups.
        orders: as `orders` returns them.
        contacts: as `contacts` returns them.

    Returns:
        The members with `orders, revenue, redemptions, delivered, clicks, orders_after_delivery,
        orders_after_click` (after the first of each); 0 for members without activity.
    """
    keys = members.columns
    with_contacts = _with_contacts(members, contacts)
    of_orders = _order_counts(with_contacts, orders)
    figures = [name for name in of_orders.columns if name not in keys]
    joined = with_contacts.left_join(of_orders, keys).select(*keys, *_CONTACTS, *figures)
    return joined.mutate(**{name: joined[name].fill_null(0) for name in (*_CONTACTS[:3], *figures)}).drop(
        *_CONTACTS[3:]
    )


_CONTACTS = ("redemptions", "delivered", "clicks", "first_delivered_at", "first_clicked_at")


def _with_contacts(members: ir.Table, contacts: ir.Table) -> ir.Table:
    """The members with the numbers of their messages and answers, and the times of the first ones."""
    keys = members.columns
    same = [name for name in ("campaign_id", "customer_id") if name in keys]
    joined = members.join(contacts.select(*same, "event_type", "occurred_at", "on"), same)
    joined = joined.filter(joined.on.between(joined.since, joined.until))
    event_type = joined.event_type
    counted = joined.group_by(keys).agg(
        redemptions=(event_type == "redeem").sum(),
        delivered=(event_type == "delivered").sum(),
        clicks=(event_type == "click").sum(),
        first_delivered_at=joined.occurred_at.min(where=event_type == "delivered"),
        first_clicked_at=joined.occurred_at.min(where=event_type == "click"),
    )
    return members.left_join(counted, keys).select(*keys, *_CONTACTS)


def _order_counts(members: ir.Table, orders: ir.Table) -> ir.Table:
    """Orders and revenue of each member, and the orders after the first delivery and the first click."""
    keys = [name for name in members.columns if name not in _CONTACTS]
    placed = members.join(orders.select("customer_id", "ordered_at", "ordered_on", "revenue"), "customer_id")
    placed = placed.filter(placed.ordered_on.between(placed.since, placed.until))
    return placed.group_by(keys).agg(
        orders=placed.count(),
        revenue=placed.revenue.sum().cast("float64"),
        orders_after_delivery=(placed.ordered_at > placed.first_delivered_at).sum(),
        orders_after_click=(placed.ordered_at > placed.first_clicked_at).sum(),
    )


def per_unit(
    members: ir.Table, orders: ir.Table, unit: Unit, by: Sequence[str], first_unit: int = 0
) -> ir.Table:
    """The activity of groups by unit of time after `since`: unit 0 is the first, negative ones are earlier.

    A member counts in unit n only if that unit had ended by the member's `until`. Otherwise late members
    would look inactive.

    Args:
        members: as in `counts`.
        orders: as in `counts`.
        unit: the unit of time.
        by: the columns that tell groups apart.
        first_unit: the first unit.

    Returns:
        `*by, n, size, orders, active, active_later`: size counts the members whose unit n had ended, active
        the members among them with an order in it, active_later with an order in it or later up to `until`.
    """
    keys = list(by)
    people = members.mutate(units=(members.until.delta(members.since, unit="day") + 1) // unit.days)
    by_length = people.group_by([*keys, "units"]).agg(people=people.count())
    grid = by_length.mutate(n=ibis.range(first_unit, by_length.units).unnest())
    sizes = grid.group_by([*keys, "n"]).agg(size=grid.people.sum())
    placed = people.join(orders.select("customer_id", "ordered_on"), "customer_id")
    placed = placed.filter(placed.ordered_on <= placed.until)
    placed = placed.mutate(unit=placed.ordered_on.delta(placed.since, unit="day").cast("float64"))
    placed = placed.mutate(unit=(placed.unit / unit.days).floor().cast("int64"))
    placed = placed.filter(placed.unit >= first_unit)
    by_customer = placed.group_by([*keys, "customer_id", "units", "unit"]).agg(orders=placed.count())
    inside = by_customer.filter(by_customer.unit < by_customer.units)
    exact = inside.group_by(keys, n="unit").agg(orders=inside.orders.sum(), active=inside.count())
    last = by_customer.group_by([*keys, "customer_id", "units"]).agg(last=by_customer.unit.max())
    later = last.mutate(n=ibis.range(first_unit, ibis.least(last.last + 1, last.units)).unnest())
    unbounded = later.group_by([*keys, "n"]).agg(active_later=later.count())
    joined = sizes.left_join(exact, [*keys, "n"]).select(*keys, "n", "size", "orders", "active")
    joined = joined.left_join(unbounded, [*keys, "n"])
    figures = {name: joined[name].fill_null(0) for name in ("orders", "active", "active_later")}
    return joined.select(*keys, "n", "size", **figures)
