"""What many bought lately: it fills up a short history, and is all that an unknown customer gets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.sources.source import Reason


@dataclass(frozen=True)
class Popularity:
    """How many customers bought each item of a pool lately, shape (pool,)."""

    name = "popularity"
    reason = Reason.POPULARITY
    buyers: Float32Array

    @classmethod
    def of(cls, item_features: ItemFeatures, pool: IntArray) -> Self:
        """From the buyers of the last 28 days; of equally popular items the earlier one is ahead."""
        tie_break = np.linspace(1, 0, len(pool), endpoint=False, dtype=np.float32)
        return cls(item_features.buyers_lately[pool] + tie_break)

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """The same for everybody, shape (customers, pool)."""
        return {self.name: np.broadcast_to(self.buyers, (len(block.history), len(self.buyers)))}

    def evidence(self, block: CustomerBlock, customers: IntArray, items: IntArray) -> IntArray:
        """None: the score rests on other customers."""
        return np.full(len(items), -1, np.int64)

    def save(self, folder: Path) -> None:
        """Nothing is learned: the features of the items say all."""
