"""Each measure once. Every figure that is shown comes from here and quotes its definition.

Every measure but retention is a *ratio*: a sum over customers divided by another sum over the same customers.
`counts` (in `activity.py`) makes one row for each customer, a measure names the two columns that it divides,
and `totals` adds them up, together with the sums that an interval needs. Retention follows customers over
units of time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import ibis
import ibis.expr.types as ir

from perennial.foundation.activity import Unit, per_unit


class Measure(StrEnum):
    """The measures that reports show; the values are those of `effects.measure`."""

    REACH = "reach"
    CTR = "ctr"
    CVR = "cvr"
    CVR_DELIVERED = "cvr_delivered"
    REDEMPTION_RATE = "redemption_rate"
    ORDER_RATE = "order_rate"
    ORDERS_PER_CUSTOMER = "orders_per_customer"
    REVENUE_PER_CUSTOMER = "revenue_per_customer"
    AOV = "aov"
    REPURCHASE_RATE = "repurchase_rate"
    WEEKLY_RETENTION = "weekly_retention"
    WEEKLY_RETENTION_UNBOUNDED = "weekly_retention_unbounded"
    ORDERS_PER_WEEK = "orders_per_week"


@dataclass(frozen=True)
class Definition:
    """A measure in reports: its name for people, its formula in words, and whether it is a share."""

    label: str
    formula: str
    is_share: bool


DEFINITIONS: dict[Measure, Definition] = {
    Measure.REACH: Definition(
        "Reach",
        "customers whom the campaign was meant for ÷ customers of the shop by the end of the window",
        True,
    ),
    Measure.CTR: Definition("CTR", "customers who clicked ÷ customers delivered to", True),
    Measure.CVR: Definition("CVR", "customers who ordered after their click ÷ customers who clicked", True),
    Measure.CVR_DELIVERED: Definition(
        "CVR of the delivered", "customers who ordered after the delivery ÷ customers delivered to", True
    ),
    Measure.REDEMPTION_RATE: Definition(
        "Redemption rate", "customers who redeemed a coupon of the campaign ÷ customers of the group", True
    ),
    Measure.ORDER_RATE: Definition(
        "Ordering customers", "customers with at least one order ÷ customers of the group", True
    ),
    Measure.ORDERS_PER_CUSTOMER: Definition("Orders per customer", "orders ÷ customers of the group", False),
    Measure.REVENUE_PER_CUSTOMER: Definition(
        "Revenue per customer", "revenue ÷ customers of the group", False
    ),
    Measure.AOV: Definition("Average order value", "AOV = revenue ÷ orders", False),
    Measure.REPURCHASE_RATE: Definition(
        "Repurchase rate", "customers with a further order within the window ÷ customers with one", True
    ),
    Measure.WEEKLY_RETENTION: Definition(
        "Weekly retention, exact",
        "customers who ordered in the n-th week ÷ customers whose n-th week had ended; week 0 is the first",
        True,
    ),
    Measure.WEEKLY_RETENTION_UNBOUNDED: Definition(
        "Weekly retention, unbounded",
        "customers who ordered in the n-th week or later in the window ÷ customers whose n-th week had ended",
        True,
    ),
    Measure.ORDERS_PER_WEEK: Definition(
        "Orders per week", "orders in the stretch ÷ customers of the group ÷ weeks of the stretch", False
    ),
}
"""One definition of each; a report quotes those that it uses."""


@dataclass(frozen=True)
class Ratio:
    """A measure over `counts`: the sum of `of` divided by the sum of `by`."""

    of: ir.NumericValue
    by: ir.NumericValue


def ctr(customers: ir.Table) -> Ratio:
    """CTR = customers who clicked ÷ customers delivered to. Remove clicks of machines before counting."""
    delivered = customers.delivered > 0
    return Ratio(_flag(delivered & (customers.clicks > 0)), _flag(delivered))


def cvr(customers: ir.Table) -> Ratio:
    """CVR = customers who ordered after their click ÷ customers who clicked."""
    return Ratio(_flag(customers.orders_after_click > 0), _flag(customers.clicks > 0))


def cvr_delivered(customers: ir.Table) -> Ratio:
    """CVR of the delivered = customers who ordered after the delivery ÷ customers delivered to."""
    return Ratio(_flag(customers.orders_after_delivery > 0), _flag(customers.delivered > 0))


def redemption_rate(customers: ir.Table) -> Ratio:
    """Redemption rate = customers who redeemed ÷ customers of the group."""
    return Ratio(_flag(customers.redemptions > 0), _each(customers))


def order_rate(customers: ir.Table) -> Ratio:
    """Ordering customers = customers with an order ÷ customers of the group."""
    return Ratio(_flag(customers.orders > 0), _each(customers))


def orders_per_customer(customers: ir.Table) -> Ratio:
    """Orders per customer = orders ÷ customers of the group."""
    return Ratio(customers.orders, _each(customers))


def revenue_per_customer(customers: ir.Table) -> Ratio:
    """Revenue per customer = revenue ÷ customers of the group, in currency units."""
    return Ratio(customers.revenue, _each(customers))


def aov(customers: ir.Table) -> Ratio:
    """AOV = revenue ÷ orders, in currency units."""
    return Ratio(customers.revenue, customers.orders)


def repurchase_rate(customers: ir.Table) -> Ratio:
    """Repurchase rate = customers with a further order within the window ÷ customers with one."""
    return Ratio(_flag(customers.orders >= 2), _flag(customers.orders >= 1))


RATIOS: dict[Measure, Callable[[ir.Table], Ratio]] = {
    Measure.CTR: ctr,
    Measure.CVR: cvr,
    Measure.CVR_DELIVERED: cvr_delivered,
    Measure.REDEMPTION_RATE: redemption_rate,
    Measure.ORDER_RATE: order_rate,
    Measure.ORDERS_PER_CUSTOMER: orders_per_customer,
    Measure.REVENUE_PER_CUSTOMER: revenue_per_customer,
    Measure.AOV: aov,
    Measure.REPURCHASE_RATE: repurchase_rate,
}


def totals(customers: ir.Table, by: Sequence[str], measures: Iterable[Measure] = tuple(RATIOS)) -> ir.Table:
    """Each measure for each group, as the sums that an estimate and its interval need.

    Args:
        customers: rows of `counts`; with a column `weight` (1 ÷ propensity) the sums whose names begin with w
            are weighted, without it each customer weighs 1.
        by: the columns that tell groups apart.
        measures: which; by default every ratio.

    Returns:
        `*by, measure, n, of, by, w_of, w_by, ww_of_of, ww_of_by, ww_by_by`: n counts the customers with a
        denominator, `w_of` is the sum of weight × numerator, `ww_of_by` of weight² × numerator × denominator.
    """
    return ibis.union(*(_totals(customers, list(by), measure) for measure in measures), distinct=False)


def _totals(customers: ir.Table, keys: list[str], measure: Measure) -> ir.Table:
    ratio = RATIOS[measure](customers)
    weight = customers.weight if "weight" in customers.columns else ibis.literal(1.0)
    rows = customers.select(*keys, _of=ratio.of.cast("float64"), _by=ratio.by.cast("float64"), _w=weight)
    square = rows._w * rows._w
    summed = rows.group_by(keys).agg(
        n=(rows._by > 0).sum(),
        of=_sum(rows._of),
        by=_sum(rows._by),
        w_of=_sum(rows._w * rows._of),
        w_by=_sum(rows._w * rows._by),
        ww_of_of=_sum(square * rows._of * rows._of),
        ww_of_by=_sum(square * rows._of * rows._by),
        ww_by_by=_sum(square * rows._by * rows._by),
    )
    return summed.mutate(measure=ibis.literal(str(measure)))


def _sum(values: ir.FloatingColumn) -> ir.FloatingScalar:
    """Their sum, exact to 12 decimals, so that it does not depend on their order as a sum of floats does."""
    return values.cast("decimal(38, 12)").sum().cast("float64")


def retention(members: ir.Table, orders: ir.Table, unit: Unit, by: Sequence[str]) -> ir.Table:
    """Share of each group with an order in the n-th day or week (exact), and in it or later (unbounded).

    Returns:
        `*by, n, size, active, active_later, exact, unbounded`: the counts of `per_unit`, and both shares of
        `size`.
    """
    counted = per_unit(members, orders, unit, by)
    return counted.mutate(
        exact=counted.active / counted["size"], unbounded=counted.active_later / counted["size"]
    ).drop("orders")


def reach(members: ir.Table, shop_size: int, by: Sequence[str]) -> ir.Table:
    """Reach = customers whom the campaign was meant for ÷ customers of the shop: `*by, n, reach`."""
    counted = members.group_by(list(by)).agg(n=members.customer_id.nunique())
    return counted.mutate(reach=counted.n / ibis.literal(shop_size))


def _flag(condition: ir.BooleanValue) -> ir.IntegerValue:
    return condition.cast("int64")


def _each(customers: ir.Table) -> ir.IntegerValue:
    return _flag(customers.customer_id.notnull())
