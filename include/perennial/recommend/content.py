"""What is like what a customer bought, by the vectors of the items' texts.

A customer's taste is the weighted mean of the texts bought, seen from the middle of the catalogue: what all
texts have in common says nothing of anybody.
"""

from dataclasses import dataclass

import numpy as np

from perennial.recommend.config import Weighing
from perennial.recommend.history import History, Reals, strongest
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
        found = self.weighing.matrix(block) @ self.shelf.directions
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def scores(self, block: History) -> Reals:
        """Cosine of taste and text, shape (customers, pool)."""
        return self.tastes(block) @ self.shelf.directions[self.pool].T

    def evidence(self, history: History, rows: Whole, columns: Whole) -> Whole:
        """The item bought whose text is most like that of an item of the pool, −1 for none, shape (n,)."""
        bought, texts = history.bought, self.shelf.directions[self.pool[columns]]
        return strongest(bought, rows, lambda held, at: self.shelf.directions[held] @ texts[at])
