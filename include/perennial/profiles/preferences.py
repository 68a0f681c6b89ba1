"""What a customer likes: categories and brands of what was bought, recent purchases weighing more."""

import ibis
import ibis.expr.types as ir

from perennial.profiles.drawing import Preferences

KEPT = 10
"""How many categories and brands a profile names."""


def telling(items: ir.Table, chosen: Preferences) -> ir.Table:
    """The items that say something about taste: those whose widest category the settings do not leave out."""
    widest = items.category.split(" > ")[0]
    return items.filter(~widest.isin(chosen.left_out).fill_null(False))


def categories(weights: ir.Table, items: ir.Table, chosen: Preferences) -> ir.Table:
    """`customer, categories`: up to ten, heaviest first, each with its share of all the weight.

    Args:
        weights: `customer, item, weight`.
        items: `item, category` of the items that count.
        chosen: the level of the category's path; a shorter path counts with its last level.
    """
    levels = items.category.split(" > ")
    level = levels[ibis.least(chosen.category_level, levels.length()) - 1]
    return _heaviest(weights, items.select("item", name=level)).rename(categories="heaviest")


def brands(weights: ir.Table, items: ir.Table) -> ir.Table:
    """`customer, brands`: the same for brands, from `item, brand` of the items that count."""
    return _heaviest(weights, items.select("item", name=items.brand)).rename(brands="heaviest")


def _heaviest(weights: ir.Table, named: ir.Table) -> ir.Table:
    """The ten heaviest names of each customer as a list of `name, weight`; equal weights by name."""
    named = named.filter(named.name.notnull())
    # Places of the names in the alphabet: numbers are quicker to group by, and break ties as the names would.
    placed = named.mutate(place=ibis.dense_rank().over(ibis.window(order_by="name")))
    names = placed.select("name", "place").distinct()
    pairs = weights.join(placed.select("item", "place"), "item")
    sums = pairs.group_by("customer", "place").aggregate(weight=pairs.weight.sum())
    order = ibis.window(group_by="customer", order_by=[ibis.desc("weight"), "place"])
    shares = sums.mutate(
        share=sums.weight / sums.weight.sum().over(ibis.window(group_by="customer")).nullif(0),
        rank=ibis.row_number().over(order),
    )
    kept = shares.filter(shares["rank"] < KEPT, shares.share.notnull()).join(names, "place")
    ranked = ibis.struct({"rank": kept["rank"], "name": kept.name, "weight": kept.share}).collect()
    lists = kept.group_by("customer").aggregate(ranked=ranked)
    return lists.select(
        "customer",
        heaviest=lists.ranked.sort().map(
            lambda one: ibis.struct({"name": one["name"], "weight": one["weight"]})
        ),
    )
