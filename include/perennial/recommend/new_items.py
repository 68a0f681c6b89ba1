"""How much a customer may want what nobody has bought yet: by its kind, its brand and its text.

An item without purchases is taken for one of its line (brand within a category; where nobody has bought of
the line either, its kind): what new items of the kind came to lately, times how much more than others the
customer buys of the line, times e to the cosine of the customer's taste and the item's text.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perennial.recommend.config import Weighing
from perennial.recommend.content import Content
from perennial.recommend.history import History, Reals
from perennial.recommend.shelf import Shelf, Whole

_NEW_DAYS = 91
_MEAN_ITEMS = 3
"""New items of mean luck that are added to those of a kind."""
_USUAL_PURCHASES = 20
"""Purchases like everybody's that are added to a customer's."""
_LEAST = np.float32(1e-9)


@dataclass(frozen=True)
class NewItems:
    """Items of a shelf that are asked about.

    Args:
        content: their texts.
        luck: how many buyers the mean new item of their kind had lately, shape (items,).
        usual: of kinds and lines the share that each has in what everybody buys.
    """

    content: Content
    luck: Reals
    usual: dict[str, Reals]

    @classmethod
    def fit(cls, history: History, shelf: Shelf, items: Whole, chosen: Weighing) -> Self:
        """Learn from what everybody bought.

        Args:
            history: of all customers.
            shelf: what they bought, and what is asked about.
            items: rows of what is asked about.
            chosen: how purchases count.
        """
        kind, buyers = shelf.groups["kind"], np.bincount(history.bought.indices, minlength=len(shelf))
        first = np.zeros(len(shelf), np.int32)
        np.maximum.at(first, history.items, history.ages)
        new = (buyers > 0) & (first < _NEW_DAYS)
        found, count = np.bincount(kind, new * buyers), np.bincount(kind, new)
        luck = (found + _MEAN_ITEMS * found.sum() / max(1, count.sum())) / (count + _MEAN_ITEMS)
        usual = {}
        for name in ("kind", "brand_line"):
            group = shelf.groups[name]
            lines = np.bincount(group[history.items], minlength=int(group.max(initial=0)) + 1)
            usual[name] = (lines / max(1, len(history.items))).astype(np.float32)
        return cls(Content(shelf, items, chosen), luck[kind[items]].astype(np.float32), usual)

    def scores(self, block: History) -> Reals:
        """Above 0; for customers without purchases the same for all. Shape (customers, items)."""
        known = self.usual["brand_line"][self._asked("brand_line")] > 0
        lift = np.where(known, self._lift(block, "brand_line"), self._lift(block, "kind"))
        return self.luck * lift * np.exp(self.content.scores(block))

    def _lift(self, block: History, name: str) -> Reals:
        """How many times its usual share the customer buys of each item's group, shape (customers, items)."""
        group, asked = self.content.shelf.groups[name], self._asked(name)
        bought = block.weights(self.content.weighing.half_life_days)
        member = sparse.csr_array((np.ones(len(group), np.float32), (np.arange(len(group)), group)))
        own = (bought @ member[:, asked]).toarray()
        total = np.asarray(bought.sum(axis=1))[:, None]
        share = np.maximum(self.usual[name][asked], _LEAST)
        return (own + _USUAL_PURCHASES * share) / ((total + _USUAL_PURCHASES) * share)

    def _asked(self, name: str) -> NDArray[np.int32]:
        return self.content.shelf.groups[name][self.content.pool]
