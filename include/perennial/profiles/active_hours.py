"""When a customer shops: the share of orders in each local hour of the week, leaning on everybody's hours.

Everybody's shares are bent towards the customer's own in three steps: by hour of the day, with the hours
beside it; by weekday; by hour of the week. Each step multiplies what the step before it made by

    (k + orders there) ÷ (k + orders expected there),

the posterior mean of a rate ratio with a gamma prior of mean 1 (Clayton and Kaldor, Biometrics 43, 1987). So
an hour at which the shop is closed stays empty, and a few evening orders tell of evenings, not of one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import ibis
import ibis.expr.types as ir

from perennial.foundation.engine import kept
from perennial.profiles.settings import ActiveHoursSettings

HOURS = 168
_DAY_HOURS = 24
_HOUR = 3600
_THURSDAY = 72  # 1970-01-01, hour 0 of the clock, was a Thursday
_ORDERS_BEFORE = 10
"""Orders, spread evenly, that all customers together are thought to have made beforehand."""
_BESIDE = {-2: 14, -1: 61, 0: 100, 1: 61, 2: 14}
"""Percent of an order that counts for the hour so far away: a normal curve, standard deviation 1 hour."""
_FINE = 1_000_000_000_000
_ROOM = 10 * _FINE
_ROW = ("hour", "share", "shape")
_NODES = ((-2.8570, 0.011257), (-1.3556, 0.222076), (0.0, 0.533333), (1.3556, 0.222076), (2.8570, 0.011257))
"""Gauss and Hermite's nodes and weights for the mean over a standard normal variable."""
_LOGISTIC = 1.702
"""The normal distribution function at z is 1 ÷ (1 + exp(−1.702 z)) within 0.01 (Camilli, 1994)."""


def hour_of_week(orders: ir.Table) -> ir.IntegerValue:
    """0 is Monday from 00:00 to 00:59 on the customer's clock; needs `occurred_at` and `offset_seconds`."""
    seconds = orders.occurred_at.epoch_seconds().cast("int64") + orders.offset_seconds
    return ((seconds / _HOUR).floor().cast("int64") + _THURSDAY) % HOURS


@contextmanager
def hours(orders: ir.Table, customers: ir.Table, settings: ActiveHoursSettings) -> Iterator[ir.Table]:
    """`customer_id`, `active_hours` (168 shares, sum 1), `best_hour` (the first of the largest).

    And `best_hour_confidence`, the probability that no other hour is more active: see `_confidence`. The
    steps on the way are computed once and kept.

    Args:
        orders: `customer_id, occurred_at, offset_seconds`, one row an order.
        customers: `customer_id`, the customers who get hours.
        settings: the k of each step.
    """
    place = ibis.row_number().over(ibis.window(order_by="customer_id"))
    people = customers.select("customer_id", place=place)
    placed = orders.join(people, "customer_id").select("place", hour=hour_of_week(orders))
    counted = placed.group_by("place", "hour").aggregate(n=placed.count())
    with (
        kept(counted) as counted,
        kept(_shares(people.select("place"), counted, settings)) as shares,
        kept(_ranked(shares)) as ranked,
    ):
        named = people.join(ranked, "place").join(_confidence(shares, ranked), "place")
        yield named.select(
            "customer_id",
            active_hours=named.parts.sort().map(lambda part: part % _ROOM / named.whole),
            best_hour=named.best["hour"],
            best_hour_confidence=named.confidence,
        )


def _ranked(shares: ir.Table) -> ir.Table:
    """`place, parts, whole` and `best`, the row of the first hour with the largest share.

    The parts of the whole are the shares, each with its hour in front, so that sorting puts them in order:
    numbers take engines half the time that pairs do.
    """
    return shares.group_by("place").aggregate(
        parts=(shares.hour * _ROOM + shares.part).collect(),
        whole=shares.whole.max(),
        best=ibis.struct({"less": -shares.share.round(12), **{name: shares[name] for name in _ROW}}).min(),
    )


def _shares(people: ir.Table, counted: ir.Table, settings: ActiveHoursSettings) -> ir.Table:
    """`place, hour, share, part, whole, shape`: of every customer and hour of the week.

    The share is part ÷ whole; the parts are whole numbers, less than `_ROOM`.

    The shape is that of a gamma variable: 1 ÷ shape is the relative variance of the share, the sum of that of
    the ratio of the hour of the week and that of the weekday. That of the hour of the day, which the hours
    that compete have largely in common, is left out.
    """
    everybody = _everybody(counted)
    clocks = _by_hour(people, counted, everybody, settings.hour)
    weekdays = _by_weekday(people, counted, everybody, settings.weekday)
    grid = clocks.join(weekdays, "place").join(everybody, ["clock", "weekday"])
    rows = grid.select(
        "place", "orders", "hour", "of_day", share=grid.n / grid.whole * grid.by_hour * grid.by_day
    )
    rows = _of_whole(rows).left_join(counted, ["place", "hour"])
    rows = rows.select(
        "place", "hour", "orders", "of_day", "share", n=settings.hour_of_week + rows.n.fill_null(0)
    )
    bent = rows.share * rows.n / (settings.hour_of_week + rows.orders * rows.share)
    return _of_whole(rows.select("place", "hour", shape=1 / (1 / rows.n + 1 / rows.of_day), share=bent))


def _everybody(counted: ir.Table) -> ir.Table:
    """`hour, clock` (of the day), `weekday, n, whole`: everybody's share of orders there is n ÷ whole."""
    orders = counted.group_by("hour").aggregate(n=counted.n.sum())
    week = _numbers(HOURS, "hour")
    rows = week.left_join(orders, "hour").select(week.hour, n=orders.n.fill_null(0) * HOURS + _ORDERS_BEFORE)
    return rows.select(
        "hour",
        "n",
        clock=rows.hour % _DAY_HOURS,
        weekday=rows.hour // _DAY_HOURS,
        whole=rows.n.sum().over(ibis.window()),
    )


def _by_hour(people: ir.Table, counted: ir.Table, everybody: ir.Table, k: float) -> ir.Table:
    """`place, clock, orders, by_hour`: the ratio of each hour of the day, and those beside it."""
    own = _with_beside(counted.select("place", "n", clock=counted.hour % _DAY_HOURS))
    usual = _with_beside(everybody.select("clock", "n", place="whole"))
    usual = usual.select("clock", usual=usual.n / usual.place)
    rows = _with_orders(people, counted).cross_join(usual).left_join(own, ["place", "clock"])
    ratio = (k + rows.n.fill_null(0)) / (k + rows.orders * rows.usual)
    return rows.select("place", "clock", "orders", by_hour=ratio)


def _by_weekday(people: ir.Table, counted: ir.Table, everybody: ir.Table, k: float) -> ir.Table:
    """`place, weekday, of_day, by_day`: k + the orders on each weekday, and its ratio."""
    own = counted.group_by("place", weekday=counted.hour // _DAY_HOURS).aggregate(n=counted.n.sum())
    usual = everybody.group_by("weekday").aggregate(usual=everybody.n.sum() / everybody.whole.max())
    rows = _with_orders(people, counted).cross_join(usual).left_join(own, ["place", "weekday"])
    rows = rows.select("place", "weekday", "orders", "usual", of_day=k + rows.n.fill_null(0))
    return rows.select("place", "weekday", "of_day", by_day=rows.of_day / (k + rows.orders * rows.usual))


def _with_orders(people: ir.Table, counted: ir.Table) -> ir.Table:
    whole = counted.group_by("place").aggregate(orders=counted.n.sum())
    rows = people.left_join(whole, "place")
    return rows.select("place", orders=rows.orders.fill_null(0))


def _with_beside(rows: ir.Table) -> ir.Table:
    """`place, clock, n`: what each hour of the day has, with parts of what the hours beside it have."""
    beside = ibis.memtable({"step": list(_BESIDE), "percent": list(_BESIDE.values())})
    spread = rows.group_by("place", "clock").aggregate(n=rows.n.sum()).cross_join(beside)
    clock = (spread.clock + spread.step + _DAY_HOURS) % _DAY_HOURS
    parts = spread.select("place", clock=clock, part=spread.n * spread.percent)
    return parts.group_by("place", "clock").aggregate(n=parts.part.sum() / 100)


def _numbers(count: int, name: str) -> ir.Table:
    numbers = ibis.range(count).unnest().name(name).as_table()
    return numbers.select(numbers[name].cast("int64").name(name))


def _of_whole(rows: ir.Table) -> ir.Table:
    """The shares of each customer, so that their sum is 1: `part`, a whole number, ÷ `whole`."""
    rows = rows.mutate(part=_whole_number(rows.share))
    # By a join, which takes engines less time than a window.
    sums = rows.group_by("place").aggregate(whole=rows.part.sum())
    both = rows.join(sums, "place")
    return both.mutate(share=both.part / both.whole)


def _whole_number(value: ir.FloatingValue) -> ir.FloatingValue:
    """How many times 1 ÷ `_FINE` it is: the sum of such does not depend on their order."""
    return (value * _FINE).round().cast("float64")


def _confidence(shares: ir.Table, ranked: ir.Table) -> ir.Table:
    """`place, confidence`: the mean, over what the best hour may be, of the product of P(hour h is less).

    Shares are taken as independent gamma variables, whose cube roots are nearly normal (Wilson and Hilferty,
    PNAS 17, 1931).
    """
    top = _cubes(ranked.select("place", **{name: ranked.best[name] for name in _ROW}))
    reached = {
        f"at_{number}": top.root * ibis.greatest(top.middle + node / top.sharp, 0.0)
        for number, (node, _) in enumerate(_NODES)
    }
    rows = _cubes(shares).join(top.select("place", best="hour", **reached), "place")
    rows = rows.filter(rows.hour != rows.best)
    below = {
        name: -(1 + (-_LOGISTIC * (rows[name] / rows.root - rows.middle) * rows.sharp).exp()).log()
        for name in reached
    }
    rows = rows.select("place", **below)
    sums = {name: _whole_number(rows[name]).sum() / _FINE for name in below}
    means = rows.group_by("place").aggregate(**{name: total.exp() for name, total in sums.items()})
    parts = [means[f"at_{number}"] * weight for number, (_, weight) in enumerate(_NODES)]
    return means.select("place", confidence=sum(parts[1:], parts[0]))


def _cubes(shares: ir.Table) -> ir.Table:
    """`place, hour`, the share's cube `root`; in such roots, mean (`middle`) and 1 ÷ deviation (`sharp`)."""
    return shares.select(
        *("place", "hour"),
        middle=1 - 1 / (9 * shares.shape),
        sharp=3 * shares.shape.sqrt(),
        root=shares.share ** (1 / 3),
    )
