"""What is like what a customer bought, by the vectors of the items' texts.

A customer's taste is the weighted mean of the texts bought, seen from the middle of the catalogue: what all
texts have in common says nothing of anybody.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from perennial.recommend import products
from perennial.recommend.config import Weighing
from perennial.recommend.history import History, Reals
from perennial.recommend.neighbours import nearest, strongest
from perennial.recommend.shelf import Shelf, Whole


@dataclass(frozen=True)
class Content:
    """The texts of a shelf.

    Args:
        shelf: the items.
        pool: rows of the items asked about, shape (pool,).
        weighing: of what was bought, in a taste.
    """

    shelf: Shelf
    pool: Whole
    weighing: Weighing

    def tastes(self, block: History) -> Reals:
        """One vector of unit length for each customer, shape (customers, width); zeros without a history."""
        found = products.with_dense(self.weighing.matrix(block), self.shelf.directions)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def scores(self, block: History) -> Reals:
        """Cosine of taste and text, shape (customers, pool)."""
        return self.tastes(block) @ self._texts.T

    def evidence(self, history: History, rows: Whole, columns: Whole) -> Whole:
        """The item bought whose text is most like that of an item of the pool, −1 for none, shape (n,)."""
        return strongest(self._alike[columns], history.bought[rows])

    @cached_property
    def _texts(self) -> Reals:
        return self.shelf.directions[self.pool]

    @cached_property
    def _alike(self) -> sparse.csr_array:
        return nearest(lambda some: self.shelf.directions @ self._texts[some].T, len(self.pool))
