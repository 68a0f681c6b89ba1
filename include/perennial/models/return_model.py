"""P(order within 28 days) for each customer: gradient-boosted trees over the profile, with reasons.

A model holds two fits. The *judged* one has seen only windows that had ended before the window it is judged
on; the *served* one is refitted through its day. The gate compares judged fits, the scores come from the
served one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.foundation.settings import settings
from perennial.models import features, judgement, reasons
from perennial.models.cases import Cases
from perennial.models.config import ReturnModelSettings
from perennial.models.features import Numbers

NAME = "return_model"
PACKAGES = ("lightgbm", "numpy", "pandas", "pyarrow")
FITS = ("served", "judged")
_CASES_A_THREAD = 100_000


@dataclass(frozen=True)
class Fit:
    """One set of trees, the share of its training cases that came back, and the features it reads."""

    trees: lightgbm.Booster
    base_rate: float
    names: tuple[str, ...] = features.NAMES

    def probabilities(self, rows: pa.Table) -> Numbers:
        """P(order within the window) of each profile row; customers without any order get the base rate."""
        found = self.trees.predict(self._read(rows), num_threads=_threads(rows.num_rows))
        return np.where(_ordered(rows), np.asarray(found, float), self.base_rate)

    def reasons(self, rows: pa.Table) -> list[list[str]]:
        """The three features that moved each probability most, in words, strongest first."""
        matrix = self._read(rows)
        pushes = np.asarray(
            self.trees.predict(matrix, pred_contrib=True, num_threads=_threads(rows.num_rows))
        )[:, :-1]
        said = reasons.in_words(self.names, matrix, pushes)
        return [
            words if ordered else [reasons.NO_ORDER]
            for words, ordered in zip(said, _ordered(rows), strict=True)
        ]

    def _read(self, rows: pa.Table) -> Numbers:
        columns = [features.NAMES.index(name) for name in self.names]
        return features.matrix(rows)[:, columns]


@dataclass(frozen=True)
class ReturnModel:
    """Both fits, as they are registered together."""

    judged: Fit
    served: Fit

    def save(self, folder: Path) -> None:
        """Write the model into a folder, as text."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in FITS:
            fit: Fit = getattr(self, name)
            (folder / f"{name}.txt").write_text(fit.trees.model_to_string())
            (folder / f"{name}.json").write_text(json.dumps({"base_rate": fit.base_rate, "names": fit.names}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""

        def read(name: str) -> Fit:
            about = json.loads((folder / f"{name}.json").read_text())
            trees = lightgbm.Booster(model_str=(folder / f"{name}.txt").read_text())
            return Fit(trees, about["base_rate"], tuple(about["names"]))

        return cls(judged=read("judged"), served=read("served"))

    def losses(self, examination: Path) -> Numbers:
        """Log loss of the judged fit on each case of an examination, in its order."""
        cases = Cases.load(examination)
        return judgement.log_losses(cases.labels, self.judged.probabilities(cases.rows))

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """What MLflow calls: profile rows in; `customer_id, p_return_28, reasons` out.

        Args:
            frame: the columns `features.COLUMNS` of `profiles`.
            params: `fit`, "served" (default) or "judged".
        """
        fit: Fit = self.judged if (params or {}).get("fit") == "judged" else self.served
        rows = features.from_frame(frame)
        found = {"p_return_28": fit.probabilities(rows), "reasons": fit.reasons(rows)}
        return pd.DataFrame({"customer_id": frame["customer_id"].to_numpy(), **found})


def fit(cases: Cases, chosen: ReturnModelSettings) -> Fit:
    """Boosted trees on the cases: the same cases give the same trees, whatever the number of threads."""
    parameters = {
        "objective": "binary",
        "learning_rate": chosen.learning_rate,
        "num_leaves": chosen.leaves,
        "min_data_in_leaf": chosen.least_cases_in_leaf,
        "feature_fraction": chosen.feature_share,
        "lambda_l2": chosen.ridge,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": _threads(len(cases.labels)),
        "seed": 0,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(cases.matrix, cases.labels, feature_name=list(features.NAMES))
    trees = lightgbm.train(parameters, data, num_boost_round=chosen.rounds)
    return Fit(trees, float(cases.labels.mean()))


def _threads(cases: int) -> int:
    """Threads that have too little to do only wait for one another, for seconds on a busy machine."""
    return max(1, min(settings().threads, cases // _CASES_A_THREAD))


def _ordered(rows: pa.Table) -> np.ndarray:
    return rows["orders"].to_numpy() > 0


def _load_pyfunc(folder: str) -> ReturnModel:
    """MLflow's own name for the loader of a pyfunc."""
    return ReturnModel.load(Path(folder))
