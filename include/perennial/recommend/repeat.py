"""Candidates that a customer bought before: often and lately weighs most.

The weight is the personal frequency with an exponential decay, which is hard to beat on baskets (Hu et al.,
2020, use the same idea in TIFU-KNN).
"""

from datetime import date

import ibis
import ibis.expr.types as ir

from perennial.foundation.lake import end_of

UNIT = 1 << 20
"""The weight of a purchase of today. Whole numbers: their sum does not depend on the order of the rows."""

_DAY_SECONDS = 86_400


def histories(bought: ir.Table, day: date, half_life_days: float) -> ir.Table:
    """Every item that each customer bought.

    Args:
        bought: purchases as known at the end of the day, `customer_id, item_id, occurred_at`.
        day: the day from which ages are counted.
        half_life_days: a purchase counts half after so many days.

    Returns:
        `customer_id, item_id, weight, times, age_days` (since the last purchase).
    """
    end = int(end_of(day).timestamp())
    age = ((end - bought.occurred_at.epoch_seconds().cast("int64")) / _DAY_SECONDS).floor().cast("int64")
    aged = bought.select("customer_id", "item_id", age=age)
    weight = (ibis.literal(0.5).pow(aged.age / half_life_days) * UNIT).round().cast("int64")
    pairs = aged.mutate(weight=weight).group_by("customer_id", "item_id")
    return pairs.agg(
        weight=lambda t: t.weight.sum(), times=lambda t: t.count(), age_days=lambda t: t.age.min()
    )


def placed(pairs: ir.Table) -> ir.Table:
    """The same with `place`: 0 for the heaviest item of the customer, then 1, 2 and so on."""
    order = ibis.window(group_by="customer_id", order_by=[ibis.desc("weight"), "item_id"])
    return pairs.mutate(place=ibis.row_number().over(order))
