"""How customers differ in their response to prices: what `price_response` leans on.

A customer's scores in a heap of items (slopes of the log-likelihood, s) have the expectation J · (a, b), J
being their information. Scores of different heaps have nothing in common but the customer, so their products
show how much customers differ, however unevenly each buys; what scores vary beyond that is overdispersion.

A little is thought to be known beforehand, so that a small shop has sensible values, too.
"""

import ibis
import ibis.expr.types as ir

TOLD = ("s_x", "s_z", "j_xx", "j_xz", "j_zz")
"""The columns of evidence: scores and their information."""
_FULL = 33.0
"""Information of a well-known customer: with more of it nobody counts for much more."""
_CUSTOMERS_BEFORE = 10
"""So many well-known customers are thought to have been seen beforehand, with these values:"""
_T_BEFORE, _PHI_BEFORE = (0.06, 0.03, 0.03), 2.0
_LEAST_VARIANCE, _MOST_CORRELATED = 1e-3, 0.95


def population(evidence: ir.Table) -> ir.Table:
    """One row for all customers; nulls if nothing was ever on offer at two discounts.

    Args:
        evidence: `customer, fold` and the columns `TOLD`, one row a customer and heap of items.

    Returns:
        `mean_x, mean_z` (of a and b), `mean_variance` (of `mean_x` as an estimate), `t_xx, t_xz, t_zz` (the
        covariance matrix T of a and b) and `phi` (variance of scores, given a and b, ÷ their information).
    """
    whole = ibis.window(group_by="customer")
    rows = evidence.mutate(w=1 / (1 + (evidence.j_xx + evidence.j_zz).sum().over(whole) / _FULL))
    rows = rows.cross_join(_means(rows))
    rows = rows.mutate(**residuals(rows))
    rows = rows.cross_join(_covariance(rows))
    of_t = rows.j_xx**2 * rows.t_xx + 2 * rows.j_xx * rows.j_xz * rows.t_xz + rows.j_xz**2 * rows.t_zz
    before = _CUSTOMERS_BEFORE * _FULL
    beyond = (rows.w * (rows.r_x**2 - of_t)).sum() + _PHI_BEFORE * before
    same = ("mean_x", "mean_z", "mean_variance", "t_xx", "t_xz", "t_zz")
    return rows.aggregate(
        **{name: rows[name].max() for name in same},
        phi=ibis.greatest(beyond / ((rows.w * rows.j_xx).sum() + before), _LEAST_VARIANCE),
    )


def residuals(rows: ir.Table) -> dict[str, ir.FloatingValue]:
    """`r_x, r_z`: the scores less what the population's means let expect."""
    return {
        "r_x": rows.s_x - rows.j_xx * rows.mean_x - rows.j_xz * rows.mean_z,
        "r_z": rows.s_z - rows.j_xz * rows.mean_x - rows.j_zz * rows.mean_z,
    }


def _means(rows: ir.Table) -> ir.Table:
    """`mean_x, mean_z` of the weighted customers; `mean_variance` by leaving out one heap after the other."""
    heaps = rows.group_by("fold").aggregate(**{name: (rows.w * rows[name]).sum() for name in TOLD})
    every = ibis.window()
    heaps = heaps.mutate(**{f"all_{name}": heaps[name].sum().over(every) for name in TOLD})
    mean_x, mean_z = _solved({name: heaps[f"all_{name}"] for name in TOLD})
    without, _ = _solved({name: heaps[f"all_{name}"] - heaps[name] for name in TOLD})
    found = heaps.filter(heaps.all_j_xx > 0).select(mean_x=mean_x, mean_z=mean_z, without=without)
    return found.aggregate(
        mean_x=found.mean_x.max(),
        mean_z=found.mean_z.max(),
        mean_variance=found.without.var(how="pop") * (found.count() - 1),
    )


def _solved(sums: dict[str, ir.FloatingValue]) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    """J⁻¹ · s of summed evidence, with one more well-known customer whose scores are 0."""
    xx, zz = sums["j_xx"] + _FULL, sums["j_zz"] + _FULL
    xz, x, z = sums["j_xz"], sums["s_x"], sums["s_z"]
    whole = xx * zz - xz * xz
    return (zz * x - xz * z) / whole, (xx * z - xz * x) / whole


def _covariance(rows: ir.Table) -> ir.Table:
    """`t_xx, t_xz, t_zz`: r · rᵀ is expected to be J · T · J over heaps of one customer that differ.

    The sums over all pairs of different heaps, weighted, are three equations for the three members of T.
    """
    taken = ("r_x", "r_z", "j_xx", "j_xz", "j_zz")
    together = rows.group_by("customer", "w").aggregate(**{name: rows[name].sum() for name in taken})
    pairs = _products(together).cross_join(_products(rows).rename("same_{name}"))
    sums = {name: pairs[name] - pairs[f"same_{name}"] for name in _products(rows).columns}
    before = _CUSTOMERS_BEFORE * _FULL**2
    given = [sums[name] + before * t for name, t in zip(("xx", "xz", "zz"), _T_BEFORE, strict=True)]
    table = (
        (sums["j_aa"] + before, 2 * sums["j_ab"], sums["j_bb"]),
        (sums["j_ab"], sums["j_ac"] + sums["j_bb"] + before, sums["j_bc"]),
        (sums["j_bb"], 2 * sums["j_bc"], sums["j_cc"] + before),
    )
    t_xx, t_xz, t_zz = _cramer(table, given)
    found = pairs.select(
        t_xx=ibis.greatest(t_xx, _LEAST_VARIANCE), t_xz=t_xz, t_zz=ibis.greatest(t_zz, _LEAST_VARIANCE)
    )
    most = _MOST_CORRELATED * (found.t_xx * found.t_zz).sqrt()
    return found.mutate(t_xz=ibis.greatest(-most, ibis.least(found.t_xz, most)))


def _products(rows: ir.Table) -> ir.Table:
    """One row: sums of r · rᵀ and of what J · T · J is made of, J being [[a, b], [b, c]]."""
    w = rows.w**2
    a, b, c = rows.j_xx, rows.j_xz, rows.j_zz
    products = {
        **{"xx": rows.r_x * rows.r_x, "xz": rows.r_x * rows.r_z, "zz": rows.r_z * rows.r_z},
        **{"j_aa": a * a, "j_ab": a * b, "j_bb": b * b, "j_ac": a * c, "j_bc": b * c, "j_cc": c * c},
    }
    return rows.aggregate(**{name: (w * product).sum() for name, product in products.items()})


def _cramer(
    table: tuple[tuple[ir.FloatingValue, ...], ...], given: list[ir.FloatingValue]
) -> list[ir.FloatingValue]:
    """The solution of three linear equations, by Cramer's rule."""
    whole = _determinant(table)
    columns = range(len(given))
    return [
        _determinant(
            tuple(
                tuple(given[row] if column == asked else table[row][column] for column in columns)
                for row in columns
            )
        )
        / whole
        for asked in columns
    ]


def _determinant(table: tuple[tuple[ir.FloatingValue, ...], ...]) -> ir.FloatingValue:
    (a, b, c), (d, e, f), (g, h, i) = table
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
