"""What comes after what: the sequence model as a source of candidates."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.recommend.arrays.nearest_items import strongest_evidence
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.sources.source import Reason

_FOLDER = "sequence"


@dataclass(frozen=True)
class NextItems:
    """A sequence model and the pool that it scores; its weights may be older than the day.

    Args:
        model: as of the day.
        pool: rows of the items that are scored, ascending, shape (pool,).
    """

    name = "sequence"
    reason = Reason.SEQUENCE
    model: SequenceModel
    pool: IntArray

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """The share of each item in what a customer wants of the pool, shape (customers, pool)."""
        return {self.name: self.model.new(block.history, self.pool)}

    def evidence(self, block: CustomerBlock, customers: IntArray, items: IntArray) -> IntArray:
        """The item bought whose vector is nearest to the item's vector."""
        columns = np.searchsorted(self.pool, items)
        return strongest_evidence(self._nearest[columns], block.history.bought[customers])

    @cached_property
    def _nearest(self) -> sparse.csr_array:
        return self.model.alike(self.pool)

    def save(self, folder: Path) -> None:
        """Write the model into a folder of its own."""
        self.model.save(folder / _FOLDER)

    @classmethod
    def load(cls, folder: Path, pool: IntArray) -> Self:
        """Read what `save` wrote."""
        return cls(SequenceModel.load(folder / _FOLDER), pool)
