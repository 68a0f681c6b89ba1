"""How good probabilities are: each measure once, in plain arrays, with its interval."""

import numpy as np

from perennial.foundation.arrays import FloatArray
from perennial.foundation.modelling import calibration

_TINY = 1e-7


def log_losses(labels: FloatArray, probabilities: FloatArray) -> FloatArray:
    """−ln of the probability of the outcome, one for each case, in nats."""
    of_outcome = np.where(labels > 0, probabilities, 1 - probabilities)
    return -np.log(np.clip(of_outcome, _TINY, 1.0))


def area_under_curve(labels: FloatArray, scores: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Probability that a case that came true outranks one that did not; ties count half.

    Args:
        labels: 0 or 1, shape (n,).
        scores: higher means likelier, shape (n,).
        weights: how often each case counts, shape (draws, n); once by default.

    Returns:
        One area for each row of weights (Mann and Whitney, 1947).
    """
    counts = np.ones((1, len(labels))) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positive = np.add.reduceat(counts[:, order] * labels[order], starts, axis=1)
    negative = np.add.reduceat(counts[:, order] * (1 - labels[order]), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def gain(labels: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Share of all positive cases among the first k by probability, for k = 0 … n."""
    came_true = np.cumsum(labels[np.argsort(-probabilities, kind="stable")])
    return np.r_[0.0, came_true / max(came_true[-1], 1.0)]


def figures(
    labels: FloatArray, probabilities: FloatArray, threshold: float, draws: int = 500
) -> dict[str, float]:
    """All measures with 95 % bootstrap intervals over the cases (`<measure>_low`, `<measure>_high`).

    Precision, recall and accuracy are those of a contact from the threshold on.
    """
    n = len(labels)
    losses, squares = log_losses(labels, probabilities), (probabilities - labels) ** 2
    likely = probabilities >= threshold
    hits, right = likely * labels, (likely == (labels > 0)).astype(float)

    def measured(counts: FloatArray) -> dict[str, FloatArray]:
        """Each measure for each row of `counts`: how often each case counts, shape (m, n)."""
        with np.errstate(invalid="ignore"):
            return {
                "auc": area_under_curve(labels, probabilities, counts),
                "log_loss": counts @ losses / n,
                "brier": counts @ squares / n,
                "precision": counts @ hits / (counts @ likely),
                "recall": counts @ hits / (counts @ labels),
                "accuracy": counts @ right / n,
            }

    picks = np.random.default_rng(0).integers(0, n, (draws, n))
    resampled = measured(np.stack([np.bincount(pick, minlength=n) for pick in picks]).astype(float))
    resampled["ece"] = np.array([calibration.error(labels[pick], probabilities[pick]) for pick in picks])
    whole = {name: float(values_of[0]) for name, values_of in measured(np.ones((1, n))).items()}
    results = {**whole, "ece": calibration.error(labels, probabilities)}
    for name, values in resampled.items():
        known = values[~np.isnan(values)]
        if len(known):
            low, high = np.quantile(known, [0.025, 0.975])
            results |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return {name: value for name, value in results.items() if not np.isnan(value)}
