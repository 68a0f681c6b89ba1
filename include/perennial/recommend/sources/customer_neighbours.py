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
from perennial.recommend.arrays.sparse_products import times_fast, times_sparse
from perennial.recommend.data.history import PurchaseHistory, decay
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.settings import CustomerNeighboursSettings
from perennial.recommend.sources.source import Reason

_FILE = "customer_neighbours.npz"


@dataclass(frozen=True)
class CustomerNeighbours:
    """The customers who may be neighbours; nobody is a neighbour of themselves.

    Args:
        settings: how many neighbours, and how much they count.
        pool: rows of the items that are scored, shape (pool,).
        customer_ids: shape (customers,).
        rates: their vectors, shape (customers, items).
    """

    name = "customer_neighbours"
    reason = Reason.CUSTOMER_NEIGHBOURS
    settings: CustomerNeighboursSettings
    pool: IntArray
    customer_ids: StringArray
    rates: sparse.csr_array

    @classmethod
    def fit(cls, history: PurchaseHistory, pool: IntArray, settings: CustomerNeighboursSettings) -> Self:
        """Remember the customers of a history, no more of them than the settings say."""
        known = history.sample(settings.customers)
        return cls(settings, pool, known.customer_ids, _rates(known, settings.half_life_days))

    @cached_property
    def _directions(self) -> sparse.csr_array:
        return _unit_rows(self.rates).T.tocsr()

    @cached_property
    def _rates_of_pool(self) -> torch.Tensor:
        return sparse_products.to_fast(self.rates[:, self.pool].toarray())

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """The customer's own rates blended with the neighbours' mean rates, shape (customers, pool)."""
        history, own_share = block.history, self.settings.own_share
        own = _rates(history, self.settings.half_life_days)
        likeness = times_sparse(_unit_rows(own), self._directions)
        itself = find(pa.array(history.customer_ids, pa.string()), self.customer_ids)
        likeness[np.flatnonzero(itself >= 0), itself[itself >= 0]] = -1
        count = min(self.settings.neighbours, likeness.shape[1])
        nearest = np.argpartition(likeness, -count, axis=1)[:, -count:]
        is_neighbour = np.zeros_like(likeness)
        np.put_along_axis(is_neighbour, nearest, 1, axis=1)
        scores = times_fast(is_neighbour, self._rates_of_pool)
        # A customer who never bought anything has no neighbours.
        has_history = (np.diff(history.starts) > 0).astype(np.float32)
        scores *= has_history[:, None] * np.float32((1 - own_share) / count)
        own_of_pool = own[:, self.pool].tocoo()
        cells = own_of_pool.row * len(self.pool) + own_of_pool.col
        scores.ravel()[cells] += np.float32(own_share) * own_of_pool.data
        return {self.name: scores}

    def evidence(self, block: CustomerBlock, customers: IntArray, items: IntArray) -> IntArray:
        """None: the score rests on other customers."""
        return np.full(len(items), -1, np.int64)

    def save(self, folder: Path) -> None:
        """Write it as one file, without pickle."""
        arrays = csr_storage.to_arrays("rates", self.rates)
        arrays |= {"pool": self.pool, "customer_ids": self.customer_ids.astype(str)}
        np.savez_compressed(folder / _FILE, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, settings: CustomerNeighboursSettings) -> Self:
        """Read what `save` wrote."""
        with np.load(folder / _FILE) as arrays:
            customer_ids = arrays["customer_ids"].astype(object)
            return cls(settings, arrays["pool"], customer_ids, csr_storage.from_arrays("rates", arrays))


def _rates(history: PurchaseHistory, half_life_days: float) -> sparse.csr_array:
    """Decayed purchases of each item for each decayed order, shape (customers, items)."""
    is_first_line = np.diff(history.orders, prepend=-1) != 0
    weight = decay(history.ages[is_first_line], half_life_days)
    orders = np.bincount(history.customers[is_first_line], weight, minlength=len(history))
    rates = history.weights(half_life_days)
    rates.data /= np.repeat(np.maximum(orders, 1e-9), np.diff(rates.indptr))
    return rates


def _unit_rows(rows: sparse.csr_array) -> sparse.csr_array:
    of_row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    lengths = np.sqrt(np.bincount(of_row, rows.data**2, minlength=rows.shape[0]))
    data = (rows.data / lengths[of_row]).astype(np.float32)
    return sparse.csr_array((data, rows.indices, rows.indptr), shape=rows.shape)
