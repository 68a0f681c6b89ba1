"""What is like what a customer bought, by the vectors of the items' texts.

A customer's taste is the weighted mean of the texts bought, seen from the middle of the catalogue: what all
texts have in common says nothing of anybody.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from perennial.foundation.arrays import Float32Array, Int32Array, IntArray
from perennial.recommend.arrays import sparse_products
from perennial.recommend.arrays.nearest_items import nearest_items, strongest_evidence
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.settings import PurchaseWeighting
from perennial.recommend.sources.source import Reason


@dataclass(frozen=True)
class Content:
    """The texts of a catalogue.

    Args:
        catalogue: the items.
        pool: rows of the items that are scored, ascending, shape (pool,).
        weighing: of purchases in a taste.
    """

    name = "content"
    reason = Reason.CONTENT
    catalogue: Catalogue
    pool: IntArray
    weighing: PurchaseWeighting

    def tastes(self, history: PurchaseHistory) -> Float32Array:
        """One vector of unit length for each customer, shape (customers, width); zeros without a history."""
        bought = history.weighted(self.weighing)
        parts = bought.data, self._text_of[bought.indices], bought.indptr
        by_text = sparse.csr_array(parts, shape=(len(history), len(self.catalogue.text_directions)))
        sums = sparse_products.weighted_bags(by_text, self._directions)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """Cosine of taste and text, shape (customers, pool)."""
        return {self.name: self.cosines(block.history)}

    def cosines(self, history: PurchaseHistory) -> Float32Array:
        """The same for the customers of a history, shape (customers, pool)."""
        return sparse_products.times_fast(self.tastes(history), self._texts)

    def evidence(self, block: CustomerBlock, customers: IntArray, items: IntArray) -> IntArray:
        """The item bought whose text is most like the item's text."""
        return self.nearest_purchase(block.history, customers, items)

    def nearest_purchase(self, history: PurchaseHistory, customers: IntArray, items: IntArray) -> IntArray:
        """The same for the customers of a history, shape (n,)."""
        columns = np.searchsorted(self.pool, items)
        return strongest_evidence(self._alike[columns], history.bought[customers])

    def save(self, folder: Path) -> None:
        """Nothing is learned: the catalogue and the settings say all."""

    @cached_property
    def _text_of(self) -> Int32Array:
        """The row of each item's text among the directions."""
        return (self.catalogue.texts % len(self.catalogue.text_directions)).astype(np.int32)

    @cached_property
    def _directions(self) -> torch.Tensor:
        return sparse_products.to_fast(self.catalogue.text_directions)

    @cached_property
    def _texts(self) -> torch.Tensor:
        """Of the pool, shape (width, pool)."""
        return self._directions[self.catalogue.texts[self.pool]].T.contiguous()

    @cached_property
    def _alike(self) -> sparse.csr_array:
        directions, texts = self.catalogue.text_directions, self.catalogue.texts
        return nearest_items(
            lambda some: (directions @ directions[texts[self.pool[some]]].T)[texts], len(self.pool)
        )
