"""Gradient-boosted trees (Ke et al. 2017, LightGBM): how they are set, grown and asked."""

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
    case_share: float = Field(1.0, gt=0, le=1, description="cases that a tree is grown on, drawn by chance")
    feature_share: float = Field(1.0, gt=0, le=1, description="features that a tree may look at")
    bins: int = Field(255, ge=2, description="thresholds of a feature that are told apart")
    ridge: float = Field(0.0, ge=0, description="L2 penalty on the leaves")
    random_thresholds: bool = Field(
        False, description="of each feature one threshold is tried, drawn at random, and not all"
    )


def grow(
    matrix: RealArray,
    labels: RealArray,
    objective: str,
    chosen: TreesSettings,
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
        chosen: how.
        names: of the features.
        start: what is said of each case without trees; they correct it.
        weights: how much each case counts.
    """
    parameters: dict[str, Any] = {
        "objective": objective,
        "learning_rate": chosen.learning_rate,
        "num_leaves": chosen.leaves,
        "min_data_in_leaf": chosen.least_cases_in_leaf,
        "bagging_fraction": chosen.case_share,
        "bagging_freq": int(chosen.case_share < 1),
        "feature_fraction": chosen.feature_share,
        "max_bin": chosen.bins,
        "lambda_l2": chosen.ridge,
        "extra_trees": chosen.random_thresholds,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings().threads_for(len(labels)),
        "seed": 0,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(matrix, labels, weight=weights, init_score=start, feature_name=list(names))
    return lightgbm.train(parameters, data, chosen.rounds)


def predict(
    booster: lightgbm.Booster, matrix: RealArray, *, raw: bool = False, threads: int | None = None
) -> FloatArray:
    """What the trees say of n cases, shape (n,).

    Args:
        booster: the trees.
        matrix: features, shape (n, features).
        raw: before it is made a probability.
        threads: that work on it; None: as many as are worth it.
    """
    threads = settings().threads_for(len(matrix)) if threads is None else threads
    return np.asarray(booster.predict(matrix, raw_score=raw, num_threads=threads), float)
