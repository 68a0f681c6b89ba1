"""Simple recommenders that the recommender has to beat, each with the settings that are tried for it.

All score every warm item for every customer of a month. What many bought in the last 28 days fills up where
a peer has nothing to say. Two of them need `pip install -r requirements-bench.txt`.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import Float32Array
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.evaluation.metrics import judge
from perennial.recommend.evaluation.ranking_task import Slice
from perennial.recommend.settings import CustomerNeighboursSettings, ItemNeighboursSettings, PurchaseWeighting
from perennial.recommend.sources.customer_neighbours import CustomerNeighbours
from perennial.recommend.sources.item_neighbours import EVER, ItemNeighbours
from tests.acceptance.recommend_shop import Month
from tests.recommend.exact import block_of, exact_scores

RANKED = (Slice.ALL, Slice.REPEAT, Slice.EXPLORE)
_TIE = 1e-6
"""What popularity weighs where it only fills up."""


@dataclass(frozen=True)
class Peer:
    """A recommender that is compared with ours, with its options.

    Args:
        name: as the table shows it.
        scores: (month, options) → shape (customers, warm items).
        options: of the scores.
        best_at: the slices on which these options were best.
    """

    name: str
    scores: Callable[..., Float32Array]
    options: Mapping[str, Any] = field(default_factory=dict)
    best_at: tuple[Slice, ...] = RANKED

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.name} ({options})" if options else self.name

    def of(self, month: Month) -> Float32Array:
        """Its scores."""
        return self.scores(month, **self.options)


def popularity(month: Month, days: int) -> Float32Array:
    """How many customers bought an item lately."""
    return np.tile(_popular(month, days), (len(month.history), 1))


def frequency(month: Month, half_life_days: float) -> Float32Array:
    """How often the customer bought it, newer purchases counting more."""
    return filled(month, month.history.weights(half_life_days)[:, month.warm].toarray())


def tifu(month: Month, **options: float) -> Float32Array:
    """TIFU-KNN (Hu et al., 2020)."""
    settings = CustomerNeighboursSettings.model_validate(options)
    model = CustomerNeighbours.fit(month.eve.history, month.warm, settings)
    return filled(month, model.scores(block_of(month.history, month.catalogue))[model.name])


def up_cf(month: Month, orders: int, locality: float) -> Float32Array:
    """UP-CF (Faggioli et al., 2020): what all customers bought in their last orders, weighed by likeness.

    Two are alike by the cosine of what they ever bought, to the power `locality`.
    """
    bought = month.eve.history.bought
    common = (bought @ bought.T).toarray()
    sizes = np.sqrt(np.maximum(common.diagonal(), 1))
    alike = (common / sizes[:, None] / sizes) ** locality
    share = _share_of_orders(month.eve.history, orders)[:, month.warm]
    return filled(month, alike[month.rows].astype(np.float32) @ share)


def ease(month: Month, half_life_days: float | None, power: float, ridge: float) -> Float32Array:
    """EASE (Steck, 2019) of purchases to a power, newer ones counting more."""
    weighing = PurchaseWeighting(half_life_days=half_life_days, power=power)
    settings = ItemNeighboursSettings(weighing=weighing, ridge=ridge)
    model = ItemNeighbours.fit("ease", month.eve.history, month.warm, settings)
    return exact_scores(model, month.history)[EVER].astype(np.float32)


def als(month: Month, half_life_days: float | None, **options: float) -> Float32Array:
    """Implicit ALS (Hu, Koren and Volinsky, 2008), by the package implicit."""
    from implicit.als import AlternatingLeastSquares

    weights = _weights(month, half_life_days)
    model = AlternatingLeastSquares(**options, iterations=15, random_state=0, num_threads=1)
    model.fit(weights, show_progress=False)
    return model.user_factors[month.rows] @ model.item_factors.T


def bm25(month: Month, half_life_days: float | None, **options: float) -> Float32Array:
    """Item neighbours under BM25 weights, by the package implicit."""
    from implicit.nearest_neighbours import BM25Recommender
    from implicit.utils import ParameterWarning

    weights = _weights(month, half_life_days)
    model = BM25Recommender(**options, num_threads=1)
    with warnings.catch_warnings(category=ParameterWarning, action="ignore"):
        model.fit(weights, show_progress=False)
    return filled(month, (weights[month.rows] @ model.similarity).toarray())


def _grid(**tried: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(tried, values, strict=True)) for values in product(*tried.values())]


GRIDS: dict[Callable[..., Float32Array], tuple[str, list[dict[str, Any]]]] = {
    popularity: ("popularity", _grid(days=[28])),
    frequency: ("personal frequency", _grid(half_life_days=[60, 90, 150])),
    tifu: ("TIFU-KNN", _grid(half_life_days=[60, 90], neighbours=[100, 300], own_share=[0.5, 0.7, 0.85])),
    up_cf: ("UP-CF", _grid(orders=[25, 50], locality=[2, 5, 10])),
    ease: (
        "EASE",
        [
            *_grid(half_life_days=[None], power=[0], ridge=[300, 500, 1000]),
            *_grid(half_life_days=[90], power=[0.5], ridge=[60, 100, 200]),
            *_grid(half_life_days=[90], power=[1], ridge=[20, 40, 80]),
        ],
    ),
    als: (
        "implicit ALS",
        _grid(half_life_days=[90, None], factors=[128], regularization=[10.0, 30.0], alpha=[1.0, 2.0]),
    ),
    bm25: ("BM25", _grid(half_life_days=[90], K=[300, 1000], B=[0.1, 0.3, 0.75])),
}


def tuned(month: Month) -> Iterator[Peer]:
    """Each peer with the options that are best on a slice by NDCG@10; once, if they are so on several."""
    for scores, (name, grid) in GRIDS.items():
        tried = [Peer(name, scores, options, ()) for options in grid]
        worth = np.array([_worth(month, peer) for peer in tried])
        best = worth.argmax(axis=0)
        best = np.where(worth[best[0]] == worth.max(axis=0), best[0], best)
        for place in sorted(set(best.tolist())):
            at = tuple(part for part, one in zip(RANKED, best, strict=True) if one == place)
            yield Peer(name, scores, tried[place].options, at)


def _worth(month: Month, peer: Peer) -> list[float]:
    scores = peer.of(month)
    ndcg = [float(judge(month.truth, part, lambda rows: scores[rows]).at[10].ndcg.mean()) for part in RANKED]
    shown = ", ".join(f"{part} {value:.4f}" for part, value in zip(RANKED, ndcg, strict=True))
    print(f"  {month.first:%B}, {peer}: {shown}", flush=True)
    return ndcg


def _popular(month: Month, days: int) -> Float32Array:
    """Customers who bought each warm item lately."""
    lately = month.eve.history.weights(window_days=days)[:, month.warm]
    return np.bincount(lately.indices, minlength=len(month.warm)).astype(np.float32)


def filled(month: Month, scores: Float32Array) -> Float32Array:
    """Scores of warm items, and where there are none what many bought lately."""
    popular = _popular(month, 28)
    scores += np.float32(_TIE) * popular / popular.max()
    return scores


def _weights(month: Month, half_life_days: float | None) -> sparse.csr_matrix:
    """The purchases of warm items by all customers, in the type that `implicit` takes."""
    return sparse.csr_matrix(month.eve.history.weights(half_life_days)[:, month.warm])


def _share_of_orders(history: PurchaseHistory, last: int) -> sparse.csr_array:
    """In which share of their last orders customers bought each item, shape (customers, items), float32."""
    first = np.diff(history.orders, prepend=-1) != 0
    number = np.cumsum(first)
    made = np.bincount(history.customers[first], minlength=len(history))
    kept = np.cumsum(made)[history.customers] - number < last
    at = history.customers[kept], history.items[kept]
    ones = np.ones(int(kept.sum()), np.float32)
    counted = sparse.csr_array((ones, at), shape=(len(history), history.width))
    rate = 1 / np.maximum(np.minimum(made, last), 1)
    return (sparse.diags_array(rate.astype(np.float32)) @ counted).tocsr()
