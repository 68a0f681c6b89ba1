"""Gradient-boosted trees over the features: P(order) within each horizon, and the spend (Ke et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import lightgbm
import numpy as np

from perennial.foundation.settings import settings
from perennial.models.cases import HORIZONS, Cases
from perennial.models.config import TreesSettings
from perennial.models.features import NAMES, Numbers

_CASES_A_THREAD = 100_000
_SPEND = "spend"


@dataclass(frozen=True)
class Trees:
    """Boosted trees for each horizon, shortest first, and those for the spend."""

    returns: tuple[lightgbm.Booster, ...]
    spend: lightgbm.Booster

    def probabilities(self, matrix: Numbers) -> Numbers:
        """P(order within each horizon), shape (n, len(HORIZONS)), of the features of n customers."""
        return np.column_stack([_predict(one, matrix) for one in self.returns])

    def spending(self, matrix: Numbers) -> Numbers:
        """What half of such customers spend less than within the longest horizon, in currency, shape (n,)."""
        return np.maximum(_predict(self.spend, matrix) + _usual(matrix), 0) ** 2

    def save(self, folder: Path) -> None:
        """Write them as text."""
        named = zip((*map(str, HORIZONS), _SPEND), (*self.returns, self.spend), strict=True)
        for name, booster in named:
            (folder / f"trees_{name}.txt").write_text(booster.model_to_string())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        texts = [(folder / f"trees_{name}.txt").read_text() for name in (*HORIZONS, _SPEND)]
        *returns, spend = (lightgbm.Booster(model_str=text) for text in texts)
        return cls(tuple(returns), spend)


def fit(cases: Cases, chosen: TreesSettings) -> Trees:
    """Trees on the cases: the same cases give the same trees, whatever the number of threads.

    Of each feature one threshold, drawn at random, is tried (extremely randomised trees: Geurts, Ernst and
    Wehenkel 2006): on few cases the best threshold is mostly luck. The spend is learnt by its absolute error,
    in square roots, as a correction of the usual spend.
    """
    parameters = {
        "learning_rate": chosen.learning_rate,
        "num_leaves": chosen.leaves,
        "min_data_in_leaf": chosen.least_cases_in_leaf,
        "feature_fraction": chosen.feature_share,
        "lambda_l2": chosen.ridge,
        "extra_trees": True,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": _threads(len(cases.labels)),
        "seed": 0,
        "verbosity": -1,
    }
    matrix = cases.matrix

    def learnt(objective: str, labels: Numbers, start: Numbers | None = None) -> lightgbm.Booster:
        data = lightgbm.Dataset(matrix, labels, init_score=start, feature_name=list(NAMES))
        return lightgbm.train({**parameters, "objective": objective}, data, chosen.rounds)

    roots = np.sqrt(np.maximum(cases.spend, 0))
    returns: Sequence[lightgbm.Booster] = [learnt("binary", labels) for labels in cases.returns.T]
    return Trees(tuple(returns), learnt("l1", roots, _usual(matrix)))


def _usual(matrix: Numbers) -> Numbers:
    """Root of a window's spend as it was so far: mean of the last 28 days, the last 91 and all the time."""
    month, quarter, ever = (matrix[:, NAMES.index(one)] for one in ("spend_28", "spend_91", "spend_a_window"))
    days = HORIZONS[-1]
    return np.sqrt(np.maximum((month / 28 + quarter / 91 + ever / 28) / 3 * days, 0))


def _predict(booster: lightgbm.Booster, matrix: Numbers) -> Numbers:
    return np.asarray(booster.predict(matrix, num_threads=_threads(len(matrix))), float)


def _threads(cases: int) -> int:
    """Threads that have too little to do only wait for one another, for seconds on a busy machine."""
    return max(1, min(settings().threads, cases // _CASES_A_THREAD))
