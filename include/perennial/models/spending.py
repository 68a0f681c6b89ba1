"""What a customer will spend in the window to come: boosted trees that correct what was usual."""

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
class Spending:
    """Trees for the root of the spend. Get it with `fit`."""

    booster: lightgbm.Booster

    def medians(self, matrix: FloatArray) -> FloatArray:
        """What half of such customers spend less than within the longest horizon, in currency, shape (n,)."""
        return np.maximum(boosting.predict(self.booster, matrix) + _usual(matrix), 0) ** 2

    def save(self, path: Path) -> None:
        """Write it as text."""
        path.write_text(self.booster.model_to_string())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(lightgbm.Booster(model_str=path.read_text()))


def fit(cases: TrainingCases, chosen: TreesSettings) -> Spending:
    """Learnt by its absolute error, in square roots, as a correction of the usual spend."""
    matrix, roots = cases.matrix, np.sqrt(np.maximum(cases.spend, 0))
    return Spending(boosting.grow(matrix, roots, "l1", chosen, NAMES, start=_usual(matrix)))


def _usual(matrix: FloatArray) -> FloatArray:
    """Root of a window's spend as it was so far: mean of the last 28 days, the last 91 and all the time."""
    month, quarter, ever = (matrix[:, NAMES.index(one)] for one in ("spend_28", "spend_91", "spend_a_window"))
    days = HORIZONS[-1]
    return np.sqrt(np.maximum((month / 28 + quarter / 91 + ever / 28) / 3 * days, 0))
