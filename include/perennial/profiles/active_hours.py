"""When a customer shops: the share of orders in each local hour of the week, leaning on everybody's hours."""

import ibis
import ibis.expr.types as ir

from perennial.profiles.drawing import ActiveHours

HOURS = 168
_HOUR = 3600
_THURSDAY = 72  # 1970-01-01, hour 0 of the clock, was a Thursday


def hour_of_week(orders: ir.Table) -> ir.IntegerValue:
    """0 is Monday from 00:00 to 00:59 on the customer's clock; needs `occurred_at` and `offset_seconds`."""
    seconds = orders.occurred_at.epoch_seconds().cast("int64") + orders.offset_seconds
    return ((seconds / _HOUR).floor().cast("int64") + _THURSDAY) % HOURS


def hours(orders: ir.Table, customers: ir.Table, chosen: ActiveHours) -> ir.Table:
    """`active_hours` (168 shares, sum 1) and `best_hour` (the first of the largest) of every customer.

    share(h) = (orders in h + k · share of all customers' orders in h) ÷ (orders + k), with k
    `orders_of_population`: the posterior mean of a Dirichlet prior (Gelman et al., Bayesian Data Analysis,
    3rd ed., 2013, section 3.4). All customers' hours are shrunk toward equal ones in the same way.

    Args:
        orders: `customer_id, occurred_at, offset_seconds`, one row an order.
        customers: `customer_id`, whoever shall have hours.
        chosen: how much everybody's hours weigh.
    """
    k = chosen.orders_of_population
    placed = orders.select("customer_id", hour=hour_of_week(orders))
    counted = placed.group_by("customer_id", "hour").aggregate(n=placed.count())
    week = ibis.range(HOURS).unnest().name("hour").as_table().mutate(hour=lambda t: t.hour.cast("int64"))
    all_hours = counted.group_by("hour").aggregate(n=counted.n.sum())
    everybody = week.left_join(all_hours, "hour").select(week.hour, n=all_hours.n.fill_null(0))
    everybody = everybody.mutate(
        usual=(everybody.n + k / HOURS) / (everybody.n.sum().over(ibis.window()) + k)
    )
    totals = counted.group_by("customer_id").aggregate(orders=counted.n.sum())
    mine = customers.select("customer_id").left_join(totals, "customer_id")
    mine = mine.select("customer_id", orders=mine.orders.fill_null(0))
    grid = mine.cross_join(everybody.select("hour", "usual"))
    grid = grid.left_join(counted, ["customer_id", "hour"]).select(
        grid.customer_id, grid.hour, share=(counted.n.fill_null(0) + k * grid.usual) / (grid.orders + k)
    )
    collected = grid.group_by("customer_id").aggregate(
        placed=ibis.struct({"hour": grid.hour, "share": grid.share}).collect(),
        best=ibis.struct({"share": -grid.share, "hour": grid.hour}).min(),
    )
    return collected.select(
        "customer_id",
        active_hours=collected.placed.sort().map(lambda one: one["share"]),
        best_hour=collected.best["hour"],
    )
