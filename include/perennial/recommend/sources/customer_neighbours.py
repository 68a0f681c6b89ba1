"""What a customer and those most like them buy: TIFU-KNN (Hu et al., 2020).

A customer's vector is how often they buy each item, newer purchases counting more, for each order they
made; the score blends it with the mean vector of the nearest customers by cosine.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse

from perennial.foundation.arrays import Float32Array, IntArray, StringArray
from perennial.recommend.arrays import csr_storage, sparse_products
from perennial.recommend.arrays.lookup import find
from perennial.recommend.data.history import PurchaseHistory, decay
from perennial.recommend.settings import CustomerNeighboursSettings


@dataclass(frozen=True)
class CustomerNeighbours:
    """Those who may be asked; nobody is a neighbour of their own.

    Args:
        chosen: who is asked, and how much it counts.
        pool: rows of the items asked about, shape (pool,).
        customer_ids: shape (customers,).
        rates: their vectors, shape (customers, items).
    """

    chosen: CustomerNeighboursSettings
    pool: IntArray
    customer_ids: StringArray
    rates: sparse.csr_array

    @classmethod
    def fit(cls, history: PurchaseHistory, pool: IntArray, chosen: CustomerNeighboursSettings) -> Self:
        """Remember the customers of a history, at most so many as the settings say."""
        asked = history.sample(chosen.customers)
        return cls(chosen, pool, asked.customer_ids, _rates(asked, chosen.half_life_days))

    @cached_property
    def _directions(self) -> sparse.csr_array:
        return _unit(self.rates).T.tocsr()

    @cached_property
    def _of_pool(self) -> torch.Tensor:
        return sparse_products.to_fast(self.rates[:, self.pool].toarray())

    def scores(self, block: PurchaseHistory) -> Float32Array:
        """Shape (customers, pool)."""
        own = _rates(block, self.chosen.half_life_days)
        alike = sparse_products.times_sparse(_unit(own), self._directions)
        itself = find(pa.array(block.customer_ids, pa.string()), self.customer_ids)
        alike[np.flatnonzero(itself >= 0), itself[itself >= 0]] = -1
        count = min(self.chosen.neighbours, alike.shape[1])
        nearest = np.argpartition(alike, -count, axis=1)[:, -count:]
        asked = np.zeros_like(alike)
        np.put_along_axis(asked, nearest, 1, axis=1)
        found = sparse_products.times_fast(asked, self._of_pool)
        # Nobody is like a customer who never bought anything.
        some = (np.diff(block.starts) > 0).astype(np.float32)
        found *= some[:, None] * np.float32((1 - self.chosen.own_share) / count)
        bought = own[:, self.pool].tocoo()
        found.ravel()[bought.row * len(self.pool) + bought.col] += (
            np.float32(self.chosen.own_share) * bought.data
        )
        return found

    def save(self, path: Path) -> None:
        """Write it as one file, without pickle."""
        held = csr_storage.to_arrays("rates", self.rates)
        held |= {"pool": self.pool, "customer_ids": self.customer_ids.astype(str)}
        np.savez_compressed(path, **held)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, chosen: CustomerNeighboursSettings) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as held:
            names = held["customer_ids"].astype(object)
            return cls(chosen, held["pool"], names, csr_storage.from_arrays("rates", held))


def _rates(history: PurchaseHistory, half_life_days: float) -> sparse.csr_array:
    """Decayed purchases of each item for each decayed order."""
    first = np.diff(history.orders, prepend=-1) != 0
    counted = decay(history.ages[first], half_life_days)
    orders = np.bincount(history.customers[first], counted, minlength=len(history))
    found = history.weights(half_life_days)
    found.data /= np.repeat(np.maximum(orders, 1e-9), np.diff(found.indptr))
    return found


def _unit(rows: sparse.csr_array) -> sparse.csr_array:
    of_row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    lengths = np.sqrt(np.bincount(of_row, rows.data**2, minlength=rows.shape[0]))
    data = (rows.data / lengths[of_row]).astype(np.float32)
    return sparse.csr_array((data, rows.indices, rows.indptr), shape=rows.shape)
