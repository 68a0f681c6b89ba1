"""Are today's customers still those that the model learnt from? Each feature, and the scores.

The population stability index compares in how large shares customers fall into bins: those of the training
cases (equal mass, and one bin for missing values) and those of a day,

    PSI = Σ (day − training) · ln(day ÷ training)

(Lin 2017; half a case is added to every bin, so that an empty one costs much and not everything). Without any
drift, PSI ÷ (1/n + 1/m) for n and m cases is distributed as χ² with one degree less than there are bins
(Yurdakul and Naranjo 2020): what chance alone brings is said beside each value. By an old rule of thumb up to
0.1 is steady, above 0.25 a shift.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from scipy import stats

from perennial.foundation.arrays import FloatArray

SCORE = "score"
"""The measure under which the scores stand beside the features."""

BINS = 10
_CHANCE = 0.999


class Level(StrEnum):
    """The level of a stability index."""

    STEADY = "steady"
    SHIFTING = "shifting"
    SHIFTED = "shifted"


@dataclass(frozen=True)
class Bins:
    """The distribution of the training cases in one measure.

    Args:
        edges: the values at which a new bin begins, ascending.
        counts: training cases in each bin; the last holds the missing values.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: FloatArray) -> Self:
        """Bins of about equal mass; a value that more than a tenth of the cases share has one for itself."""
        known = values[~np.isnan(values)]
        shares = np.linspace(0, 1, BINS + 1)[1:-1]
        quantiles = np.quantile(known, shares, method="higher") if len(known) else known
        distinct, counts = np.unique(known, return_counts=True)
        shared = distinct[counts * BINS > len(known)]
        edges = tuple(np.unique(np.concatenate([quantiles, shared, np.nextafter(shared, np.inf)])).tolist())
        return cls(edges, _counts(values, edges))

    def drift_of(self, values: FloatArray) -> "Drift":
        """The stability index of other values against these."""
        day, training = np.array(_counts(values, self.edges)), np.array(self.counts)
        now, then = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (day, training))
        # A bin that is empty on both sides does not count.
        free = max(1, int(((day > 0) | (training > 0)).sum()) - 1)
        scale = 1 / max(1, day.sum()) + 1 / max(1, training.sum())
        psi = float(((now - then) * np.log(now / then)).sum())
        return Drift(psi, float(scale * stats.chi2.ppf(_CHANCE, free)))


@dataclass(frozen=True)
class Drift:
    """A stability index, and the bound that 999 of 1,000 days without drift stay under."""

    psi: float
    by_chance: float

    def level(self, shifting: float, shifted: float) -> Level:
        """The level; steady, if the index is within chance."""
        if self.psi <= max(shifting, self.by_chance):
            return Level.STEADY
        return Level.SHIFTING if self.psi <= shifted else Level.SHIFTED


@dataclass(frozen=True)
class Reference:
    """The training cases of the served fit in each measure: the features by name, and `score`."""

    measures: Mapping[str, Bins]

    def drifts(self, matrix: FloatArray, names: Sequence[str], probabilities: FloatArray) -> dict[str, Drift]:
        """The stability index of each measure for the customers of a day, in the order of the measures.

        Args:
            matrix: their features, shape (n, len(names)), NaN where missing.
            names: of its columns; those the reference does not know are passed over.
            probabilities: their scores, shape (n,).

        Raises:
            ValueError: a feature that the model learnt from is not among the names.
        """
        values = _measures(matrix, names, probabilities)
        missing = self.measures.keys() - values.keys()
        if missing:
            raise ValueError(f"features the model learnt from are missing: {', '.join(sorted(missing))}")
        return {name: bins.drift_of(values[name]) for name, bins in self.measures.items()}

    def to_json(self) -> str:
        """As text, to be saved with the model."""
        return json.dumps({name: asdict(bins) for name, bins in self.measures.items()}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        measures = json.loads(text).items()
        return cls({name: Bins(tuple(bins["edges"]), tuple(bins["counts"])) for name, bins in measures})


@dataclass(frozen=True)
class DriftReport:
    """A measure of a day; one that `grows` by itself as the shop gets older gives no alarm."""

    name: str
    psi: float
    by_chance: float
    level: Level
    grows: bool

    @property
    def alarm(self) -> bool:
        """Whether people should be told."""
        return self.level is Level.SHIFTED and not self.grows


def judge(
    drifts: Mapping[str, Drift], shifting: float, shifted: float, growing: Collection[str]
) -> list[DriftReport]:
    """The levels of the stability indices of a day, the greatest index first.

    Args:
        drifts: by measure.
        shifting: the index above which a measure is called shifting.
        shifted: the index above which it is called shifted and gives an alarm.
        growing: measures that grow by themselves and give no alarm.
    """
    return [
        DriftReport(
            name, measured.psi, measured.by_chance, measured.level(shifting, shifted), grows=name in growing
        )
        for name, measured in sorted(drifts.items(), key=lambda pair: -pair[1].psi)
    ]


def reference(matrix: FloatArray, names: Sequence[str], probabilities: FloatArray) -> Reference:
    """The bins of the training cases.

    Args:
        matrix: their features, shape (n, len(names)), NaN where missing.
        names: of its columns.
        probabilities: of the served fit, shape (n,).
    """
    values = _measures(matrix, names, probabilities)
    return Reference({name: Bins.of(column) for name, column in values.items()})


def _measures(matrix: FloatArray, names: Sequence[str], probabilities: FloatArray) -> dict[str, FloatArray]:
    return {SCORE: probabilities} | {name: matrix[:, column] for column, name in enumerate(names)}


def _counts(values: FloatArray, edges: Sequence[float]) -> tuple[int, ...]:
    """Values in each bin, from its edge up to but not including the next; missing values come last."""
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return (*counts.tolist(), len(values) - len(known))
