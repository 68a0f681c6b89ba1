"""Where a customer stands: new, active, lapsing, lapsed or returned, measured in the customer's own gaps."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from perennial.profiles.drawing import LifeCycle


def stages(orders: ir.Table, customers: ir.Table, day: date, chosen: LifeCycle) -> ir.Table:
    """`life_cycle` of every customer: the first of these that holds.

    1. new: joined fewer than `new_days` days ago;
    2. lapsed: no order at all, or none for `lapsed_gaps` of the customer's usual gaps and for `lapsed_days`;
    3. lapsing: none for `lapsing_gaps` of them and for `lapsing_days`;
    4. returned: an order of the last `returned_days` days ended a gap as long as a lapse;
    5. active.

    Args:
        orders: `customer_id, occurred_on, gap_days`, one row an order.
        customers: `customer_id, joined_on`, whoever shall have a stage.
        day: the day as of which.
        chosen: the thresholds.
    """
    usual = usual_gaps(orders, customers, chosen)
    lapse = ibis.greatest(usual.usual_gap_days * chosen.lapsed_gaps, chosen.lapsed_days)
    lapsing = ibis.greatest(usual.usual_gap_days * chosen.lapsing_gaps, chosen.lapsing_days)
    usual = usual.mutate(lapse=lapse, lapsing=lapsing)
    rows = orders.join(usual.select("customer_id", "lapse"), "customer_id")
    recent = rows.occurred_on > day - timedelta(days=chosen.returned_days)
    last = rows.group_by("customer_id").aggregate(
        last_order_on=rows.occurred_on.max(), came_back=(recent & (rows.gap_days >= rows.lapse)).any()
    )
    table = usual.left_join(last, "customer_id")
    silent = ibis.literal(day).delta(table.last_order_on, unit="day")
    return table.select(
        "customer_id",
        life_cycle=ibis.cases(
            (ibis.literal(day).delta(table.joined_on, unit="day") < chosen.new_days, "new"),
            (table.last_order_on.isnull() | (silent >= table.lapse), "lapsed"),
            (silent >= table.lapsing, "lapsing"),
            (table.came_back, "returned"),
            else_="active",
        ),
    )


def usual_gaps(orders: ir.Table, customers: ir.Table, chosen: LifeCycle) -> ir.Table:
    """`usual_gap_days` of the customers: the median of their own gaps, else the median customer's, else 0."""
    gaps = orders.gap_days
    medians = orders.group_by("customer_id").aggregate(own=gaps.median(), gaps=gaps.count())
    enough = medians.filter(medians.gaps >= chosen.own_gaps_needed)
    typical = enough.aggregate(typical=enough.own.median())
    table = customers.select("customer_id", "joined_on").left_join(enough, "customer_id").cross_join(typical)
    return table.select(
        "customer_id", "joined_on", usual_gap_days=ibis.coalesce(table.own, table.typical, 0.0)
    )
