"""How much a customer may want what nobody has bought yet: by its kind, its brand and its text.

An item without purchases is taken for one of its line (brand within a category; where nobody has bought of
the line either, its kind): what new items of the kind came to lately, times how much more than others the
customer buys of the line, times e to the cosine of the customer's taste and the item's text.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.recommend.arrays import sparse_products
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.settings import ExplorationSettings, PurchaseWeighting
from perennial.recommend.sources.content import Content

NEW_DAYS = 91
"""For so long an item is new."""
_WINDOW_DAYS = 28
_MEAN_ITEMS = 3
"""New items of mean luck that are added to those of a kind."""
_USUAL_PURCHASES = 20
"""Purchases like everybody's that are added to a customer's."""
_LEAST = np.float32(1e-9)
_GROUPS = ("kind", "brand_line")


@dataclass(frozen=True)
class NewItems:
    """Items of a catalogue that are asked about.

    Args:
        content: their texts.
        luck: how many buyers the mean new item of their kind had lately, shape (items,).
        usual: of kinds and lines the share that each has in what everybody buys.
        level: makes a score the probability of a purchase within the window, by what new items came to.
    """

    content: Content
    luck: Float32Array
    usual: dict[str, Float32Array]
    level: float

    @property
    def items(self) -> IntArray:
        """Rows of the items asked about."""
        return self.content.pool

    @classmethod
    def fit(
        cls, history: PurchaseHistory, catalogue: Catalogue, items: IntArray, chosen: PurchaseWeighting
    ) -> Self:
        """Learn from what everybody bought.

        Args:
            history: of all customers.
            catalogue: what they bought, and what is asked about.
            items: rows of what is asked about.
            chosen: how purchases count.
        """
        kind, buyers = catalogue.groups["kind"], np.bincount(history.bought.indices, minlength=len(catalogue))
        first = np.zeros(len(catalogue), np.int32)
        np.maximum.at(first, history.items, history.ages)
        new = (buyers > 0) & (first < NEW_DAYS)
        found, count = np.bincount(kind, new * buyers), np.bincount(kind, new)
        luck = (found + _MEAN_ITEMS * found.sum() / max(1, count.sum())) / (count + _MEAN_ITEMS)
        usual = {}
        for name in _GROUPS:
            group = catalogue.groups[name]
            lines = np.bincount(group[history.items], minlength=int(group.max(initial=0)) + 1)
            usual[name] = (lines / max(1, len(history.items))).astype(np.float32)
        days = float(first[new].mean()) if new.any() else float(NEW_DAYS)
        level = _WINDOW_DAYS / max(1.0, days) / max(1, len(history))
        return cls(Content(catalogue, items, chosen), luck[kind[items]].astype(np.float32), usual, level)

    def scores(self, block: PurchaseHistory) -> Float32Array:
        """Above 0; for customers without purchases the same for all. Shape (customers, items)."""
        bought = block.weights(self.content.weighing.half_life_days)
        own = sparse_products.times_sparse(bought, self._members)
        total = np.asarray(bought.sum(axis=1), np.float32)[:, None]
        usual = _USUAL_PURCHASES * self._shares
        lift = (own + usual) / ((total + _USUAL_PURCHASES) * self._shares)
        found: Float32Array = self.luck * lift[:, self._columns[1]] * np.exp(self.content.cosines(block))
        return found

    def probability(self, block: PurchaseHistory) -> Float32Array:
        """P(bought within the window), roughly, shape (customers, items)."""
        return np.minimum(self.level * self.scores(block), 1)

    def evidence(self, history: PurchaseHistory, rows: IntArray, items: IntArray) -> IntArray:
        """The item bought whose text is most like that of an item asked about, −1 for none, shape (n,)."""
        if not len(self.items):
            return items
        return self.content.nearest_purchase(history, rows, items)

    def save(self, path: Path) -> None:
        """Write it as one file, without pickle; the catalogue is kept by whoever holds it."""
        usual = {f"usual_{name}": share for name, share in self.usual.items()}
        np.savez(path, items=self.items, luck=self.luck, level=self.level, **usual)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, catalogue: Catalogue, chosen: PurchaseWeighting) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as held:
            usual = {name: held[f"usual_{name}"] for name in _GROUPS}
            return cls(Content(catalogue, held["items"], chosen), held["luck"], usual, float(held["level"]))

    @cached_property
    def _columns(self) -> tuple[IntArray, IntArray]:
        """The groups that items asked about are judged by, kinds numbered behind lines, and each item's."""
        catalogue, lines = self.content.catalogue, self.usual["brand_line"]
        kind, line = (catalogue.groups[name][self.items] for name in _GROUPS)
        return np.unique(np.where(lines[line] > 0, line, len(lines) + kind), return_inverse=True)

    @cached_property
    def _shares(self) -> Float32Array:
        """What each of these groups has in what everybody buys, above 0, shape (groups,)."""
        both = np.r_[self.usual["brand_line"], self.usual["kind"]]
        return np.maximum(both[self._columns[0]], _LEAST).astype(np.float32)

    @cached_property
    def _members(self) -> sparse.csr_array:
        """Which items of the catalogue are of each of these groups, shape (catalogue, groups)."""
        groups, lines = self.content.catalogue.groups, len(self.usual["brand_line"])
        items = np.arange(len(self.content.catalogue))
        at = np.r_[items, items], np.r_[groups["brand_line"], lines + groups["kind"]]
        ones, shape = np.ones(2 * len(items), np.float32), (len(items), lines + len(self.usual["kind"]))
        return sparse.csr_array((ones, at), shape=shape)[:, self._columns[0]]


def newest_items(
    history: PurchaseHistory,
    catalogue: Catalogue,
    listed: IntArray,
    available: BoolArray,
    chosen: ExplorationSettings,
) -> IntArray:
    """Rows of the available items that are new and hardly bought yet, ascending.

    An item is new for 91 days after it entered the catalogue; where that is not known, after its first sale.

    Args:
        history: of all customers.
        catalogue: the items.
        listed: days since each item entered the catalogue, −1 where not known, shape (items,).
        available: may it be sold, shape (items,).
        chosen: how few buyers, and how many items.
    """
    buyers = np.bincount(history.bought.indices, minlength=len(catalogue))
    first = np.full(len(catalogue), -1, np.int64)
    np.maximum.at(first, history.items, history.ages)
    age = np.where(listed >= 0, listed, first)
    found = np.flatnonzero(available & (age >= 0) & (age < NEW_DAYS) & (buyers <= chosen.few_buyers))
    kind = catalogue.groups["kind"]
    weight = np.bincount(kind, buyers)[kind[found]]
    return np.sort(found[np.argsort(-weight, kind="stable")[: chosen.items]])
