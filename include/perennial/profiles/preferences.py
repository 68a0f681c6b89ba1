"""A customer's preferred categories and brands, from purchases; recent purchases have more weight."""

import ibis
import ibis.expr.types as ir

from perennial.profiles.purchases import UNIT
from perennial.profiles.settings import PreferencesSettings

KEPT = 10
"""How many categories and brands a profile names."""


def relevant_items(items: ir.Table, settings: PreferencesSettings) -> ir.Table:
    """The items that count for taste: those whose widest category is not in the setting `left_out`."""
    widest = items.category.split(" > ")[0]
    return items.filter(~widest.isin(settings.left_out).fill_null(False))


def categories(
    weights: ir.Table, items: ir.Table, customers: ir.Table, settings: PreferencesSettings
) -> ir.Table:
    """`customer, categories`: up to ten with the largest shares, which are of all of the shop's categories.

    share = (weight of the customer's purchases of it + k · everybody's share) ÷ (weight of all + k), with k
    `purchases_of_population`: the posterior mean of a Dirichlet prior (Gelman et al., Bayesian Data Analysis,
    3rd ed., 2013, section 3.4). A customer who bought nothing has everybody's.

    Args:
        weights: `customer, item, weight`.
        items: `item, category` of the items that count.
        customers: `customer`, whoever shall have preferences.
        settings: k, and the level of the category's path; a shorter path counts with its last level.
    """
    levels = items.category.split(" > ")
    level = levels[ibis.least(settings.category_level, levels.length()) - 1]
    named = items.select("item", name=level)
    return _largest(weights, named, customers, settings.purchases_of_population).rename(categories="largest")


def brands(
    weights: ir.Table, items: ir.Table, customers: ir.Table, settings: PreferencesSettings
) -> ir.Table:
    """`customer, brands`: the same for brands, from `item, brand` of the items that count."""
    named = items.select("item", name=items.brand)
    return _largest(weights, named, customers, settings.purchases_of_population).rename(brands="largest")


def _largest(weights: ir.Table, named: ir.Table, customers: ir.Table, k: float) -> ir.Table:
    """The ten names with the largest shares as a list of `name, weight`; equal shares by name."""
    named = named.filter(named.name.notnull())
    # Places of the names in the alphabet: numbers are quicker to group by, and break ties as the names would.
    placed = named.mutate(place=ibis.dense_rank().over(ibis.window(order_by="name")))
    own = weights.join(placed.select("item", "place"), "item")
    own = own.group_by("customer", "place").aggregate(weight=own.weight.sum())
    everybody = own.group_by("place").aggregate(weight=own.weight.sum())
    usual = everybody.select(
        "place", usual=everybody.weight / everybody.weight.sum().over(ibis.window()).nullif(0)
    )
    # Of what a customer never bought, only everybody's first ten can be among the customer's.
    first = usual.order_by(ibis.desc("usual"), "place").limit(KEPT).select("place")
    others = customers.select("customer").distinct().cross_join(first).anti_join(own, ["customer", "place"])
    both = own.union(others.mutate(weight=ibis.literal(0, "int64"))).join(usual, "place")
    # By a join, which takes engines less time than a window.
    totals = own.group_by("customer").aggregate(total=own.weight.sum())
    sums = both.left_join(totals, "customer")
    whole = (sums.total.fill_null(0) / UNIT + k).nullif(0)
    shares = sums.select("customer", "place", share=(sums.weight / UNIT + k * sums.usual) / whole)
    order = ibis.window(group_by="customer", order_by=[ibis.desc("share"), "place"])
    ranked = shares.filter(shares.share > 0).mutate(rank=ibis.row_number().over(order))
    names = placed.select("name", "place").distinct()
    kept = ranked.filter(ranked["rank"] < KEPT).join(names, "place")
    listed = ibis.struct({"rank": kept["rank"], "name": kept.name, "weight": kept.share}).collect()
    lists = kept.group_by("customer").aggregate(listed=listed)
    return lists.select(
        "customer",
        largest=lists.listed.sort().map(
            lambda one: ibis.struct({"name": one["name"], "weight": one["weight"]})
        ),
    )
