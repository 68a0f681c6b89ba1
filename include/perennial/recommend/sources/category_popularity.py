"""What is mostly bought of the kinds of things that a customer buys: need by need.

The score of an item is the share that its group has in what the customer buys, times the share that the item
has in what everybody buys of the group.
"""

from dataclasses import dataclass

import numpy as np

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.settings import POPULARITY_GROUPS


@dataclass(frozen=True)
class CategoryPopularity:
    """Groups of the items of a pool, by category, by brand within a category, and by text."""

    item_features: ItemFeatures
    pool: IntArray

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """For each way to group, shape (customers, pool)."""
        return {
            name: block.share_of(name, self.pool) * self._of_everybody(name) for name in POPULARITY_GROUPS
        }

    def _of_everybody(self, name: str) -> Float32Array:
        """The share of each item of the pool in what everybody buys of its group."""
        return np.exp(self.item_features.column(f"share_of_{name}")[self.pool])

    def evidence(self, block: CustomerBlock, name: str, rows: IntArray, columns: IntArray) -> IntArray:
        """The newest item that the customer bought of the same group, −1 for none, shape (n,)."""
        group, history = block.catalogue.groups[name], block.history
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
