"""All sources together: which items are considered for each customer, and what each source says of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from perennial.recommend import blend, content, popularity
from perennial.recommend.memory import Memory, Shelf, Whole


@dataclass(frozen=True)
class Sizes:
    """How many candidates a source brings for each customer."""

    content: int
    popularity: int


@dataclass(frozen=True)
class Candidates:
    """Pairs of a customer and an item, by customer, then item, with what the sources say of them.

    Args:
        rows: position of the customer in the block, shape (n,).
        items: row of the item on the shelf.
        signals: `blend.SIGNALS`, shape (n, signals).
        remembered: position of the purchase in the memory, −1 where the customer never bought the item.
        by_content: did the content source bring the item up.
    """

    rows: Whole
    items: Whole
    signals: NDArray[np.float64]
    remembered: Whole
    by_content: NDArray[np.bool_]


@dataclass(frozen=True)
class Sources:
    """The sources as of the day of a memory."""

    shelf: Shelf
    memory: Memory
    sizes: Sizes

    @cached_property
    def _tastes(self) -> NDArray[np.float32]:
        """One row for each customer of the memory, and a last one of zeros for whoever is unknown."""
        known = content.tastes(self.memory.texts(self.shelf), self.shelf.meanings)
        return np.vstack([known, np.zeros((1, known.shape[1]), np.float32)])

    @cached_property
    def _faces(self) -> Whole:
        return content.faces(
            self.shelf.texts, self.memory.buyers, self.memory.sellable, len(self.shelf.vectors)
        )

    @cached_property
    def _popular(self) -> Whole:
        return popularity.candidates(self.memory.buyers, self.memory.sellable, self.sizes.popularity)

    def candidates(self, customers: Whole) -> Candidates:
        """What the sources bring up for customers (rows of the memory, −1 for unknown), each item once."""
        size, places = len(self.shelf.item_ids), np.arange(len(customers))[:, None]
        taste = self._tastes[customers]
        likeness = taste @ self.shelf.meanings.T
        alike = content.candidates(likeness, self._faces, self.sizes.content)
        rows_bought, remembered = self._histories(customers)
        bought_keys = rows_bought * size + self.memory.items[remembered]
        alike_keys = (places * size + alike)[taste.any(axis=1)].ravel()
        popular_keys = (places * size + self._popular).ravel()
        keys = np.unique(np.concatenate([bought_keys, alike_keys, popular_keys]))
        rows, items = keys // size, keys % size
        at = np.searchsorted(keys, bought_keys)
        weight, position = np.zeros(len(keys)), np.full(len(keys), -1, np.int64)
        weight[at], position[at] = self.memory.weights[remembered], remembered
        busyness = np.bincount(rows_bought, self.memory.weights[remembered], minlength=len(customers))
        text = self.shelf.texts[items]
        like = np.where(text >= 0, likeness[rows, text], 0.0) if likeness.shape[1] else np.zeros(len(keys))
        signals = blend.signals(weight, self.memory.buyers[items], like, busyness[rows])
        by_content = np.zeros(len(keys), bool)
        by_content[np.searchsorted(keys, alike_keys)] = True
        return Candidates(rows, items, signals, position, by_content)

    def _histories(self, customers: Whole) -> tuple[Whole, Whole]:
        """The remembered purchases of a block: the customer's position, and the purchase's in the memory."""
        starts, ends = self.memory.starts[:-1], self.memory.starts[1:]
        lengths = np.where(customers >= 0, (ends - starts)[customers], 0)
        rows = np.repeat(np.arange(len(customers)), lengths)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return rows, starts[customers][rows] + within
