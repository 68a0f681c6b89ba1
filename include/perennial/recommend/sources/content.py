"""What is like what a customer bought, by the vectors of the items' texts.

A customer's taste is the weighted mean of the texts bought, seen from the middle of the catalogue: what all
texts have in common says nothing of anybody.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse

from perennial.foundation.arrays import Float32Array, Int32Array, IntArray
from perennial.recommend.arrays import sparse_products
from perennial.recommend.arrays.nearest_items import nearest_items, strongest_evidence
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.settings import PurchaseWeighting


@dataclass(frozen=True)
class Content:
    """The texts of a catalogue.

    Args:
        catalogue: the items.
        pool: rows of the items asked about, shape (pool,).
        weighing: of what was bought, in a taste.
    """

    catalogue: Catalogue
    pool: IntArray
    weighing: PurchaseWeighting

    def tastes(self, block: PurchaseHistory) -> Float32Array:
        """One vector of unit length for each customer, shape (customers, width); zeros without a history."""
        bought = block.weighted(self.weighing)
        parts = bought.data, self._text_of[bought.indices], bought.indptr
        by_text = sparse.csr_array(parts, shape=(len(block), len(self.catalogue.directions)))
        found = sparse_products.weighted_bags(by_text, self._directions)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def scores(self, block: PurchaseHistory) -> Float32Array:
        """Cosine of taste and text, shape (customers, pool)."""
        return sparse_products.times_fast(self.tastes(block), self._texts)

    def evidence(self, history: PurchaseHistory, rows: IntArray, columns: IntArray) -> IntArray:
        """The item bought whose text is most like that of an item of the pool, −1 for none, shape (n,)."""
        return strongest_evidence(self._alike[columns], history.bought[rows])

    @cached_property
    def _text_of(self) -> Int32Array:
        """The row of each item's text among the directions."""
        return (self.catalogue.texts % len(self.catalogue.directions)).astype(np.int32)

    @cached_property
    def _directions(self) -> torch.Tensor:
        return sparse_products.to_fast(self.catalogue.directions)

    @cached_property
    def _texts(self) -> torch.Tensor:
        """Of the pool, shape (width, pool)."""
        return self._directions[self.catalogue.texts[self.pool]].T.contiguous()

    @cached_property
    def _alike(self) -> sparse.csr_array:
        directions, texts = self.catalogue.directions, self.catalogue.texts
        return nearest_items(
            lambda some: (directions @ directions[texts[self.pool[some]]].T)[texts], len(self.pool)
        )
