"""How much of what a customer buys is bought at a discount."""

import ibis.expr.types as ir


def shares(parts: ir.Table) -> ir.Table:
    """`discount_share` and `coupon_share` of list value (0 to 1, null without any), and `redemptions`."""
    bought = parts.event_type == "purchase"
    sums = parts.group_by("customer_id").aggregate(
        listed=parts.list_value.sum(where=bought),
        taken_off=parts.discount.sum(where=bought),
        by_coupon=parts.coupon_discount.sum(where=bought),
        redemptions=parts.lines.sum(where=parts.event_type == "redeem").fill_null(0),
    )
    return sums.select(
        "customer_id",
        "redemptions",
        discount_share=_share(sums.taken_off, sums.listed),
        coupon_share=_share(sums.by_coupon, sums.listed),
    )


def _share(part: ir.DecimalValue, whole: ir.DecimalValue) -> ir.FloatingValue:
    return (part.cast("float64") / whole.cast("float64").nullif(0)).clip(0, 1)
