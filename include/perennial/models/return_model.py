"""P(order within 7, 14, 28 days) and the spend: two kinds of trees and a network over orders.

A model holds two fits. The *judged* one has seen only what was known before the window it is judged on; the
*served* one is refitted through its day. The gate compares judged fits, the scores come from the served one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.optimize import brentq
from scipy.special import expit, logit

from perennial.foundation.arrays import FloatArray
from perennial.foundation.modelling.gate import Answers
from perennial.foundation.modelling.registered import check_layout, write_layout
from perennial.models import feature_groups, features, metrics, order_hazard_network, reasons, spending, trees
from perennial.models.drift import Reference
from perennial.models.features import NAMES
from perennial.models.order_hazard_network import OrderHazardNetwork
from perennial.models.settings import ReturnModelSettings
from perennial.models.spending import Spending
from perennial.models.training_cases import HORIZONS, TrainingCases
from perennial.models.trees import Trees

NAME = "return_model"
LAYOUT = 1
"""Of the files that `save` writes; whoever changes them raises it."""
PACKAGES = ("lightgbm", "numpy", "pandas", "pyarrow", "safetensors", "scipy", "torch")
FITS = ("served", "judged")
ANSWERS = (*(f"p_return_{days}" for days in HORIZONS), "expected_spend")
_REFERENCE = "reference.json"
_CERTAIN = 1e-6


@dataclass(frozen=True)
class Fit:
    """The parts of the blend, and the answers for customers without orders.

    Args:
        trees: over the features.
        deep_trees: the same, grown otherwise.
        rhythm: the network over the sequence of orders.
        spending: over the features.
        shares: of trees, deep trees and rhythm in the blend, in log odds.
        typical: the median of everything the model reads, shape (len(evidence.NAMES),).
        base: training cases' share that came back within each horizon, and their median spend.
        level: added to the log odds of each horizon, shape (3,).
    """

    trees: Trees
    deep_trees: Trees
    rhythm: OrderHazardNetwork
    spending: Spending
    shares: tuple[float, ...]
    typical: FloatArray
    base: tuple[float, ...]
    level: FloatArray

    def answers(self, rows: pa.Table) -> FloatArray:
        """The columns `ANSWERS` for each profile row, shape (n, 4); `base` for customers without orders."""
        read = self.read(rows)
        answers = np.column_stack([self.returns(read), self.spending.medians(read[:, : len(NAMES)])])
        return np.where(_ordered(rows)[:, None], answers, self.base)

    def probabilities(self, rows: pa.Table) -> FloatArray:
        """P(order within the longest horizon) of each profile row, shape (n,)."""
        return np.where(_ordered(rows), self.returns(self.read(rows))[:, -1], self.base[len(HORIZONS) - 1])

    def read(self, rows: pa.Table) -> FloatArray:
        """Everything the model reads of each profile row, shape (n, len(evidence.NAMES))."""
        return np.hstack([features.matrix(rows), self.rhythm.inputs(rows)])

    def returns(self, read: FloatArray) -> FloatArray:
        """P(order within each horizon) from the inputs, shape (n, 3); it never falls with the horizon."""
        return np.maximum.accumulate(expit(self.blended(read)), axis=1)

    def longest(self, read: FloatArray) -> FloatArray:
        """Log odds of an order within the longest horizon, shape (n,)."""
        return self.blended(read, HORIZONS[-1:])[:, 0]

    def blended(self, read: FloatArray, horizons: Sequence[int] = HORIZONS) -> FloatArray:
        """Log odds of all parts by their shares, with the level added, shape (n, len(horizons))."""
        level = self.level[[HORIZONS.index(days) for days in horizons]]
        parts = zip(self.shares, self.by_part(read, horizons).values(), strict=True)
        return sum((share * _odds(probabilities) for share, probabilities in parts), start=level)

    def by_part(self, read: FloatArray, horizons: Sequence[int] = HORIZONS) -> dict[str, FloatArray]:
        """Probabilities of each part of the blend alone, shape (n, len(horizons)), by its name."""
        matrix, recency = read[:, : len(NAMES)], read[:, NAMES.index("recency_days")]
        return {
            "trees": self.trees.probabilities(matrix, horizons),
            "deep trees": self.deep_trees.probabilities(matrix, horizons),
            "rhythm": self.rhythm.probabilities(read[:, len(NAMES) :], recency, horizons),
        }

    def pushes(self, read: FloatArray) -> FloatArray:
        """What each group of features adds to the log odds of an order within the longest horizon."""
        return feature_groups.shapley(self.longest, read, self.typical)

    def reasons(self, rows: pa.Table) -> list[list[str]]:
        """The three groups of features that moved each probability most, in words, strongest first."""
        ordered = _ordered(rows)
        with_order = rows.filter(pa.array(ordered))
        sentences = iter(reasons.reasons_of(features.matrix(with_order), self.pushes(self.read(with_order))))
        return [next(sentences) if has_order else [reasons.NO_ORDER] for has_order in ordered]

    def save(self, folder: Path) -> None:
        """Write the fit into a folder, as text and numbers."""
        self.trees.save(folder / "trees")
        self.deep_trees.save(folder / "deep_trees")
        self.rhythm.save(folder / "rhythm.safetensors")
        self.spending.save(folder / "spending.txt")
        lists = {"typical": self.typical.tolist(), "base": self.base, "level": self.level.tolist()}
        (folder / "blend.json").write_text(json.dumps({"shares": self.shares, **lists}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        about = json.loads((folder / "blend.json").read_text())
        return cls(
            trees=Trees.load(folder / "trees"),
            deep_trees=Trees.load(folder / "deep_trees"),
            rhythm=OrderHazardNetwork.load(folder / "rhythm.safetensors"),
            spending=Spending.load(folder / "spending.txt"),
            shares=tuple(about["shares"]),
            typical=np.array(about["typical"]),
            base=tuple(about["base"]),
            level=np.array(about["level"]),
        )


@dataclass(frozen=True)
class ReturnModel:
    """Both fits, as they are registered together."""

    judged: Fit
    served: Fit
    reference: Reference
    """The training cases of the served fit, for drift."""

    def save(self, folder: Path) -> None:
        """Write the model into a folder."""
        for name in FITS:
            getattr(self, name).save(folder / name)
        write_layout(folder, LAYOUT)
        (folder / _REFERENCE).write_text(self.reference.to_json())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            LayoutError: other code saved it in another layout.
        """
        check_layout(folder, LAYOUT)
        judged, served = (Fit.load(folder / name) for name in ("judged", "served"))
        return cls(judged, served, Reference.from_json((folder / _REFERENCE).read_text()))

    def answers(self, examination: Path) -> Answers:
        """The judged fit's answers to each case of an examination, in its order; losses are log losses."""
        cases = TrainingCases.load(examination)
        probabilities = self.judged.probabilities(cases.rows)
        losses = metrics.log_losses(cases.labels, probabilities)
        return Answers(losses, cases.groups, probabilities=probabilities, labels=cases.labels)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """What MLflow calls: profile rows in; `customer_id`, `ANSWERS` and `reasons` out.

        Args:
            frame: the columns `features.COLUMNS` of `profiles`.
            params: `fit`, "served" (default) or "judged".
        """
        fit: Fit = self.judged if (params or {}).get("fit") == "judged" else self.served
        rows = features.from_frame(frame)
        answers = pd.DataFrame(fit.answers(rows), columns=list(ANSWERS))
        answers.insert(0, "customer_id", frame["customer_id"].to_numpy())
        return answers.assign(reasons=pd.Series(fit.reasons(rows), dtype=object))


def fit(windows: Sequence[TrainingCases], lately: pa.Table, settings: ReturnModelSettings) -> Fit:
    """Fit all parts: the same data give the same fit.

    Args:
        windows: past cut-offs and what followed, newest first, for the trees.
        lately: profiles as of the last day that the fit may know, of customers with an order, for the rhythm.
        settings: of the model.
    """
    cases, network = TrainingCases.joined(windows), order_hazard_network.fit(lately, settings.rhythm)
    read = np.hstack([cases.matrix, network.inputs(cases.rows)])
    return Fit(
        trees=trees.fit(cases, settings.trees),
        deep_trees=trees.fit(cases, settings.deep_trees),
        rhythm=network,
        spending=spending.fit(cases, settings.trees),
        shares=(settings.trees.share, settings.deep_trees.share, settings.rhythm.share),
        typical=np.nan_to_num(np.nanmedian(read, axis=0)),
        base=(*cases.returns.mean(axis=0).tolist(), float(np.median(cases.spend))),
        level=_level(windows, settings),
    )


def _level(windows: Sequence[TrainingCases], settings: ReturnModelSettings) -> FloatArray:
    """What is added to the log odds of each horizon, shape (3,); 0 without a window to rehearse on.

    As a shop grows older, fewer of its customers come back than earlier customers who looked the same. How
    many fewer is
    rehearsed: trees that know only what came before a window predict it.
    """
    rehearsed = [
        _correction(trees.fit(TrainingCases.joined(windows[place + 1 :]), settings.trees), after)
        for place, after in enumerate(windows[: min(settings.rehearsals, len(windows) - 1)])
    ]
    return settings.level_carried * np.mean(rehearsed, axis=0) if rehearsed else np.zeros(len(HORIZONS))


def _correction(before: Trees, after: TrainingCases) -> FloatArray:
    """What the trees lack, in log odds, to predict the share that came back, shape (3,)."""
    odds, n = _odds(before.probabilities(after.matrix)), len(after.labels)
    came_back = np.clip(after.returns.mean(axis=0), 1 / (n + 1), n / (n + 1))
    solved = [
        brentq(
            lambda more, of_horizon=of_horizon, share=share: expit(of_horizon + more).mean() - share, -50, 50
        )
        for of_horizon, share in zip(odds.T, came_back, strict=True)
    ]
    return np.array(solved)


def _odds(probabilities: FloatArray) -> FloatArray:
    return logit(np.clip(probabilities, _CERTAIN, 1 - _CERTAIN))


def _ordered(rows: pa.Table) -> np.ndarray:
    return rows["orders"].to_numpy() > 0


def _load_pyfunc(folder: str) -> ReturnModel:
    """MLflow's own name for the loader of a pyfunc."""
    return ReturnModel.load(Path(folder))
