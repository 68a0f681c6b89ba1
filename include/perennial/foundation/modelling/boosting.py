"""Gradient-boosted trees (Ke et al. 2017, LightGBM): their settings, training and predictions."""

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
from pydantic import Field

from perennial.foundation.arrays import FloatArray, RealArray
from perennial.foundation.config import Part
from perennial.foundation.settings import settings


class TreesSettings(Part):
    """How trees are grown."""

    rounds: int = Field(ge=1, description="trees")
    learning_rate: float = Field(gt=0, le=1)
    leaves: int = Field(ge=2, description="of a tree, at most")
    least_cases_in_leaf: int = Field(ge=1)
    case_share: float = Field(1.0, gt=0, le=1, description="share of cases, drawn at random, for a tree")
    feature_share: float = Field(1.0, gt=0, le=1, description="share of features, drawn likewise")
    bins: int = Field(255, ge=2, description="bins of a feature, at most")
    ridge: float = Field(0.0, ge=0, description="L2 penalty on the leaves")
    random_thresholds: bool = Field(
        False, description="try one random threshold of each feature instead of all"
    )


def grow(
    matrix: RealArray,
    labels: RealArray,
    objective: str,
    trees: TreesSettings,
    names: Sequence[str],
    *,
    start: RealArray | None = None,
    weights: RealArray | None = None,
) -> lightgbm.Booster:
    """Trees for one objective: the same cases give the same trees, whatever the number of threads.

    Args:
        matrix: features of n cases, shape (n, len(names)).
        labels: shape (n,), as the next two.
        objective: by LightGBM's name.
        trees: their settings.
        names: names of the features.
        start: raw score of each case that the trees start from.
        weights: weight of each case.
    """
    parameters: dict[str, Any] = {
        "objective": objective,
        "learning_rate": trees.learning_rate,
        "num_leaves": trees.leaves,
        "min_data_in_leaf": trees.least_cases_in_leaf,
        "bagging_fraction": trees.case_share,
        "bagging_freq": int(trees.case_share < 1),
        "feature_fraction": trees.feature_share,
        "max_bin": trees.bins,
        "lambda_l2": trees.ridge,
        "extra_trees": trees.random_thresholds,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings().threads_for(len(labels)),
        "seed": 0,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(matrix, labels, weight=weights, init_score=start, feature_name=list(names))
    return lightgbm.train(parameters, data, trees.rounds)


def predict(
    booster: lightgbm.Booster, matrix: RealArray, *, raw: bool = False, threads: int | None = None
) -> FloatArray:
    """The predictions for n cases, shape (n,).

    Args:
        booster: the trees.
        matrix: features, shape (n, features).
        raw: the raw score instead of the probability.
        threads: how many threads; None: as many as are worth it.
    """
    threads = settings().threads_for(len(matrix)) if threads is None else threads
    return np.asarray(booster.predict(matrix, raw_score=raw, num_threads=threads), float)
