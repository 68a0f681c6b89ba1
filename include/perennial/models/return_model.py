"""Will this customer order within 7, 14, 28 days, and for how much: trees and rhythm in one blend.

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
        level: added to the log odds of each horizon, shape (3,).
    """

    trees: Trees
    rhythm: Rhythm
    share: float
    typical: Numbers
    base: tuple[float, ...]
    level: Numbers

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
        return np.maximum.accumulate(expit(self.blended(read) + self.level), axis=1)

    def blended(self, read: Numbers) -> Numbers:
        """Log odds of both parts in their shares, before the level, shape (n, 3)."""
        rhythm, trees = (
            logit(np.clip(said, _CERTAIN, 1 - _CERTAIN))
            for said in (self.by_rhythm(read), self.by_trees(read))
        )
        return self.share * rhythm + (1 - self.share) * trees

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
        lists = {"typical": self.typical.tolist(), "base": self.base, "level": self.level.tolist()}
        about = {"share": self.share, **lists}
        (folder / "blend.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        about = json.loads((folder / "blend.json").read_text())
        parts = Trees.load(folder), Rhythm.load(folder / "rhythm.safetensors")
        typical, level = np.array(about["typical"]), np.array(about["level"])
        return cls(*parts, about["share"], typical, tuple(about["base"]), level)


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


def fit(
    windows: Sequence[Cases], lately: pa.Table, chosen: ReturnModelSettings, level: Numbers | None = None
) -> Fit:
    """Fit both parts: the same data give the same fit.

    Args:
        windows: past cut-offs and what followed, for the trees.
        lately: profiles as of the last day that the fit may know, of customers with an order, for the rhythm.
        chosen: the settings.
        level: as `level_of` found it; 0 by default.
    """
    cases, followed = Cases.joined(windows), rhythm.fit(lately, chosen.rhythm)
    read = np.hstack([cases.matrix, followed.inputs(cases.rows)])
    base = (*cases.returns.mean(axis=0).tolist(), float(np.median(cases.spend)))
    return Fit(
        trees=trees.fit(cases, chosen.trees),
        rhythm=followed,
        share=chosen.rhythm.share,
        typical=np.nan_to_num(np.nanmedian(read, axis=0)),
        base=base,
        level=np.zeros(len(HORIZONS)) if level is None else level,
    )


def level_of(before: Fit, after: Cases, carried: float) -> Numbers:
    """What a fit lacked, in log odds, to say the share that then came back; so much of it is carried on.

    What makes customers of one time come back more or less than those before lasts for some weeks.

    Args:
        before: a fit that knows nothing of the window.
        after: the window that followed.
        carried: the part that is expected to last, 0 to 1.
    """
    odds = before.blended(before.read(after.rows))
    lacking = [_lacking(odds[:, i], after.returns[:, i].mean()) for i in range(len(HORIZONS))]
    return carried * np.array(lacking)


def _lacking(odds: Numbers, share: float) -> float:
    wanted = np.clip(share, 1 / (len(odds) + 1), len(odds) / (len(odds) + 1))
    return float(brentq(lambda more: expit(odds + more).mean() - wanted, -50, 50))


def _ordered(rows: pa.Table) -> np.ndarray:
    return rows["orders"].to_numpy() > 0


def _load_pyfunc(folder: str) -> ReturnModel:
    """MLflow's own name for the loader of a pyfunc."""
    return ReturnModel.load(Path(folder))
