"""Will this customer order within 7, 14, 28 days, and for how much: trees and rhythm in one blend.

A model holds two fits. The *judged* one has seen only what was known before the window it is judged on; the
*served* one is refitted through its day. The gate compares judged fits, the scores come from the served one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import expit, logit

from perennial.foundation.gate import Answers
from perennial.models import evidence, features, judgement, reasons, rhythm, trees
from perennial.models.cases import HORIZONS, Cases
from perennial.models.config import ReturnModelSettings
from perennial.models.drift import Reference
from perennial.models.features import NAMES, Numbers
from perennial.models.rhythm import Rhythm
from perennial.models.trees import Trees

NAME = "return_model"
PACKAGES = ("lightgbm", "numpy", "pandas", "pyarrow", "safetensors", "scipy", "torch")
FITS = ("served", "judged")
ANSWERS = (*(f"p_return_{days}" for days in HORIZONS), "expected_spend")
_REFERENCE = "reference.json"
_CERTAIN = 1e-6


@dataclass(frozen=True)
class Fit:
    """Both parts of the blend, and what is said where there is nothing to go by.

    Args:
        trees: over the features.
        rhythm: over the sequence of orders.
        share: of the rhythm in the blend, in log odds.
        typical: the median of everything the model reads, shape (len(evidence.NAMES),).
        base: training cases' share that came back within each horizon, and their median spend.
    """

    trees: Trees
    rhythm: Rhythm
    share: float
    typical: Numbers
    base: tuple[float, ...]

    def answers(self, rows: pa.Table) -> Numbers:
        """The columns `ANSWERS` for each profile row, shape (n, 4); for who never ordered `base`."""
        read = self.read(rows)
        found = np.column_stack([self.returns(read), self.trees.spending(read[:, : len(NAMES)])])
        return np.where(_ordered(rows)[:, None], found, self.base)

    def probabilities(self, rows: pa.Table) -> Numbers:
        """P(order within the longest horizon) of each profile row, shape (n,)."""
        return np.where(_ordered(rows), self.returns(self.read(rows))[:, -1], self.base[len(HORIZONS) - 1])

    def read(self, rows: pa.Table) -> Numbers:
        """Everything the model reads of each profile row, shape (n, len(evidence.NAMES))."""
        return np.hstack([features.matrix(rows), self.rhythm.inputs(rows)])

    def returns(self, read: Numbers) -> Numbers:
        """P(order within each horizon) from what is read, shape (n, 3); a longer one has no smaller one."""
        parts = (self.share, self.by_rhythm(read)), (1 - self.share, self.by_trees(read))
        odds = sum(share * logit(np.clip(said, _CERTAIN, 1 - _CERTAIN)) for share, said in parts)
        return np.maximum.accumulate(expit(odds), axis=1)

    def by_trees(self, read: Numbers) -> Numbers:
        """What the trees alone say, shape (n, 3)."""
        return self.trees.probabilities(read[:, : len(NAMES)])

    def by_rhythm(self, read: Numbers) -> Numbers:
        """What the rhythm alone says, shape (n, 3)."""
        recency = read[:, NAMES.index("recency_days")]
        return self.rhythm.probabilities(read[:, len(NAMES) :], recency, HORIZONS)

    def pushes(self, read: Numbers) -> Numbers:
        """What each kind of evidence adds to the log odds of an order within the longest horizon."""
        return evidence.shapley(lambda seen: logit(self.returns(seen)[:, -1]), read, self.typical)

    def reasons(self, rows: pa.Table) -> list[list[str]]:
        """The three kinds of evidence that moved each probability most, in words, strongest first."""
        ordered = _ordered(rows)
        asked = rows.filter(pa.array(ordered))
        said = iter(reasons.in_words(features.matrix(asked), self.pushes(self.read(asked))))
        return [next(said) if one else [reasons.NO_ORDER] for one in ordered]

    def save(self, folder: Path) -> None:
        """Write the fit into a folder, as text and numbers."""
        folder.mkdir(parents=True, exist_ok=True)
        self.trees.save(folder)
        self.rhythm.save(folder / "rhythm.safetensors")
        about = {"share": self.share, "typical": self.typical.tolist(), "base": self.base}
        (folder / "blend.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        about = json.loads((folder / "blend.json").read_text())
        parts = Trees.load(folder), Rhythm.load(folder / "rhythm.safetensors")
        return cls(*parts, about["share"], np.array(about["typical"]), tuple(about["base"]))


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
        (folder / _REFERENCE).write_text(self.reference.to_json())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        judged, served = (Fit.load(folder / name) for name in ("judged", "served"))
        return cls(judged, served, Reference.from_json((folder / _REFERENCE).read_text()))

    def answers(self, examination: Path) -> Answers:
        """What the judged fit says of each case of an examination, in its order; losses are log losses."""
        cases = Cases.load(examination)
        said = self.judged.probabilities(cases.rows)
        losses = judgement.log_losses(cases.labels, said)
        return Answers(losses, cases.groups, probabilities=said, labels=cases.labels)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """What MLflow calls: profile rows in; `customer_id`, `ANSWERS` and `reasons` out.

        Args:
            frame: the columns `features.COLUMNS` of `profiles`.
            params: `fit`, "served" (default) or "judged".
        """
        fit: Fit = self.judged if (params or {}).get("fit") == "judged" else self.served
        rows = features.from_frame(frame)
        found = pd.DataFrame(fit.answers(rows), columns=list(ANSWERS))
        found.insert(0, "customer_id", frame["customer_id"].to_numpy())
        return found.assign(reasons=pd.Series(fit.reasons(rows), dtype=object))


def fit(cases: Cases, lately: pa.Table, chosen: ReturnModelSettings) -> Fit:
    """Fit both parts: the same data give the same fit.

    Args:
        cases: past cut-offs and what followed, for the trees.
        lately: profiles as of the last day that the fit may know, of customers with an order, for the rhythm.
        chosen: the settings.
    """
    followed = rhythm.fit(lately, chosen.rhythm)
    read = np.hstack([cases.matrix, followed.inputs(cases.rows)])
    base = (*cases.returns.mean(axis=0).tolist(), float(np.median(cases.spend)))
    parts = trees.fit(cases, chosen.trees), followed, chosen.rhythm.share
    return Fit(*parts, np.nan_to_num(np.nanmedian(read, axis=0)), base)


def _ordered(rows: pa.Table) -> np.ndarray:
    return rows["orders"].to_numpy() > 0


def _load_pyfunc(folder: str) -> ReturnModel:
    """MLflow's own name for the loader of a pyfunc."""
    return ReturnModel.load(Path(folder))
