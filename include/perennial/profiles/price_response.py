"""How much more a customer buys when a tenth is off, leaning on what all customers do where little is known.

Given how often a customer bought an item in a stretch of weeks, the purchases fall upon the weeks in which it
was on sale in proportion to

    orders of all customers in the week · exp(curve(d) + a · x(d) + b · z(d)),    d: the discount then,

so what the customer and the item are like anyway cancels (the conditional likelihood of Poisson counts). The
curve is everybody's (`price_curve`); x rises from 0 to 1 over the first tenth off, z over the second; a and b
are the customer's own, and a is all that counts for a tenth off. `evidence` adds up, line by line, the slope
of the log-likelihood and its information at a = b = 0: what each line says, and how sure.

Over customers a and b are taken as normal (`price_population`), and the customer's values are the posterior
ones: empirical Bayes (Morris, Journal of the American Statistical Association 78, 1983). Nothing is iterated.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import NormalDist

import ibis
import ibis.expr.types as ir

from perennial.foundation.engine import kept
from perennial.profiles import price_curve, price_population
from perennial.profiles.price_curve import pieces_of, week_of
from perennial.profiles.price_population import EVIDENCE_COLUMNS, residuals
from perennial.profiles.purchases import HEAPS
from perennial.profiles.settings import PriceResponseSettings

TENTH = 10
"""The discount, in percent, for which the response is given."""
_FINE = 1_000_000
"""Sums are of whole numbers, so many to 1: they do not depend on their order."""
_SURE = NormalDist().inv_cdf(0.975)
_SUMS = ("n", "x", "z", "xx", "xz", "zz")


@dataclass(frozen=True)
class Learnt:
    """What all purchases say of prices.

    Args:
        curve: from `price_curve.curve`.
        evidence: from `evidence`.
        population: from `price_population.population`.
    """

    curve: ir.Table
    evidence: ir.Table
    population: ir.Table


@contextmanager
def learnt(
    lines: ir.Table, orders: ir.Table, items: ir.Table, settings: PriceResponseSettings
) -> Iterator[Learnt]:
    """What the purchases say, computed step by step and kept; arguments as for `price_curve.weeks`."""
    with ExitStack() as stack:

        def keep(rows: ir.Table) -> ir.Table:
            return stack.enter_context(kept(rows))

        weeks = keep(price_curve.weeks(lines, orders, items, settings))
        curve = keep(price_curve.curve(keep(price_curve.ratios(weeks))))
        offered = keep(offers(weeks, curve))
        evidence_rows = keep(evidence(lines, offered, keep(compared(offered)), settings))
        means = keep(price_population.means(evidence_rows))
        yield Learnt(curve, evidence_rows, keep(price_population.population(evidence_rows, means)))


def offers(weeks: ir.Table, curve: ir.Table) -> ir.Table:
    """Each item and week with what was on offer, and how much of it was to be expected.

    Args:
        weeks: from `price_curve.weeks`.
        curve: from `price_curve.curve`.

    Returns:
        `item, week, stretch, first, last` of the weeks, x and z in percent (`at_x, at_z`), and `n`: the
        orders of all customers, times what the discount does.
    """
    rows = weeks.join(curve, "percent")
    return rows.select(
        *("item", "week", "stretch", "first", "last"),
        n=(rows.season * rows.rise.exp() * 1000).round().cast("int64"),
        at_x=ibis.least(rows.percent, TENTH),
        at_z=ibis.least(ibis.greatest(rows.percent - TENTH, 0), TENTH),
    )


def compared(offers: ir.Table) -> ir.Table:
    """The weeks in which several customers bought the item, compared with all of its weeks of the stretch.

    Returns:
        `item, week, stretch, at_x, at_z` of `offers`; the sums of `n`, x, z and their products over all those
        weeks (`all_…`); and what a piece bought in the week tells: the columns `EVIDENCE_COLUMNS`.
    """
    stretches = offers.group_by("item", "stretch").aggregate(**_sums(offers, "all"))
    rows = offers.filter(offers["first"] < offers["last"]).join(stretches, ["item", "stretch"])
    terms = _terms(rows, {name: rows[f"all_{name}"] for name in _SUMS})
    return rows.select("item", "week", "stretch", "at_x", "at_z", *(f"all_{name}" for name in _SUMS), **terms)


def evidence(
    lines: ir.Table, offers: ir.Table, shared: ir.Table, settings: PriceResponseSettings
) -> ir.Table:
    """What purchases say of customers: `customer, fold, s_x, s_z, j_xx, j_xz, j_zz`, a row a heap of items.

    A week that is seen only because the customer bought the item in it says nothing: it is left out, of the
    customer's purchases and of the weeks they are compared with.

    Args:
        lines: as for `price_curve.weeks`.
        offers: what `offers` makes of them.
        shared: what `compared` makes of these.
        settings: the settings.
    """
    alone = offers.filter(offers["first"] == offers["last"]).semi_join(shared, ["item", "stretch"])
    own = alone.group_by("item", "stretch", customer="first").aggregate(**_sums(alone, "own"))
    rows = lines.filter(lines.quantity > 0, lines.list_value > 0)
    rows = rows.select("customer", "item", week=week_of(rows), pieces=pieces_of(rows, settings))
    plain = rows.join(shared.select("item", "week", *EVIDENCE_COLUMNS), ["item", "week"])
    # Few lines need the difference that weeks of the customer's own make, so it is added for them apart.
    placed = rows.mutate(stretch=rows.week // settings.weeks_compared)
    mended = placed.join(own, ["customer", "item", "stretch"]).join(shared.drop("stretch"), ["item", "week"])
    others = _terms(mended, {name: mended[f"all_{name}"] - mended[f"own_{name}"] for name in _SUMS})
    parts = [
        _weighed(plain, plain),
        _weighed(mended, {name: others[name] - mended[name] for name in EVIDENCE_COLUMNS}),
    ]
    both = ibis.union(*parts)
    return both.group_by("customer", "fold").aggregate(
        **{name: both[name].sum() / _FINE for name in EVIDENCE_COLUMNS}
    )


def _sums(offers: ir.Table, of: str) -> dict[str, ir.IntegerValue]:
    """The expected sales, and the same times x, z and their products, added up."""
    x, z = offers.at_x, offers.at_z
    products = {"n": 1, "x": x, "z": z, "xx": x * x, "xz": x * z, "zz": z * z}
    return {f"{of}_{name}": (offers.n * products[name]).sum() for name in _SUMS}


def _weighed(rows: ir.Table, terms: ir.Table | dict[str, ir.IntegerValue]) -> ir.Table:
    """What a piece tells, times the pieces: whole numbers still, but in a form that engines add up faster."""
    weighed = {name: (terms[name] * rows.pieces).cast("float64") for name in EVIDENCE_COLUMNS}
    return rows.select("customer", fold=rows.item % HEAPS, **weighed)


def _terms(rows: ir.Table, sums: dict[str, ir.IntegerValue]) -> dict[str, ir.IntegerValue]:
    """What a piece that was bought at `at_x, at_z` tells, in whole numbers of which `_FINE` make 1.

    Args:
        rows: where it was bought.
        sums: the expected sales of the weeks that it is compared with, times x, z and their products.
    """
    mean = {name: total / sums["n"] for name, total in sums.items()}
    terms = {
        "s_x": (rows.at_x - mean["x"]) / TENTH,
        "s_z": (rows.at_z - mean["z"]) / TENTH,
        "j_xx": (mean["xx"] - mean["x"] * mean["x"]) / TENTH**2,
        "j_xz": (mean["xz"] - mean["x"] * mean["z"]) / TENTH**2,
        "j_zz": (mean["zz"] - mean["z"] * mean["z"]) / TENTH**2,
    }
    return {name: (value * _FINE).round().cast("int64") for name, value in terms.items()}


def responses(learnt: Learnt, customers: ir.Table) -> ir.Table:
    """`customer, price_response`, `_low`, `_high` and `_known` of every customer.

    The response is how many times as much is bought when a tenth is off, with a 95 % interval. A customer of
    whom nothing is known has the population's, in an interval that most of its customers lie in. It is known
    where the customer's own purchases weigh at least as much as the population. No rows if the shop never had
    an item at two different discounts.

    Args:
        learnt: what all purchases say.
        customers: `customer`, whoever shall have a response.
    """
    curve, evidence = learnt.curve, learnt.evidence
    usual = learnt.population.cross_join(curve.filter(curve.percent == TENTH).select("rise"))
    summed = evidence.group_by("customer").aggregate(
        **{name: evidence[name].sum() for name in EVIDENCE_COLUMNS}
    )
    rows = customers.left_join(summed, "customer").drop("customer_right")
    rows = rows.mutate(**{name: rows[name].fill_null(0) for name in EVIDENCE_COLUMNS}).cross_join(usual)
    rows = rows.mutate(**residuals(rows))
    rows = rows.mutate(**_gains(rows))
    rows = rows.mutate(leaning=rows.gain_x * rows.phi / rows.t_xx)
    rows = rows.mutate(
        log=rows.rise + rows.mean_x + rows.gain_x * rows.r_x + rows.gain_z * rows.r_z,
        spread=_SURE * (rows.phi * rows.gain_x + rows.leaning * rows.leaning * rows.mean_variance).sqrt(),
    )
    return rows.select(
        "customer",
        price_response=rows.log.exp(),
        price_response_low=(rows.log - rows.spread).exp(),
        price_response_high=(rows.log + rows.spread).exp(),
        price_response_known=rows.leaning <= 0.5,
    )


def _gains(rows: ir.Table) -> dict[str, ir.FloatingValue]:
    """`gain_x, gain_z`, the first row of T · (φ + J · T)⁻¹: what a surplus of each slope adds to a."""
    a = rows.phi + rows.j_xx * rows.t_xx + rows.j_xz * rows.t_xz
    b = rows.j_xx * rows.t_xz + rows.j_xz * rows.t_zz
    c = rows.j_xz * rows.t_xx + rows.j_zz * rows.t_xz
    d = rows.phi + rows.j_xz * rows.t_xz + rows.j_zz * rows.t_zz
    whole = a * d - b * c
    return {
        "gain_x": (rows.t_xx * d - rows.t_xz * c) / whole,
        "gain_z": (rows.t_xz * a - rows.t_xx * b) / whole,
    }
