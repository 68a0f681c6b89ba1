"""What a source of candidates is: it scores the items of a pool, and names the purchase behind a score."""

from enum import StrEnum
from pathlib import Path
from typing import Protocol

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.recommend.features.matrix import CustomerBlock


class Reason(StrEnum):
    """Why an item is recommended: `source` in `recommendations`; reasons.yaml has the sentences."""

    REPEAT = "repeat"
    ITEM_NEIGHBOURS = "item_neighbours"
    CUSTOMER_NEIGHBOURS = "customer_neighbours"
    CONTENT = "content"
    KIND = "kind"
    SEQUENCE = "sequence"
    POPULARITY = "popularity"
    NEW_ITEM = "new_item"


class Source(Protocol):
    """One way to tell what customers may want. A pool holds the items that it scores."""

    @property
    def name(self) -> str:
        """What the settings call it."""

    @property
    def reason(self) -> Reason:
        """Why its items are recommended."""

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """One array or more by the name of the score, shape (customers, pool) each; higher is wanted more."""

    def evidence(self, block: CustomerBlock, customers: IntArray, items: IntArray) -> IntArray:
        """The purchase that a score rests on most: its row in the catalogue, −1 for none, shape (n,).

        Args:
            block: the customers.
            customers: rows of customers in the block, shape (n,).
            items: rows of items of the pool in the catalogue, shape (n,).
        """

    def save(self, folder: Path) -> None:
        """Write what was learned into the folder, without the catalogue."""
