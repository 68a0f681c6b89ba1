"""What customers did, counted: orders out of events, deeds in a window, and unit by unit of time.

The measures divide what is counted here. `members` are customers in groups, each followed from `since` to
`until`: `customer_id, since: date, until: date` and the columns that tell the groups apart, none of them
null.
"""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from perennial.foundation.time_zones import local_date


class Unit(StrEnum):
    """The length of a step in retention."""

    DAY = "day"
    WEEK = "week"

    @property
    def days(self) -> int:
        """Its length in days."""
        return {Unit.DAY: 1, Unit.WEEK: 7}[self]


def orders(events: ir.Table, zone: ZoneInfo, first: date, last: date) -> ir.Table:
    """One row for each order: `customer_id, order_id, ordered_at, ordered_on, revenue` (net of returns).

    Args:
        events: as known on a day; what has no order id is an order of its own.
        zone: the shop's; `ordered_on` is the day there.
        first: no event is earlier than this day.
        last: no event is later than this day.
    """
    sold = events.filter(events.event_type.isin(["purchase", "return"]))
    sold = sold.mutate(order_id=ibis.coalesce(sold.order_id, sold.event_id))
    bought = sold.event_type == "purchase"
    found = sold.group_by(["customer_id", "order_id"]).agg(
        ordered_at=sold.occurred_at.min(where=bought), revenue=sold.revenue.sum()
    )
    found = found.filter(found.ordered_at.notnull()).mutate(revenue=found.revenue.fill_null(0))
    return found.mutate(ordered_on=local_date(found.ordered_at, zone, first, last))


def contacts(events: ir.Table, zone: ZoneInfo, first: date, last: date) -> ir.Table:
    """Events of campaigns: `campaign_id, customer_id, event_type, occurred_at, on` (the shop's day)."""
    told = events.filter(events.campaign_id.notnull())
    return told.select(
        "campaign_id",
        "customer_id",
        "event_type",
        "occurred_at",
        on=local_date(told.occurred_at, zone, first, last),
    )


def counts(members: ir.Table, orders: ir.Table, contacts: ir.Table) -> ir.Table:
    """What each member did from `since` to `until`, both days included.

    Args:
        members: with `campaign_id` where the contacts of that campaign alone are meant. A customer may be a
            member of several groups.
        orders: as `orders` makes them.
        contacts: as `contacts` makes them.

    Returns:
        The members with `orders, revenue, redemptions, delivered, clicks, orders_after_delivery,
        orders_after_click` (after the first of each; all 0 where nothing happened).
    """
    keys = members.columns
    told = _contacts_of(members, contacts)
    placed = _orders_of(told, orders)
    figures = [name for name in placed.columns if name not in keys]
    joined = told.left_join(placed, keys).select(*keys, *_CONTACTS, *figures)
    return joined.mutate(**{name: joined[name].fill_null(0) for name in (*_CONTACTS[:3], *figures)}).drop(
        *_CONTACTS[3:]
    )


_CONTACTS = ("redemptions", "delivered", "clicks", "first_delivered_at", "first_clicked_at")


def _contacts_of(members: ir.Table, contacts: ir.Table) -> ir.Table:
    """The members with how often they were told and answered, and when first."""
    keys = members.columns
    same = [name for name in ("campaign_id", "customer_id") if name in keys]
    seen = members.join(contacts.select(*same, "event_type", "occurred_at", "on"), same)
    seen = seen.filter(seen.on.between(seen.since, seen.until))
    kind = seen.event_type
    summed = seen.group_by(keys).agg(
        redemptions=(kind == "redeem").sum(),
        delivered=(kind == "delivered").sum(),
        clicks=(kind == "click").sum(),
        first_delivered_at=seen.occurred_at.min(where=kind == "delivered"),
        first_clicked_at=seen.occurred_at.min(where=kind == "click"),
    )
    return members.left_join(summed, keys).select(*keys, *_CONTACTS)


def _orders_of(told: ir.Table, orders: ir.Table) -> ir.Table:
    """Orders and revenue of each member; those after the first delivery and first click also apart."""
    keys = [name for name in told.columns if name not in _CONTACTS]
    placed = told.join(orders.select("customer_id", "ordered_at", "ordered_on", "revenue"), "customer_id")
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
    """What groups did in each unit of time after `since`; unit 0 is the first, negative ones lie before it.

    A member counts in unit n only if that unit had ended by the member's `until`, so that late comers do not
    look idle.

    Args:
        members: as in `counts`.
        orders: as in `counts`.
        unit: how long a step is.
        by: the columns that tell groups apart.
        first_unit: where to begin.

    Returns:
        `*by, n, size, orders, active, active_later`: size counts the members whose unit n had ended, active
        those of them with an order in it, active_later those with an order in it or later up to `until`.
    """
    keys = list(by)
    people = members.mutate(units=(members.until.delta(members.since, unit="day") + 1) // unit.days)
    alike = people.group_by([*keys, "units"]).agg(people=people.count())
    grid = alike.mutate(n=ibis.range(first_unit, alike.units).unnest())
    sizes = grid.group_by([*keys, "n"]).agg(size=grid.people.sum())
    placed = people.join(orders.select("customer_id", "ordered_on"), "customer_id")
    placed = placed.filter(placed.ordered_on <= placed.until)
    placed = placed.mutate(unit=placed.ordered_on.delta(placed.since, unit="day").cast("float64"))
    placed = placed.mutate(unit=(placed.unit / unit.days).floor().cast("int64"))
    placed = placed.filter(placed.unit >= first_unit)
    each = placed.group_by([*keys, "customer_id", "units", "unit"]).agg(orders=placed.count())
    inside = each.filter(each.unit < each.units)
    exact = inside.group_by(keys, n="unit").agg(orders=inside.orders.sum(), active=inside.count())
    last = each.group_by([*keys, "customer_id", "units"]).agg(last=each.unit.max())
    later = last.mutate(n=ibis.range(first_unit, ibis.least(last.last + 1, last.units)).unnest())
    unbounded = later.group_by([*keys, "n"]).agg(active_later=later.count())
    joined = sizes.left_join(exact, [*keys, "n"]).select(*keys, "n", "size", "orders", "active")
    joined = joined.left_join(unbounded, [*keys, "n"])
    figures = {name: joined[name].fill_null(0) for name in ("orders", "active", "active_later")}
    return joined.select(*keys, "n", "size", **figures)
