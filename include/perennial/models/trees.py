"""Boosted trees over the features: P(order) within each horizon."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import lightgbm
import numpy as np

from perennial.foundation.arrays import FloatArray
from perennial.foundation.modelling import boosting
from perennial.foundation.modelling.boosting import TreesSettings
from perennial.models.features import NAMES
from perennial.models.training_cases import HORIZONS, TrainingCases


@dataclass(frozen=True)
class Trees:
    """Boosted trees for each horizon, shortest first."""

    boosters: tuple[lightgbm.Booster, ...]

    def probabilities(self, matrix: FloatArray, horizons: Sequence[int] = HORIZONS) -> FloatArray:
        """P(order within so many days), shape (n, len(horizons)), of the features of n customers."""
        asked = [self.boosters[HORIZONS.index(days)] for days in horizons]
        return np.column_stack([boosting.predict(booster, matrix) for booster in asked])

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


def fit(cases: TrainingCases, chosen: TreesSettings) -> Trees:
    """Trees on the cases: the same cases give the same trees."""
    matrix = cases.matrix
    return Trees(tuple(boosting.grow(matrix, labels, "binary", chosen, NAMES) for labels in cases.returns.T))
