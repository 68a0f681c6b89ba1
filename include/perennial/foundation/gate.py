"""May a candidate model take the champion's place? Shared by every model that is retrained."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Verdict:
    """The decision, why in words, and the interval it rests on (candidate − champion, mean loss)."""

    promote: bool
    reason: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def judge(
    candidate: NDArray[np.float64], champion: NDArray[np.float64] | None, *, margin: float, draws: int = 2000
) -> Verdict:
    """Promote a candidate that is fresher and not worse.

    Not worse: the 95 % interval of its extra mean loss ends at or below `margin`.

    Args:
        candidate: loss of each case under the candidate's judged fit, shape (n,).
        champion: the same for the champion's judged fit, same cases in the same order; None without one.
        margin: the extra mean loss that is still called "not worse", in units of the loss.
        draws: bootstrap resamples over cases (percentile interval; Efron and Tibshirani 1993, chapter 13).

    Raises:
        ValueError: the two do not hold the same cases, or there are none.
    """
    if champion is None:
        return Verdict(True, "the first of its kind: there is no champion yet")
    if candidate.shape != champion.shape or not len(candidate):
        raise ValueError(f"losses of the same cases are needed; found {candidate.shape} and {champion.shape}")
    extra = candidate - champion
    resamples = np.random.default_rng(0).integers(0, len(extra), (draws, len(extra)))
    low, high = np.quantile(extra[resamples].mean(axis=1), [0.025, 0.975])
    difference = float(extra.mean())
    found = f"extra loss {difference:+.5f}, 95 % interval [{low:+.5f}, {high:+.5f}], margin {margin:g}"
    if high <= margin:
        return Verdict(True, f"fresher and not worse: {found}", difference, float(low), float(high))
    return Verdict(
        False, f"not shown to be as good as the champion: {found}", difference, float(low), float(high)
    )
