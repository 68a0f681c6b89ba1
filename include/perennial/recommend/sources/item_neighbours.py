"""What those buy who buy the same: the linear item-item model EASE (Steck, 2019), solved through customers.

EASE predicts each item from all the others by ridge regression, so that no item speaks for itself. A shop has
more items than it needs customers to learn from, so with X, customers × items, the solution is found in the
dual, K = XXᵀ + λI: exact, also for customers whom it has never seen, at a cost that grows with the customers
learned from, which a setting bounds, and with the pool of items asked about.

The same matrix answers more than one question: not only what goes with a history at all (T = X), but what
went with it lately, T the purchases of the last days or those of things new to the customer. With Z = K⁻¹T,
Y = K⁻¹X, aⱼ = 1 − Σᵤ XᵤⱼYᵤⱼ and μⱼ = Σᵤ XᵤⱼZᵤⱼ the customers weigh W = Z + Y diag(μ / a). The score of item j
for purchases x is x Xᵀ Wⱼ less what j itself has in it. For T = X this is EASE.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.recommend.arrays import csr_storage, sparse_products
from perennial.recommend.arrays.nearest_items import nearest_items, strongest_evidence
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.pairs import PurchasedPairs
from perennial.recommend.settings import EVER, ItemNeighboursSettings


@dataclass(frozen=True)
class ItemNeighbours:
    """The regression of the items of a pool on all items.

    Args:
        chosen: how purchases count, λ, and the questions.
        pool: rows of the items asked about, shape (pool,).
        bought: X, of the customers learned from.
        weights: W of each question, shape (customers, pool).
    """

    chosen: ItemNeighboursSettings
    pool: IntArray
    bought: sparse.csr_array
    weights: Mapping[str, Float32Array]

    @classmethod
    def fit(cls, history: PurchaseHistory, pool: IntArray, chosen: ItemNeighboursSettings) -> Self:
        """Learn from the customers of a history, at most so many as the settings say."""
        known = history.sample(chosen.customers)
        bought = known.weighted(chosen.weighing)
        alike = sparse_products.times_sparse(bought, bought.T.tocsr())
        alike[np.diag_indices_from(alike)] += chosen.ridge
        factor = cho_factor(alike, overwrite_a=True, check_finite=False)
        asked = bought[:, pool].toarray()
        usual = cho_solve(factor, asked, check_finite=False)
        alone = 1 - np.einsum("ui,ui->i", asked, usual)
        weights = [usual / alone]
        for target in _lately(known, pool, chosen):
            said = cho_solve(factor, target, overwrite_b=True, check_finite=False)
            weights.append(said + usual * (np.einsum("ui,ui->i", asked, said) / alone))
        of_each = zip(chosen.questions, map(np.ascontiguousarray, weights), strict=True)
        return cls(chosen, pool, bought, dict(of_each))

    @cached_property
    def _of_items(self) -> sparse.csr_array:
        return self.bought.T.tocsr()

    @cached_property
    def _own(self) -> dict[str, Float32Array]:
        """What a purchase of each item of the pool says of itself."""
        of_pool = self.bought[:, self.pool]
        return {
            name: np.asarray(of_pool.multiply(held).sum(axis=0)).ravel()
            for name, held in self.weights.items()
        }

    @cached_property
    def _quick(self) -> dict[str, torch.Tensor]:
        return {name: sparse_products.to_fast(weights) for name, weights in self.weights.items()}

    def scores(self, block: PurchaseHistory, *, quick: bool = False) -> dict[str, Float32Array]:
        """For each question, shape (customers, pool); `quick`: three digits are enough."""
        bought = block.weighted(self.chosen.weighing)
        alike = sparse_products.times_sparse(bought, self._of_items)
        known = sparse_products.to_fast(alike)
        own = bought[:, self.pool].tocoo()
        at = own.row * len(self.pool) + own.col
        found = {}
        for name, weights in self.weights.items():
            said = sparse_products.times_fast(known, self._quick[name]) if quick else alike @ weights
            said.ravel()[at] -= own.data * self._own[name][own.col]
            found[name] = said
        return found

    def evidence(self, history: PurchaseHistory, rows: IntArray, columns: IntArray) -> IntArray:
        """The item bought that says most for an item of the pool, −1 where nothing was bought, shape (n,)."""
        return strongest_evidence(self._near[columns], history.weighted(self.chosen.weighing)[rows])

    @cached_property
    def _near(self) -> sparse.csr_array:
        weights = self.weights[EVER]
        return nearest_items(lambda some: self._of_items @ weights[:, some], len(self.pool))

    def save(self, path: Path) -> None:
        """Write it as one file, without pickle."""
        held = csr_storage.to_arrays("bought", self.bought) | {"pool": self.pool}
        held |= {f"weights_{name}": one for name, one in self.weights.items()}
        np.savez(path, **held)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, chosen: ItemNeighboursSettings) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as held:
            names = [name.removeprefix("weights_") for name in held.files if name.startswith("weights_")]
            weights = {name: held[f"weights_{name}"] for name in names}
            return cls(chosen, held["pool"], csr_storage.from_arrays("bought", held), weights)


def _lately(
    history: PurchaseHistory, pool: IntArray, chosen: ItemNeighboursSettings
) -> Iterator[Float32Array]:
    """Who bought what in the last days, and who for the first time then, shape (customers, pool) each."""
    for days in chosen.lately_days:
        yield history.weights(window_days=days)[:, pool].toarray().clip(max=1)
    pairs = PurchasedPairs.of(history)
    for days in chosen.new_days:
        yield pairs.first_since(days)[:, pool].toarray()
