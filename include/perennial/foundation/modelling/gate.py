"""May a candidate model take the champion's place? Shared by every model that is retrained.

Both have answered the same paper: cases of the newest whole window, of which neither judged fit knew
anything. A candidate is promoted when all of this holds:

- it is **not worse**: the 95 % interval of its extra mean loss ends at or below a margin;
- it is **fresher**, trained through a later day, **or better**: that interval ends below 0;
- where it says probabilities, they are **honest**: their calibration error is no more than chance alone would
  bring, or no more than the champion's;
- **no large group pays for it**: of no group of at least 200 cases does the interval begin above the group's
  margin, nor of a part of the question that so many cases have, such as what is new to them;
- where it chooses among things, it has **not narrowed**: it names at least half as many different ones as the
  champion.

Else the champion stays, and the reason names everything that spoke against the candidate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from perennial.foundation.arrays import BoolArray, FloatArray
from perennial.foundation.modelling import calibration

LEAST_GROUP = 200
"""Of smaller groups an interval says too little."""

LEAST_COVERAGE = 0.5
"""Of the different things that the champion names, a candidate names at least this part."""

_MOST_PARTS = 20_000


@dataclass(frozen=True)
class Answers:
    """What a model's judged fit answered to a paper of n cases, in the paper's order.

    Args:
        losses: shape (n,), in the model's own unit; less is better.
        groups: by name, which cases belong to a group of customers, shape (n,). They may overlap. Of the
            champion's answers nobody asks for them.
        probabilities: what was said, where probabilities are said; shape (n,).
        labels: what came true, 0 or 1; with `probabilities`.
        parts: by name, the losses of a part of the question, NaN where it does not arise, shape (n,).
        coverage: share of all things that are named at all, where things are named.

    Raises:
        ValueError: a shape differs, a loss is no number, or there are labels without probabilities.
    """

    losses: FloatArray
    groups: Mapping[str, BoolArray] = field(default_factory=dict)
    probabilities: FloatArray | None = None
    labels: FloatArray | None = None
    parts: Mapping[str, FloatArray] = field(default_factory=dict)
    coverage: float | None = None

    def __post_init__(self) -> None:
        held = {"probabilities": self.probabilities, "labels": self.labels, **self.groups, **self.parts}
        for name, values in held.items():
            if values is not None and values.shape != self.losses.shape:
                raise ValueError(f"{name}: a value for each case is needed; found {values.shape}")
        if not np.isfinite(self.losses).all():
            raise ValueError(f"losses: {int((~np.isfinite(self.losses)).sum())} of them are no number")
        if (self.probabilities is None) != (self.labels is None):
            raise ValueError("probabilities and labels come together or not at all")


@dataclass(frozen=True)
class Verdict:
    """The decision, why in words, and the figures it rests on.

    Args:
        promote: is the candidate the new champion?
        reason: a sentence for people.
        figures: `extra_loss` (candidate − champion, mean) with `_low` and `_high`, `extra_loss/<group>`,
            `calibration_error` and what it may be by chance, `coverage` and the champion's.
    """

    promote: bool
    reason: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class _Extra:
    """Extra mean loss of the candidate with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"extra loss {self.mean:+.5f}, 95 % interval [{self.low:+.5f}, {self.high:+.5f}]"


@dataclass(frozen=True)
class _Honesty:
    """Calibration error of the candidate, what chance allows, and the champion's."""

    error: float
    by_chance: float
    champion: float | None

    @property
    def enough(self) -> bool:
        return self.error <= max(self.by_chance, self.champion or 0.0)

    @property
    def figures(self) -> dict[str, float]:
        return {"calibration_error": self.error, "calibration_error_by_chance": self.by_chance}

    def __str__(self) -> str:
        found = f"calibration error {self.error:.4f}, by chance up to {self.by_chance:.4f}"
        return found if self.champion is None else f"{found}, the champion's {self.champion:.4f}"


def judge(
    candidate: Answers,
    champion: Answers | None,
    *,
    fresher: bool,
    margin: float,
    group_margin: float,
    draws: int = 2000,
) -> Verdict:
    """Decide by the rule that stands at the head of this module; without a champion anybody is welcome.

    Args:
        candidate: its answers to the paper.
        champion: the champion's, to the same paper; None while there is none.
        fresher: was the candidate trained through a later day than the champion?
        margin: the extra mean loss that is still called "not worse", in units of the loss.
        group_margin: the same for a group; less than this a group may lose.
        draws: bootstrap resamples over cases (percentile interval; Efron and Tibshirani 1993, chapter 13).

    Raises:
        ValueError: the two did not answer the same paper, or it was empty.
    """
    honest = _honesty(candidate, champion)
    figures = {} if honest is None else honest.figures
    if champion is None:
        return Verdict(True, "the first of its kind: there is no champion yet", figures)
    _check(candidate, champion)
    whole = _extra(candidate.losses - champion.losses, draws)
    groups = _groups(candidate, champion)
    found = {name: _extra(extra, draws) for name, extra in groups.items()}
    better = whole.high < 0
    against = []
    if whole.high > margin:
        against.append(f"not shown to be as good as the champion: {whole}, margin {margin:g}")
    elif not (fresher or better):
        against.append(f"neither fresher nor better than the champion: {whole}")
    if honest is not None and not honest.enough:
        against.append(f"its probabilities are further off than chance allows: {honest}")
    against += [
        f"clearly worse for {name} ({len(groups[name])} cases): {one}, margin {group_margin:g}"
        for name, one in found.items()
        if one.low > group_margin
    ]
    if candidate.coverage is not None and champion.coverage is not None:
        figures |= {"coverage": candidate.coverage, "coverage_of_champion": champion.coverage}
        if candidate.coverage < LEAST_COVERAGE * champion.coverage:
            against.append(
                f"names too few different things: {candidate.coverage:.2%} of all, "
                f"the champion {champion.coverage:.2%}"
            )
    reason = "; ".join(against) or _praise(whole, honest, found, margin, fresher=fresher, better=better)
    figures |= {"extra_loss": whole.mean, "extra_loss_low": whole.low, "extra_loss_high": whole.high}
    return Verdict(not against, reason, figures | {f"extra_loss/{k}": one.mean for k, one in found.items()})


def _check(candidate: Answers, champion: Answers) -> None:
    ours, theirs = candidate.losses.shape, champion.losses.shape
    if ours != theirs or not len(candidate.losses):
        raise ValueError(f"losses of the same cases are needed; found {ours} and {theirs}")
    if candidate.labels is not None and champion.labels is not None:
        differ = int((candidate.labels != champion.labels).sum())
        if differ:
            raise ValueError(f"labels of the same cases are needed; {differ} of {ours[0]} differ")


def _extra(extra: FloatArray, draws: int) -> _Extra:
    """Mean and percentile interval; many cases are drawn in random parts of equal size: as wide, cheaper."""
    random, parts = np.random.default_rng(0), extra
    if len(extra) > _MOST_PARTS:
        ends = np.linspace(0, len(extra), _MOST_PARTS + 1).astype(np.int64)
        parts = np.add.reduceat(random.permutation(extra), ends[:-1]) * (_MOST_PARTS / len(extra))
    means = [parts[random.integers(0, len(parts), len(parts))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return _Extra(float(extra.mean()), float(low), float(high))


def _groups(candidate: Answers, champion: Answers) -> dict[str, FloatArray]:
    """Extra losses of each large group, and of each part of the question that many cases have."""
    extra = candidate.losses - champion.losses
    found = {name: extra[its] for name, its in candidate.groups.items()}
    for name in candidate.parts.keys() & champion.parts.keys():
        part = candidate.parts[name] - champion.parts[name]
        found[name] = part[np.isfinite(part)]
    return {name: found[name] for name in sorted(found) if len(found[name]) >= LEAST_GROUP}


def _honesty(candidate: Answers, champion: Answers | None) -> _Honesty | None:
    if candidate.probabilities is None or candidate.labels is None:
        return None
    theirs = None
    if champion is not None and champion.probabilities is not None and champion.labels is not None:
        theirs = calibration.error(champion.labels, champion.probabilities)
    ours = calibration.error(candidate.labels, candidate.probabilities)
    return _Honesty(ours, calibration.error_by_chance(candidate.probabilities), theirs)


def _praise(
    whole: _Extra,
    honest: _Honesty | None,
    groups: Mapping[str, _Extra],
    margin: float,
    *,
    fresher: bool,
    better: bool,
) -> str:
    """Why a candidate against whom nothing speaks is promoted."""
    merits = "fresher and better" if fresher and better else "better" if better else "fresher and not worse"
    said = [f"{merits}: {whole}, margin {margin:g}"]
    if honest is not None:
        said.append(str(honest))
    if groups:
        said.append(f"none of {len(groups)} groups clearly worse")
    return "; ".join(said)
