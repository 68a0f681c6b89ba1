"""What all customers together do when an item is reduced: how much more they buy, by how much is off.

What was on offer is seen from everybody's purchases: the shelf discount of an item in a week (what the shop
takes off for all, personal coupons left out). A week of an item is compared with other weeks of the same item
in the same stretch of weeks, so that what it sells anyway, and what comes and goes slowly, cancels.
"""

from datetime import date

import ibis
import ibis.expr.types as ir

from perennial.profiles.settings import PriceResponseSettings

STEP = 5
"""Percent points between two knots of the curve; what is nearest to a knot is counted with it."""
MOST = 95
"""A greater discount, in percent, counts as this one."""
_MONDAY = date(1969, 12, 29)
_PSEUDO = 5.0
"""Pieces that every knot is thought to have sold beforehand, with and without the discount."""


def week_of(lines: ir.Table) -> ir.IntegerValue:
    """The number of the week, from Monday to Sunday, in which a line was bought."""
    return lines.occurred_on.delta(ibis.literal(_MONDAY), unit="day").cast("int64") // 7


def pieces_of(lines: ir.Table, settings: PriceResponseSettings) -> ir.IntegerValue:
    """The pieces of a line that count."""
    return ibis.least(lines.quantity, settings.pieces_counted)


def weeks(lines: ir.Table, orders: ir.Table, items: ir.Table, settings: PriceResponseSettings) -> ir.Table:
    """What was on offer: a row for each item and week in which somebody bought it.

    Args:
        lines: `customer, item, occurred_on, quantity` in pieces, `list_value, shelf_discount` in currency.
        orders: `occurred_on`, one row an order of anybody.
        items: `item` of those that count.
        settings: how weeks are compared.

    Returns:
        `item, week, stretch, percent` (the discount, in whole percent of the list value), `season` (orders of
        all customers in that week), `first, last` (of the customers who bought it, by number) and
        `even, odd`: pieces bought by customers with an even and an odd number.
    """
    rows = lines.filter(lines.quantity > 0, lines.list_value > 0)
    rows = rows.select(
        "customer",
        "item",
        "list_value",
        "shelf_discount",
        week=week_of(rows),
        pieces=pieces_of(rows, settings),
        is_odd=rows.customer % 2 == 1,
    )
    sold = rows.group_by("item", "week").aggregate(
        first=rows.customer.min(),
        last=rows.customer.max(),
        listed=rows.list_value.sum().cast("float64"),
        off=rows.shelf_discount.sum().cast("float64"),
        even=(~rows.is_odd).ifelse(rows.pieces, 0).sum(),
        odd=rows.is_odd.ifelse(rows.pieces, 0).sum(),
    )
    seasons = orders.select(week=week_of(orders)).group_by("week").aggregate(season=ibis._.count())
    weekly = sold.semi_join(items, "item").join(seasons, "week")
    percent = (100 * weekly.off / weekly.listed).round().cast("int64")
    return weekly.select(
        *("item", "week", "season", "first", "last", "even", "odd"),
        stretch=weekly.week // settings.weeks_compared,
        percent=ibis.greatest(0, ibis.least(percent, MOST)),
    )


def ratios(weeks: ir.Table) -> ir.Table:
    """`knot, more, usual`: pieces sold at each knot, and as many as would have been without the discount.

    Their quotient is the rate ratio of Mantel and Haenszel over items and stretches (Greenland and Robins,
    Biometrics 41, 1985), which needs no estimate of what each item sells.

    A week is seen only if somebody bought the item in it. So that this does not pass for demand, purchases of
    customers with an even number are counted in the weeks that those with an odd number show, and vice versa.
    """
    halves = [
        weeks.filter(weeks[other] > 0).select(
            "item", "stretch", "season", knot=(weeks.percent + STEP // 2) // STEP, pieces=own, half=half
        )
        for half, (own, other) in enumerate((("even", "odd"), ("odd", "even")))
    ]
    rows = ibis.union(*halves)
    sold = rows.group_by("half", "item", "stretch", "knot").aggregate(
        pieces=rows.pieces.sum(), season=rows.season.sum()
    )
    alike = ["half", "item", "stretch"]
    without = sold.filter(sold.knot == 0).select(*alike, usual_pieces="pieces", usual_season="season")
    both = sold.filter(sold.knot > 0).join(without, alike)
    whole = both.season + both.usual_season
    return both.group_by("knot").aggregate(
        more=(both.pieces * both.usual_season / whole).sum(),
        usual=(both.usual_pieces * both.season / whole).sum(),
    )


def curve(ratios: ir.Table) -> ir.Table:
    """`percent` (0 to 95) and `rise`: the log of how many times as much all customers buy at that discount.

    The ratios at the knots, made monotone by isotonic regression, for a greater discount never sells less;
    and straight lines between them.
    """
    level = ((ratios.more + _PSEUDO) / (ratios.usual + _PSEUDO)).log()
    weight = 1 / (1 / (ratios.more + _PSEUDO) + 1 / (ratios.usual + _PSEUDO))
    knots = _monotone(ratios.select("knot", level=level, weight=weight))
    start = ibis.memtable({"percent": [0], "rise": [0.0]})
    knots = start.union(knots.select(percent=(knots.knot * STEP).cast("int64"), rise=knots.level))
    following = ibis.window(order_by="percent")
    segments = knots.select(
        since="percent",
        low="rise",
        until=knots.percent.lead().over(following).fill_null(MOST + 1),
        high=ibis.coalesce(knots.rise.lead().over(following), knots.rise),
    )
    every = ibis.range(MOST + 1).unnest().name("percent").as_table()
    every = every.select(percent=every.percent.cast("int64"))
    placed = every.join(segments, [every.percent >= segments.since, every.percent < segments.until])
    way = (placed.percent - placed.since) / (placed.until - placed.since)
    # Rounded, so that the last digit of a logarithm, in which engines differ, changes nothing after it.
    return placed.select("percent", rise=(placed.low + (placed.high - placed.low) * way).round(6))


def _monotone(knots: ir.Table) -> ir.Table:
    """`knot, level`: the isotonic regression of `knot, level, weight`, not below 0.

    max over s ≤ k of min over t ≥ k of the weighted mean of the levels from s to t (Robertson, Wright,
    Dykstra: Order Restricted Statistical Inference, 1988, section 1.4).
    """
    so_far = ibis.window(order_by="knot", rows=(None, 0))
    sums = knots.mutate(
        total=(knots.level * knots.weight).sum().over(so_far), weights=knots.weight.sum().over(so_far)
    )
    starts = sums.select(
        first="knot",
        before=sums.total - sums.level * sums.weight,
        weights_before=sums.weights - sums.weight,
    )
    ends = sums.select(last="knot", total="total", weights="weights")
    spans = starts.join(ends, starts.first <= ends.last)
    spans = spans.select(
        "first", "last", mean=(spans.total - spans.before) / (spans.weights - spans.weights_before)
    )
    each = knots.select("knot")
    within = each.join(spans, [each.knot >= spans.first, each.knot <= spans.last])
    least = within.group_by("knot", "first").aggregate(least=within["mean"].min())
    return least.group_by("knot").aggregate(level=ibis.greatest(least.least.max(), 0.0))
