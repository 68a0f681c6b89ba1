"""Scores for items that nobody has bought yet: by kind, brand and text.

An item without purchases is scored like its line (brand within a category; its kind, if nobody has bought
of the line either): how many buyers new items of the kind got lately, times how much more than others the
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
"""So many new items of average success are added to those of a kind (shrinkage)."""
_USUAL_PURCHASES = 20
"""So many purchases like everybody's are added to a customer's (shrinkage)."""
_LEAST = np.float32(1e-9)
_GROUPS = ("kind", "brand_line")


@dataclass(frozen=True)
class NewItems:
    """The new items of a catalogue.

    Args:
        content: their texts.
        luck: how many buyers the average new item of their kind got lately, shape (items,).
        usual: share of each kind and each line in what everybody buys.
        level: the factor that makes a score a probability of a purchase within the window.
    """

    content: Content
    luck: Float32Array
    usual: dict[str, Float32Array]
    level: float

    @property
    def items(self) -> IntArray:
        """Rows of the new items."""
        return self.content.pool

    @classmethod
    def fit(
        cls, history: PurchaseHistory, catalogue: Catalogue, items: IntArray, weighing: PurchaseWeighting
    ) -> Self:
        """Learn from what everybody bought.

        Args:
            history: of all customers.
            catalogue: with the new items.
            items: rows of the new items.
            weighing: of purchases.
        """
        kind, buyers = catalogue.groups["kind"], np.bincount(history.bought.indices, minlength=len(catalogue))
        age = np.zeros(len(catalogue), np.int32)
        np.maximum.at(age, history.items, history.ages)
        is_new = (buyers > 0) & (age < NEW_DAYS)
        buyers_of_new, count = np.bincount(kind, is_new * buyers), np.bincount(kind, is_new)
        luck = (buyers_of_new + _MEAN_ITEMS * buyers_of_new.sum() / max(1, count.sum())) / (
            count + _MEAN_ITEMS
        )
        usual = {}
        for name in _GROUPS:
            group = catalogue.groups[name]
            lines = np.bincount(group[history.items], minlength=int(group.max(initial=0)) + 1)
            usual[name] = (lines / max(1, len(history.items))).astype(np.float32)
        days = float(age[is_new].mean()) if is_new.any() else float(NEW_DAYS)
        level = _WINDOW_DAYS / max(1.0, days) / max(1, len(history))
        return cls(Content(catalogue, items, weighing), luck[kind[items]].astype(np.float32), usual, level)

    def scores(self, block: PurchaseHistory) -> Float32Array:
        """Above 0, the same for all customers without purchases. Shape (customers, items)."""
        bought = block.weights(self.content.weighing.half_life_days)
        own = sparse_products.times_sparse(bought, self._members)
        total = np.asarray(bought.sum(axis=1), np.float32)[:, None]
        usual = _USUAL_PURCHASES * self._shares
        lift = (own + usual) / ((total + _USUAL_PURCHASES) * self._shares)
        scores: Float32Array = self.luck * lift[:, self._columns[1]] * np.exp(self.content.cosines(block))
        return scores

    def probability(self, block: PurchaseHistory) -> Float32Array:
        """P(bought within the window), roughly, shape (customers, items)."""
        return np.minimum(self.level * self.scores(block), 1)

    def evidence(self, history: PurchaseHistory, rows: IntArray, items: IntArray) -> IntArray:
        """The item bought whose text is most like that of a new item, −1 for none, shape (n,)."""
        if not len(self.items):
            return items
        return self.content.nearest_purchase(history, rows, items)

    def save(self, path: Path) -> None:
        """Write it as one file, without pickle; the catalogue is kept by whoever holds it."""
        usual = {f"usual_{name}": share for name, share in self.usual.items()}
        np.savez(path, items=self.items, luck=self.luck, level=self.level, **usual)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, catalogue: Catalogue, weighing: PurchaseWeighting) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            usual = {name: arrays[f"usual_{name}"] for name in _GROUPS}
            return cls(
                Content(catalogue, arrays["items"], weighing), arrays["luck"], usual, float(arrays["level"])
            )

    @cached_property
    def _columns(self) -> tuple[IntArray, IntArray]:
        """Groups by which new items are scored, kinds numbered after lines; and the group of each item."""
        catalogue, lines = self.content.catalogue, self.usual["brand_line"]
        kind, line = (catalogue.groups[name][self.items] for name in _GROUPS)
        return np.unique(np.where(lines[line] > 0, line, len(lines) + kind), return_inverse=True)

    @cached_property
    def _shares(self) -> Float32Array:
        """Share of each of these groups in what everybody buys, above 0, shape (groups,)."""
        shares = np.r_[self.usual["brand_line"], self.usual["kind"]]
        return np.maximum(shares[self._columns[0]], _LEAST).astype(np.float32)

    @cached_property
    def _members(self) -> sparse.csr_array:
        """1 where an item of the catalogue belongs to one of these groups, shape (catalogue, groups)."""
        groups, lines = self.content.catalogue.groups, len(self.usual["brand_line"])
        items = np.arange(len(self.content.catalogue))
        at = np.r_[items, items], np.r_[groups["brand_line"], lines + groups["kind"]]
        ones, shape = np.ones(2 * len(items), np.float32), (len(items), lines + len(self.usual["kind"]))
        return sparse.csr_array((ones, at), shape=shape)[:, self._columns[0]]


def newest_items(
    history: PurchaseHistory,
    catalogue: Catalogue,
    days_listed: IntArray,
    available: BoolArray,
    settings: ExplorationSettings,
) -> IntArray:
    """Rows of the available items that are new and have few buyers yet, ascending.

    An item is new for 91 days after it entered the catalogue or, if that is not known, after its first sale.

    Args:
        history: of all customers.
        catalogue: the items.
        days_listed: days since each item entered the catalogue, −1 where not known, shape (items,).
        available: may it be sold, shape (items,).
        settings: how few buyers, and how many items.
    """
    buyers = np.bincount(history.bought.indices, minlength=len(catalogue))
    first_sold = np.full(len(catalogue), -1, np.int64)
    np.maximum.at(first_sold, history.items, history.ages)
    age = np.where(days_listed >= 0, days_listed, first_sold)
    rows = np.flatnonzero(available & (age >= 0) & (age < NEW_DAYS) & (buyers <= settings.few_buyers))
    kind = catalogue.groups["kind"]
    weight = np.bincount(kind, buyers)[kind[rows]]
    return np.sort(rows[np.argsort(-weight, kind="stable")[: settings.items]])
