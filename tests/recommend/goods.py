"""Small catalogues and histories, and the rules applied to one item at a time by the simplest code."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.lists.eligibility import EligibilityRules
from perennial.recommend.settings import Again, EligibilitySettings, ItemSelector

Goods = Mapping[str, tuple[str | None, str | None]]
"""Items with their category and brand."""

GOODS: Goods = {
    "ale": ("Drinks > Beer > Ale", "North"),
    "lager": ("Drinks > Beer > Lager", "South"),
    "juice": ("Drinks > Juice", "South"),
    "cot": ("Baby > Beds", "North"),
    "milk": ("Baby > Food > Milk", "North"),
    "fridge": ("Kitchen > Fridges", "Cool"),
    "freezer": ("Kitchen > Fridges", "Cool"),
    "novel": ("Books", None),
    "poems": ("Books", None),
    "thing": (None, None),
}


def catalogue_of(goods: Goods = GOODS) -> Catalogue:
    """Items with a category and a brand."""
    columns = {
        "item_id": list(goods),
        "title": list(goods),
        "category": pa.array([category for category, _ in goods.values()], pa.string()),
        "brand": pa.array([brand for _, brand in goods.values()], pa.string()),
    }
    return Catalogue.of(pa.table(columns))


def history_of(catalogue: Catalogue, bought: Mapping[str, Sequence[tuple[str, int]]]) -> PurchaseHistory:
    """What each customer bought; each (item, days ago) is an order; a customer may have bought nothing."""
    lines = [(row, item, age) for row, orders in enumerate(bought.values()) for item, age in orders]
    rows, items, ages = zip(*lines, strict=True) if lines else ((), (), ())
    ones = np.ones(len(lines), np.float32)
    return PurchaseHistory(
        customer_ids=np.array(list(bought), object),
        starts=np.searchsorted(np.array(rows), np.arange(len(bought) + 1)),
        width=len(catalogue),
        items=catalogue.find(pa.array(items, pa.string())).astype(np.int32),
        ages=np.array(ages, np.int32),
        orders=np.arange(len(lines), dtype=np.int32),
        quantities=ones,
        paid=ones,
        listed=ones,
    )


def rules_of(written: Mapping[str, object], catalogue: Catalogue) -> EligibilityRules:
    """The rules of these settings; all items are available."""
    return EligibilityRules.of(
        EligibilitySettings.model_validate(written), catalogue, np.ones(len(catalogue), bool)
    )


class PlainRules:
    """The same rules for one item and one customer at a time, by names instead of codes."""

    def __init__(self, written: Mapping[str, object], goods: Goods) -> None:
        self.settings, self.goods = EligibilitySettings.model_validate(written), goods

    def matches(self, selector: ItemSelector, item: str) -> bool:
        """Does the selector select the item?"""
        category, brand = self.goods[item]
        levels = (category or "").split(" > ")[:3]
        paths = {" > ".join(levels[: depth + 1]) for depth in range(3)} | set(levels)
        return (
            (selector.category is None or selector.category in paths)
            and (selector.brand is None or selector.brand == brand)
            and (selector.item is None or selector.item == item)
        )

    def eligible(self, item: str, bought: Sequence[tuple[str, int]], *, adult: bool) -> bool:
        """May the item be shown to a customer with these purchases?"""
        if any(self.matches(selector, item) for selector in self.settings.never):
            return False
        if not adult and any(self.matches(selector, item) for selector in self.settings.adults_only):
            return False
        for rule in self.settings.bought_for_good:
            recent = {name for name, age in bought if age < rule.days and self.matches(rule, name)}
            if self.matches(rule, item) and (item in recent or (recent and rule.again is Again.NOTHING)):
                return False
        return True

    def fits(self, item: str, listed: Sequence[str]) -> bool:
        """May the item be in a list with these items?"""
        for left, right in self.settings.apart:
            for first, second in ((left, right), (right, left)):
                if self.matches(first, item) and any(self.matches(second, beside) for beside in listed):
                    return False
        keys = [(self._path(level), most) for level, most in enumerate(self.settings.most.category)]
        keys.append((lambda name: self.goods[name][1], self.settings.most.brand))
        return all(
            most is None or key(item) is None or sum(key(item) == key(beside) for beside in listed) < most
            for key, most in keys
        )

    def _path(self, level: int) -> Callable[[str], str | None]:
        def of(name: str) -> str | None:
            category = self.goods[name][0]
            return None if category is None else " > ".join(category.split(" > ")[: level + 1])

        return of

    def greedy(self, best_first: Sequence[str], k: int) -> list[str]:
        """The list of a customer who may be shown all of these items."""
        listed: list[str] = []
        for item in best_first:
            if len(listed) < k and self.fits(item, listed):
                listed.append(item)
        return listed
