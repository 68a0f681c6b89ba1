"""How good are rankings? NDCG, recall and hit rate at k, customer by customer, over the whole catalogue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """The measures of each customer, in the customers' order, shape (n,) each, 0 to 1."""

    ndcg: Numbers
    recall: Numbers
    hit: Numbers

    def figures(self, k: int, draws: int = 1000) -> dict[str, float]:
        """Means with 95 % bootstrap intervals over customers (`<measure>_low`, `<measure>_high`)."""
        n = len(self.ndcg)
        picks = np.random.default_rng(0).integers(0, n, (draws, n))
        found: dict[str, float] = {}
        for name in ("ndcg", "recall", "hit"):
            values: Numbers = getattr(self, name)
            low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
            found |= {f"{name}_{k}": float(values.mean())}
            found |= {f"{name}_{k}_low": float(low), f"{name}_{k}_high": float(high)}
        return found


def evaluate(hits: NDArray[np.bool_], wanted: NDArray[np.int64]) -> Outcome:
    """NDCG (Järvelin and Kekäläinen, 2002, binary gains), recall and hit rate at k.

    Args:
        hits: whether the item at each rank was wanted, best rank first, shape (n, k).
        wanted: how many different items each customer wanted, in the ranking or not; at least 1.
    """
    k = hits.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(wanted, k) - 1]
    return Outcome(
        ndcg=(hits.astype(np.float64) @ discounts) / ideal,
        recall=hits.sum(axis=1) / wanted,
        hit=(hits.sum(axis=1) > 0).astype(np.float64),
    )
