"""What many bought lately: it fills up a short history, and is all that an unknown customer gets."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.item_features import ItemFeatures


@dataclass(frozen=True)
class Popularity:
    """How many customers bought each item of a pool lately, shape (pool,)."""

    buyers: Float32Array

    @classmethod
    def of(cls, item_features: ItemFeatures, pool: IntArray) -> Self:
        """From what everybody bought in the last 28 days; equals in the order of the pool."""
        return cls(
            item_features.buyers_lately[pool] + np.linspace(1, 0, len(pool), endpoint=False, dtype=np.float32)
        )

    def scores(self, block: PurchaseHistory) -> Float32Array:
        """The same for everybody, shape (customers, pool)."""
        return np.broadcast_to(self.buyers, (len(block), len(self.buyers)))
