"""What those buy who buy the same: the linear item-item model EASE (Steck, 2019), solved through customers.

EASE predicts each item from all the others by ridge regression, so that no item speaks for itself. A shop has
more items than it needs customers to learn from, so with X, customers × items, the solution is found in the
dual, K = XXᵀ + λI: exact, also for customers whom it has never seen, at a cost that grows with the customers
learned from, which a setting bounds, and with the pool of items that are scored.

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
from perennial.recommend.arrays.sparse_products import times_fast, times_sparse, to_fast
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import PurchasedPairs
from perennial.recommend.settings import EVER, ItemNeighboursSettings
from perennial.recommend.sources.source import Reason


@dataclass(frozen=True)
class ItemNeighbours:
    """The regression of the items of a pool on all items.

    Args:
        name: of the model in the settings.
        settings: how purchases count, λ, and the questions.
        pool: rows of the items that are scored, ascending, shape (pool,).
        bought: X, of the customers learned from.
        weights: W of each question, shape (customers, pool).
    """

    reason = Reason.ITEM_NEIGHBOURS
    name: str
    settings: ItemNeighboursSettings
    pool: IntArray
    bought: sparse.csr_array
    weights: Mapping[str, Float32Array]

    @classmethod
    def fit(
        cls, name: str, history: PurchaseHistory, pool: IntArray, settings: ItemNeighboursSettings
    ) -> Self:
        """Learn from the customers of a history, from no more of them than the settings say."""
        known = history.sample(settings.customers)
        bought = known.weighted(settings.weighing)
        alike = sparse_products.times_sparse(bought, bought.T.tocsr())
        alike[np.diag_indices_from(alike)] += settings.ridge
        factor = cho_factor(alike, overwrite_a=True, check_finite=False)
        of_pool = bought[:, pool].toarray()
        solution = cho_solve(factor, of_pool, check_finite=False)
        diagonal = 1 - np.einsum("ui,ui->i", of_pool, solution)
        weights = [solution / diagonal]
        for target in _recent_purchases(known, pool, settings):
            answer = cho_solve(factor, target, overwrite_b=True, check_finite=False)
            weights.append(answer + solution * (np.einsum("ui,ui->i", of_pool, answer) / diagonal))
        of_each = zip(settings.questions, map(np.ascontiguousarray, weights), strict=True)
        return cls(name, settings, pool, bought, dict(of_each))

    @cached_property
    def _of_items(self) -> sparse.csr_array:
        return self.bought.T.tocsr()

    @cached_property
    def _own(self) -> dict[str, Float32Array]:
        """What a purchase of each item of the pool says of itself."""
        of_pool = self.bought[:, self.pool]
        return {
            name: np.asarray(of_pool.multiply(weights).sum(axis=0)).ravel()
            for name, weights in self.weights.items()
        }

    @cached_property
    def _fast_weights(self) -> dict[str, torch.Tensor]:
        return {name: sparse_products.to_fast(weights) for name, weights in self.weights.items()}

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """For each question, shape (customers, pool), right to three digits."""
        bought = block.history.weighted(self.settings.weighing)
        likeness = to_fast(times_sparse(bought, self._of_items))
        own = bought[:, self.pool].tocoo()
        own_cells = own.row * len(self.pool) + own.col
        scores = {}
        for question, weights in self._fast_weights.items():
            of_question = times_fast(likeness, weights)
            of_question.ravel()[own_cells] -= own.data * self._own[question][own.col]
            scores[f"{self.name}_{question}"] = of_question
        return scores

    def evidence(self, block: CustomerBlock, customers: IntArray, items: IntArray) -> IntArray:
        """The item bought that adds most to the score; the same for all questions."""
        bought = block.history.weighted(self.settings.weighing)[customers]
        return strongest_evidence(self._near[np.searchsorted(self.pool, items)], bought)

    @cached_property
    def _near(self) -> sparse.csr_array:
        weights = self.weights[EVER]
        return nearest_items(lambda some: self._of_items @ weights[:, some], len(self.pool))

    def save(self, folder: Path) -> None:
        """Write it as one file, without pickle."""
        arrays = csr_storage.to_arrays("bought", self.bought) | {"pool": self.pool}
        arrays |= {f"weights_{question}": weights for question, weights in self.weights.items()}
        np.savez(folder / self._file(self.name), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, name: str, folder: Path, settings: ItemNeighboursSettings) -> Self:
        """Read what `save` wrote."""
        with np.load(folder / cls._file(name)) as arrays:
            questions = [
                file.removeprefix("weights_") for file in arrays.files if file.startswith("weights_")
            ]
            weights = {question: arrays[f"weights_{question}"] for question in questions}
            return cls(name, settings, arrays["pool"], csr_storage.from_arrays("bought", arrays), weights)

    @staticmethod
    def _file(name: str) -> str:
        return f"item_neighbours_{name}.npz"


def _recent_purchases(
    history: PurchaseHistory, pool: IntArray, settings: ItemNeighboursSettings
) -> Iterator[Float32Array]:
    """Who bought what in the last days, and who for the first time then, shape (customers, pool) each."""
    for days in settings.lately_days:
        yield history.weights(window_days=days)[:, pool].toarray().clip(max=1)
    pairs = PurchasedPairs.of(history)
    for days in settings.new_days:
        yield pairs.first_since(days)[:, pool].toarray()
