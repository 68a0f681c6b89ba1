"""What is mostly bought of the kinds of things that a customer buys: need by need.

The score of an item is the share that its group has in what the customer buys, times the share that the item
has in what everybody buys of the group.
"""

from dataclasses import dataclass

import numpy as np

from perennial.recommend.facts import Facts
from perennial.recommend.features import Block
from perennial.recommend.history import Reals
from perennial.recommend.shelf import Whole

GROUPS = ("kind", "brand_line", "text")


@dataclass(frozen=True)
class Needs:
    """Groups of the items of a pool, by category, by brand within a category, and by text."""

    facts: Facts
    pool: Whole

    def scores(self, block: Block) -> dict[str, Reals]:
        """For each way to group, shape (customers, pool)."""
        found = {}
        for name in GROUPS:
            group = block.shelf.groups[name][self.pool]
            of_everybody = self.facts.column(f"share_of_{name}")[self.pool]
            found[name] = np.exp(block.part_of(name)[:, group] + of_everybody)
        return found

    def evidence(self, block: Block, name: str, rows: Whole, columns: Whole) -> Whole:
        """The newest item that the customer bought of the same group, −1 for none, shape (n,)."""
        group, history = block.shelf.groups[name], block.history
        found = np.full(len(rows), -1, np.int64)
        for at, (row, item) in enumerate(zip(rows, self.pool[columns], strict=True)):
            bought = history.items[history.starts[row] : history.starts[row + 1]]
            same = np.flatnonzero(group[bought] == group[item])
            found[at] = bought[same[-1]] if len(same) else -1
        return found
