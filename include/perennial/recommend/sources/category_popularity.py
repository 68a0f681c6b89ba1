"""What is mostly bought of the kinds of things that a customer buys: need by need.

The score of an item is the share that its group has in what the customer buys, times the share that the item
has in what everybody buys of the group.
"""

from dataclasses import dataclass

import numpy as np

from perennial.recommend.data.catalogue import Whole
from perennial.recommend.data.history import Reals
from perennial.recommend.features.item_features import Facts
from perennial.recommend.features.matrix import Block

GROUPS = ("kind", "brand_line", "text")


@dataclass(frozen=True)
class Needs:
    """Groups of the items of a pool, by category, by brand within a category, and by text."""

    facts: Facts
    pool: Whole

    def scores(self, block: Block) -> dict[str, Reals]:
        """For each way to group, shape (customers, pool)."""
        return {name: block.share_of(name, self.pool) * self._of_everybody(name) for name in GROUPS}

    def _of_everybody(self, name: str) -> Reals:
        """The share of each item of the pool in what everybody buys of its group."""
        return np.exp(self.facts.column(f"share_of_{name}")[self.pool])

    def evidence(self, block: Block, name: str, rows: Whole, columns: Whole) -> Whole:
        """The newest item that the customer bought of the same group, −1 for none, shape (n,)."""
        group, history = block.shelf.groups[name], block.history
        size = np.int64(group.max(initial=0)) + 1
        asked = rows * size + group[self.pool[columns]]
        wanted = np.zeros(size, bool)
        wanted[group[self.pool[columns]]] = True
        lines = np.flatnonzero(wanted[group[history.items]])
        cells = history.customers[lines] * size + group[history.items[lines]]
        order = np.argsort(cells, kind="stable")
        behind = np.searchsorted(cells[order], asked, side="right")
        newest = np.append(-1, history.items[lines[order]])[behind]
        return np.where(np.append(-1, cells[order])[behind] == asked, newest, -1)
