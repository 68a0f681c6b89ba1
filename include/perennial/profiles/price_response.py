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
from perennial.profiles.drawing import PriceResponse
from perennial.profiles.price_curve import pieces_of, week_of
from perennial.profiles.price_population import TOLD, residuals
from perennial.profiles.purchases import HEAPS

TENTH = 10
"""Percent off that the response is told for."""
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
def learnt(lines: ir.Table, orders: ir.Table, items: ir.Table, chosen: PriceResponse) -> Iterator[Learnt]:
    """What the purchases say, computed step by step and held; arguments as for `price_curve.weeks`."""
    with ExitStack() as stack:

        def held(rows: ir.Table) -> ir.Table:
            return stack.enter_context(kept(rows))

        weeks = held(price_curve.weeks(lines, orders, items, chosen))
        curve = held(price_curve.curve(held(price_curve.ratios(weeks))))
        told = held(evidence(lines, held(offers(weeks, curve)), chosen))
        means = held(price_population.means(told))
        yield Learnt(curve, told, held(price_population.population(told, means)))


def offers(weeks: ir.Table, curve: ir.Table) -> ir.Table:
    """Each item and week with what a piece bought in it tells, and what it is compared with.

    The expected sales are the orders of all customers, times what the discount does: `n` of a week, and with
    x, z and their products `x, z, xx, xz, zz`. Their sums over the item's weeks of the stretch are `all_…`.

    Args:
        weeks: from `price_curve.weeks`.
        curve: from `price_curve.curve`.
    """
    rows = weeks.join(curve, "percent")
    rows = rows.mutate(
        n=(rows.season * rows.rise.exp() * 1000).round().cast("int64"),
        at_x=ibis.least(rows.percent, TENTH),
        at_z=ibis.least(ibis.greatest(rows.percent - TENTH, 0), TENTH),
    )
    x, z = rows.at_x, rows.at_z
    products = {"n": 1, "x": x, "z": z, "xx": x * x, "xz": x * z, "zz": z * z}
    rows = rows.mutate(**{name: rows.n * products[name] for name in _SUMS})
    stretch = ibis.window(group_by=["item", "stretch"])
    rows = rows.mutate(**{f"all_{name}": rows[name].sum().over(stretch) for name in _SUMS})
    told = _told(rows, {name: rows[f"all_{name}"] for name in _SUMS})
    kept = ("item", "week", "stretch", "first", "last", "at_x", "at_z", *_SUMS, *(f"all_{n}" for n in _SUMS))
    return rows.select(*kept, **told)


def evidence(lines: ir.Table, offers: ir.Table, chosen: PriceResponse) -> ir.Table:
    """What purchases say of customers: `customer, fold, s_x, s_z, j_xx, j_xz, j_zz`, a row a heap of items.

    A week that is seen only because the customer bought the item in it says nothing: it is left out, of the
    customer's purchases and of the weeks they are compared with.

    Args:
        lines: as for `price_curve.weeks`.
        offers: what `offers` makes of them.
        chosen: the settings.
    """
    alone = offers.filter(offers["first"] == offers["last"])
    alone = alone.group_by("item", "stretch", customer="first").aggregate(
        **{f"own_{name}": alone[name].sum() for name in _SUMS}
    )
    shared = offers.filter(offers["first"] < offers["last"])
    rows = lines.filter(lines.quantity > 0, lines.list_value > 0)
    rows = rows.select("customer", "item", week=week_of(rows), pieces=pieces_of(rows, chosen))
    plain = rows.join(shared.select("item", "week", *TOLD), ["item", "week"])
    # Few lines need the difference that weeks of the customer's own make, so it is added for them apart.
    mended = rows.join(shared, ["item", "week"]).join(alone, ["customer", "item", "stretch"])
    others = _told(mended, {name: mended[f"all_{name}"] - mended[f"own_{name}"] for name in _SUMS})
    parts = [_weighed(plain, plain), _weighed(mended, {name: others[name] - mended[name] for name in TOLD})]
    both = ibis.union(*parts)
    return both.group_by("customer", "fold").aggregate(**{name: both[name].sum() / _FINE for name in TOLD})


def _weighed(rows: ir.Table, told: ir.Table | dict[str, ir.IntegerValue]) -> ir.Table:
    """What a piece tells, times the pieces."""
    return rows.select(
        "customer", fold=rows.item % HEAPS, **{name: told[name] * rows.pieces for name in TOLD}
    )


def _told(rows: ir.Table, sums: dict[str, ir.IntegerValue]) -> dict[str, ir.IntegerValue]:
    """What a piece that was bought at `at_x, at_z` tells, in whole numbers of which `_FINE` make 1.

    Args:
        rows: where it was bought.
        sums: the expected sales of the weeks that it is compared with, times x, z and their products.
    """
    mean = {name: total / sums["n"] for name, total in sums.items()}
    told = {
        "s_x": (rows.at_x - mean["x"]) / TENTH,
        "s_z": (rows.at_z - mean["z"]) / TENTH,
        "j_xx": (mean["xx"] - mean["x"] * mean["x"]) / TENTH**2,
        "j_xz": (mean["xz"] - mean["x"] * mean["z"]) / TENTH**2,
        "j_zz": (mean["zz"] - mean["z"] * mean["z"]) / TENTH**2,
    }
    return {name: (value * _FINE).round().cast("int64") for name, value in told.items()}


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
    found = evidence.group_by("customer").aggregate(**{name: evidence[name].sum() for name in TOLD})
    rows = customers.left_join(found, "customer").drop("customer_right")
    rows = rows.mutate(**{name: rows[name].fill_null(0) for name in TOLD}).cross_join(usual)
    rows = rows.mutate(**residuals(rows))
    gain_x, gain_z = _gains(rows)
    leaning = gain_x * rows.phi / rows.t_xx
    log = rows.rise + rows.mean_x + gain_x * rows.r_x + gain_z * rows.r_z
    spread = _SURE * (rows.phi * gain_x + leaning * leaning * rows.mean_variance).sqrt()
    return rows.select(
        "customer",
        price_response=log.exp(),
        price_response_low=(log - spread).exp(),
        price_response_high=(log + spread).exp(),
        price_response_known=leaning <= 0.5,
    )


def _gains(rows: ir.Table) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    """The first row of T · (φ + J · T)⁻¹: what a surplus of each slope adds to a."""
    a = rows.phi + rows.j_xx * rows.t_xx + rows.j_xz * rows.t_xz
    b = rows.j_xx * rows.t_xz + rows.j_xz * rows.t_zz
    c = rows.j_xz * rows.t_xx + rows.j_zz * rows.t_xz
    d = rows.phi + rows.j_xz * rows.t_xz + rows.j_zz * rows.t_zz
    whole = a * d - b * c
    return (rows.t_xx * d - rows.t_xz * c) / whole, (rows.t_xz * a - rows.t_xx * b) / whole
