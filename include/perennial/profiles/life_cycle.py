"""Where a customer stands: new, active, lapsing, lapsed or returned, measured in the customer's own gaps."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from perennial.profiles.settings import LifeCycleSettings


def stages(orders: ir.Table, customers: ir.Table, day: date, settings: LifeCycleSettings) -> ir.Table:
    """`life_cycle` of every customer: the first of these that holds.

    1. new: joined fewer than `new_days` days ago;
    2. lapsed: no order at all, or none for `lapsed_gaps` of the customer's usual gaps and for `lapsed_days`;
    3. lapsing: none for `lapsing_gaps` of them and for `lapsing_days`;
    4. returned: an order of the last `returned_days` days ended a gap as long as a lapse;
    5. active.

    With its dates: `life_cycle_since`, the first day of the stage, and the days on which, without a further
    order, the customer is lapsing (`lapsing_on`, null if never) and lapsed (`lapsed_on`), or was. All of them
    go by today's usual gap.

    Args:
        orders: `customer_id, occurred_on, gap_days`, one row an order.
        customers: `customer_id, joined_on`, the customers who get a stage.
        day: the day as of which.
        settings: the thresholds.
    """
    table = _turning_points(orders, customers, settings)
    today = ibis.literal(day)
    returned = table.came_back_on > day - timedelta(days=settings.returned_days)
    stage = ibis.cases(
        (today < table.known_on, "new"),
        (today >= table.lapsed_on, "lapsed"),
        (today >= table.lapsing_on, "lapsing"),
        (returned, "returned"),
        else_="active",
    )
    settled = _later(table.came_back_on, settings.returned_days)
    since = {
        "new": table.joined_on,
        "lapsed": table.lapsed_on,
        "lapsing": table.lapsing_on,
        "returned": _latest(table.came_back_on, table.known_on),
        "active": _latest(table.known_on, table.first_order_on, table.resumed_on, settled),
    }
    staged = table.mutate(life_cycle=stage, **{f"{name}_since": since[name] for name in since})
    return staged.select(
        "customer_id",
        "life_cycle",
        "lapsing_on",
        "lapsed_on",
        life_cycle_since=ibis.cases(
            *((staged.life_cycle == name, staged[f"{name}_since"]) for name in since), else_=ibis.null("date")
        ),
    )


def usual_gaps(orders: ir.Table, customers: ir.Table, settings: LifeCycleSettings) -> ir.Table:
    """`usual_gap_days` of the customers: the median of their own gaps, else the median customer's, else 0."""
    gaps = orders.gap_days
    medians = orders.group_by("customer_id").aggregate(own=gaps.median(), gaps=gaps.count())
    enough = medians.filter(medians.gaps >= settings.own_gaps_needed)
    typical = enough.aggregate(typical=enough.own.median())
    table = customers.select("customer_id", "joined_on").left_join(enough, "customer_id").cross_join(typical)
    return table.select(
        "customer_id", "joined_on", usual_gap_days=ibis.coalesce(table.own, table.typical, 0.0)
    )


def _turning_points(orders: ir.Table, customers: ir.Table, settings: LifeCycleSettings) -> ir.Table:
    """The days that matter to the stages of every customer.

    Returns:
        `customer_id, joined_on`, `known_on` (no longer new), `first_order_on?`, `lapsing_on?`, `lapsed_on`,
        and of orders that ended a gap: `came_back_on?` (the last after a lapse) and `resumed_on?` (after a
        shorter silence in which the customer was lapsing).
    """
    usual = usual_gaps(orders, customers, settings)
    usual = usual.mutate(
        lapse=_whole(ibis.greatest(usual.usual_gap_days * settings.lapsed_gaps, settings.lapsed_days)),
        silence=_whole(ibis.greatest(usual.usual_gap_days * settings.lapsing_gaps, settings.lapsing_days)),
    )
    rows = orders.join(usual.select("customer_id", "lapse", "silence"), "customer_id")
    lapse = rows.gap_days >= rows.lapse
    last = rows.group_by("customer_id").aggregate(
        first_order_on=rows.occurred_on.min(),
        last_order_on=rows.occurred_on.max(),
        came_back_on=rows.occurred_on.max(where=lapse),
        resumed_on=rows.occurred_on.max(where=(rows.gap_days >= rows.silence) & ~lapse),
    )
    table = usual.left_join(last, "customer_id").drop("customer_id_right")
    table = table.mutate(known_on=_later(table.joined_on, settings.new_days))
    lapsed = _latest(table.known_on, _later(table.last_order_on, table.lapse))
    lapsing = _latest(table.known_on, _later(table.last_order_on, table.silence))
    lapsing = ibis.ifelse(table.last_order_on.notnull() & (lapsing < lapsed), lapsing, None)
    return table.mutate(lapsed_on=lapsed, lapsing_on=lapsing)


def _whole(days: ir.NumericValue) -> ir.IntegerValue:
    return days.ceil().cast("int64")


def _later(day: ir.DateValue, days: ir.IntegerValue | int) -> ir.DateValue:
    count = ibis.literal(days, "int64") if isinstance(days, int) else days
    return (day + count.as_interval("D")).cast("date")


def _latest(first: ir.DateValue, *others: ir.DateValue) -> ir.DateValue:
    """The latest of the days that are known; engines differ in what `greatest` makes of null."""
    known = (ibis.coalesce(other, first) for other in others)
    return ibis.greatest(first, *known)
