"""What many buy of the kinds of things that a customer buys.

The score of an item is the share that its group has in what the customer buys, times the share that the item
has in what everybody buys of the group. A group is a category, a brand within a category, or a text.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.sources.source import Reason


@dataclass(frozen=True)
class CategoryPopularity:
    """One way to group the items of a pool.

    Args:
        group: one of `settings.POPULARITY_GROUPS`.
        item_features: of all items.
        pool: rows of the items that are scored, shape (pool,).
    """

    reason = Reason.KIND
    group: str
    item_features: ItemFeatures
    pool: IntArray

    @property
    def name(self) -> str:
        """What the settings call it."""
        return f"needs_{self.group}"

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """Shape (customers, pool)."""
        share_of_everybody = np.exp(self.item_features.column(f"share_of_{self.group}")[self.pool])
        return {self.name: block.share_of(self.group, self.pool) * share_of_everybody}

    def evidence(self, block: CustomerBlock, customers: IntArray, items: IntArray) -> IntArray:
        """The newest item that the customer bought of the same group."""
        group_of_item, history = block.catalogue.groups[self.group], block.history
        groups = np.int64(group_of_item.max(initial=0)) + 1
        wanted_cells = customers * groups + group_of_item[items]
        is_wanted = np.zeros(groups, bool)
        is_wanted[group_of_item[items]] = True
        lines = np.flatnonzero(is_wanted[group_of_item[history.items]])
        cells = history.customers[lines] * groups + group_of_item[history.items[lines]]
        order = np.argsort(cells, kind="stable")
        last = np.searchsorted(cells[order], wanted_cells, side="right")
        newest = np.append(-1, history.items[lines[order]])[last]
        return np.where(np.append(-1, cells[order])[last] == wanted_cells, newest, -1)

    def save(self, folder: Path) -> None:
        """Nothing is learned: the features of the items say all."""
