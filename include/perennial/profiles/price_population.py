"""How customers differ in their response to prices: what `price_response` leans on.

A customer's scores in a heap of items (slopes of the log-likelihood, s) have the expectation J · (a, b), J
being their information. Scores of different heaps have nothing in common but the customer, so their products
show how much customers differ, however unevenly each buys; what scores vary beyond that is overdispersion.

A little is thought to be known beforehand, so that a small shop has sensible values, too.
"""

import ibis
import ibis.expr.types as ir

_EXACT = "decimal(38, 9)"
"""Sums of decimals do not depend on their order."""
_FINE = 1_000_000_000
EVIDENCE_COLUMNS = ("s_x", "s_z", "j_xx", "j_xz", "j_zz")
"""The columns of evidence: scores and their information."""
_FULL = 33.0
"""Information of a well-known customer: with more of it nobody counts for much more."""
_CUSTOMERS_BEFORE = 10
"""So many well-known customers are thought to have been seen beforehand, with these values:"""
_T_BEFORE, _PHI_BEFORE = (0.06, 0.03, 0.03), 2.0
_LEAST_VARIANCE, _MOST_CORRELATED = 1e-3, 0.95


def means(evidence: ir.Table) -> ir.Table:
    """One row: `mean_x, mean_z` of a and b, and `mean_variance` of `mean_x` as an estimate.

    No row if nothing was ever on offer at two discounts. The variance is seen by leaving out one heap of
    items after the other.

    Args:
        evidence: `customer, fold` and the columns `EVIDENCE_COLUMNS`, one row a customer and heap of items.
    """
    rows = _weighted(evidence)
    heaps = rows.group_by("fold").aggregate(
        **{name: (rows.w * rows[name]).cast(_EXACT).sum() for name in EVIDENCE_COLUMNS}
    )
    every = ibis.window()
    heaps = heaps.mutate(**{f"all_{name}": heaps[name].sum().over(every) for name in EVIDENCE_COLUMNS})
    mean_x, mean_z = _solved({name: heaps[f"all_{name}"] for name in EVIDENCE_COLUMNS})
    without, _ = _solved({name: heaps[f"all_{name}"] - heaps[name] for name in EVIDENCE_COLUMNS})
    groups = heaps.filter(heaps.all_j_xx > 0)
    groups = groups.select(mean_x=mean_x, mean_z=mean_z, without=(without * _FINE).round().cast("int64"))
    groups = groups.aggregate(
        mean_x=groups.mean_x.max(),
        mean_z=groups.mean_z.max(),
        n=groups.count(),
        total=groups.without.sum(),
        squares=(groups.without * groups.without).sum(),
    )
    spread = (groups.n * groups.squares - groups.total * groups.total) / (groups.n * groups.n) / _FINE**2
    return groups.filter(groups.n > 0).select("mean_x", "mean_z", mean_variance=spread * (groups.n - 1))


def population(evidence: ir.Table, means: ir.Table) -> ir.Table:
    """The row of `means` with `t_xx, t_xz, t_zz` and `phi`.

    T is the covariance matrix of a and b: r · rᵀ, r being scores less what the means let expect, is expected
    to be J · T · J over heaps of one customer that differ, so the sums over all pairs of different heaps are
    three equations for the three members of T. `phi` is what scores vary beyond J · T · J, ÷ their
    information.

    Args:
        evidence: as for `means`.
        means: the result of `means`.
    """
    rows = _weighted(evidence).cross_join(means)
    rows = rows.mutate(**residuals(rows))
    taken = ("r_x", "r_z", "j_xx", "j_xz", "j_zz")
    whole = rows.group_by("customer", "w").aggregate(**{name: rows[name].sum() for name in taken})
    each = rows.aggregate(**_products(rows), **_variances(rows))
    sums = whole.aggregate(**_products(whole)).rename("whole_{name}").cross_join(each)
    joined = means.cross_join(_covariance(sums))
    of_t = joined.phi_aa * joined.t_xx + 2 * joined.phi_ab * joined.t_xz + joined.phi_bb * joined.t_zz
    before = _CUSTOMERS_BEFORE * _FULL
    phi = (joined.phi_rr - of_t + _PHI_BEFORE * before) / (joined.phi_j + before)
    names = (*means.columns, "t_xx", "t_xz", "t_zz")
    return joined.select(*names, phi=ibis.greatest(phi, _LEAST_VARIANCE))


def residuals(rows: ir.Table) -> dict[str, ir.FloatingValue]:
    """`r_x, r_z`: the scores less what the population's means let expect."""
    return {
        "r_x": rows.s_x - rows.j_xx * rows.mean_x - rows.j_xz * rows.mean_z,
        "r_z": rows.s_z - rows.j_xz * rows.mean_x - rows.j_zz * rows.mean_z,
    }


def _weighted(evidence: ir.Table) -> ir.Table:
    """The evidence with the weight `w` of the customer: up to a point who is known better counts for more."""
    information = (evidence.j_xx + evidence.j_zz).sum().over(ibis.window(group_by="customer"))
    return evidence.mutate(w=1 / (1 + information / _FULL))


def _solved(sums: dict[str, ir.DecimalValue]) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    """J⁻¹ · s of summed evidence, with one more well-known customer whose scores are 0."""
    x, z, xx, xz, zz = (sums[name].cast("float64") for name in EVIDENCE_COLUMNS)
    xx, zz = xx + _FULL, zz + _FULL
    whole = xx * zz - xz * xz
    return (zz * x - xz * z) / whole, (xx * z - xz * x) / whole


def _products(rows: ir.Table) -> dict[str, ir.FloatingValue]:
    """Sums of r · rᵀ and of what J · T · J is made of, J being [[a, b], [b, c]]."""
    w, a, b, c = rows.w**2, rows.j_xx, rows.j_xz, rows.j_zz
    products = {
        **{"xx": rows.r_x * rows.r_x, "xz": rows.r_x * rows.r_z, "zz": rows.r_z * rows.r_z},
        **{"aa": a * a, "ab": a * b, "bb": b * b, "ac": a * c, "bc": b * c, "cc": c * c},
    }
    return {name: _sum(w * product) for name, product in products.items()}


def _sum(values: ir.FloatingValue) -> ir.FloatingValue:
    return values.cast(_EXACT).sum().cast("float64")


def _variances(rows: ir.Table) -> dict[str, ir.FloatingValue]:
    """Sums of the squares of `r_x`, of its information, and of what J · T · J is made of."""
    w, a, b = rows.w, rows.j_xx, rows.j_xz
    products = {"rr": rows.r_x * rows.r_x, "j": a, "aa": a * a, "ab": a * b, "bb": b * b}
    return {f"phi_{name}": _sum(w * product) for name, product in products.items()}


def _covariance(sums: ir.Table) -> ir.Table:
    """The row with `t_xx, t_xz, t_zz`: pairs of different heaps are all pairs less a heap with itself."""
    names = ("xx", "xz", "zz", "aa", "ab", "bb", "ac", "bc", "cc")
    pairs = {name: sums[f"whole_{name}"] - sums[name] for name in names}
    before = _CUSTOMERS_BEFORE * _FULL**2
    given = [pairs[name] + before * t for name, t in zip(("xx", "xz", "zz"), _T_BEFORE, strict=True)]
    table = (
        (pairs["aa"] + before, 2 * pairs["ab"], pairs["bb"]),
        (pairs["ab"], pairs["ac"] + pairs["bb"] + before, pairs["bc"]),
        (pairs["bb"], 2 * pairs["bc"], pairs["cc"] + before),
    )
    t_xx, t_xz, t_zz = _cramer(table, given)
    least = {"t_xx": ibis.greatest(t_xx, _LEAST_VARIANCE), "t_zz": ibis.greatest(t_zz, _LEAST_VARIANCE)}
    bounded = sums.mutate(t_xz=t_xz, **least)
    most = _MOST_CORRELATED * (bounded.t_xx * bounded.t_zz).sqrt()
    return bounded.mutate(t_xz=ibis.greatest(-most, ibis.least(bounded.t_xz, most)))


def _cramer(
    table: tuple[tuple[ir.FloatingValue, ...], ...], given: list[ir.FloatingValue]
) -> list[ir.FloatingValue]:
    """The solution of three linear equations, by Cramer's rule."""
    places = range(3)
    tables = (
        tuple(
            tuple(given[row] if column == place else table[row][column] for column in places)
            for row in places
        )
        for place in places
    )
    return [_determinant(each) / _determinant(table) for each in tables]


def _determinant(table: tuple[tuple[ir.FloatingValue, ...], ...]) -> ir.FloatingValue:
    (a, b, c), (d, e, f), (g, h, i) = table
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
