"""Gradient-boosted trees over the features: P(order) within each horizon (Ke et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np

from perennial.foundation.settings import settings
from perennial.models.cases import HORIZONS, Cases
from perennial.models.config import TreesSettings
from perennial.models.features import NAMES, Numbers


@dataclass(frozen=True)
class Trees:
    """Boosted trees for each horizon, shortest first."""

    boosters: tuple[lightgbm.Booster, ...]

    def probabilities(self, matrix: Numbers, horizons: Sequence[int] = HORIZONS) -> Numbers:
        """P(order within so many days), shape (n, len(horizons)), of the features of n customers."""
        return np.column_stack([predict(self.boosters[HORIZONS.index(days)], matrix) for days in horizons])

    def save(self, folder: Path) -> None:
        """Write them as text, a file for each horizon."""
        folder.mkdir(parents=True, exist_ok=True)
        for days, booster in zip(HORIZONS, self.boosters, strict=True):
            (folder / f"{days}.txt").write_text(booster.model_to_string())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        texts = [(folder / f"{days}.txt").read_text() for days in HORIZONS]
        return cls(tuple(lightgbm.Booster(model_str=text) for text in texts))


def fit(cases: Cases, chosen: TreesSettings) -> Trees:
    """Trees on the cases: the same cases give the same trees, whatever the number of threads."""
    matrix = cases.matrix
    return Trees(tuple(boosted(matrix, labels, "binary", chosen) for labels in cases.returns.T))


def boosted(
    matrix: Numbers, labels: Numbers, objective: str, chosen: TreesSettings, start: Numbers | None = None
) -> lightgbm.Booster:
    """Trees for one objective of LightGBM, as corrections of `start` where it is given, shape (n,)."""
    parameters: dict[str, Any] = {
        "objective": objective,
        "learning_rate": chosen.learning_rate,
        "num_leaves": chosen.leaves,
        "min_data_in_leaf": chosen.least_cases_in_leaf,
        "feature_fraction": chosen.feature_share,
        "lambda_l2": chosen.ridge,
        "extra_trees": chosen.random_thresholds,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings().threads_for(len(labels)),
        "seed": 0,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(matrix, labels, init_score=start, feature_name=list(NAMES))
    return lightgbm.train(parameters, data, chosen.rounds)


def predict(booster: lightgbm.Booster, matrix: Numbers) -> Numbers:
    """What the trees say of the features of n customers, shape (n,)."""
    return np.asarray(booster.predict(matrix, num_threads=settings().threads_for(len(matrix))), float)
