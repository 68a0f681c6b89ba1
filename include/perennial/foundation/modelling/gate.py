"""May a candidate model take the champion's place? Shared by every model that is retrained.

Both are scored on the same cases: those of the newest full window, unseen by either evaluation fit. A
candidate is promoted when all of this holds:

- it is **not worse**: the 95 % interval of its extra mean loss ends at or below a margin;
- it is **fresher**, trained through a later day, **or better**: that interval ends below 0;
- if it gives probabilities, they are **honest**: their calibration error is at most what chance alone would
  bring, or at most the champion's;
- **no large group pays for it**: the interval of no group of at least 200 cases begins above the group's
  margin. The same holds for each part of the task that at least 200 cases have, such as items new to them;
- if it recommends items, it has **not narrowed**: it names at least half as many different ones as the
  champion.

Otherwise the champion stays, and the reason names everything that speaks against the candidate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from perennial.foundation.arrays import BoolArray, FloatArray
from perennial.foundation.bootstrap import Interval, mean_bounds
from perennial.foundation.modelling import calibration

LEAST_GROUP = 200
"""The interval of a smaller group is too wide to decide by."""

LEAST_COVERAGE = 0.5
"""A candidate names at least this share of the number of different items that the champion names."""

_MOST_PARTS = 20_000
"""More cases are summed in so many parts before the bootstrap."""


@dataclass(frozen=True)
class Answers:
    """How well a model's evaluation fit did on n test cases, in the order of the cases.

    Args:
        losses: shape (n,), in the model's own unit; less is better.
        groups: by name, which cases belong to a group of customers, shape (n,). They may overlap. The
            champion's are not used.
        probabilities: of a model that gives probabilities; shape (n,).
        labels: what came true, 0 or 1, shape (n,); together with `probabilities`.
        parts: by name, the losses on a part of the task, NaN for cases without it, shape (n,).
        coverage: share of all items that are named at all, of a model that recommends items.

    Raises:
        ValueError: a shape differs, a loss is not finite, or only one of probabilities and labels is there.
    """

    losses: FloatArray
    groups: Mapping[str, BoolArray] = field(default_factory=dict)
    probabilities: FloatArray | None = None
    labels: FloatArray | None = None
    parts: Mapping[str, FloatArray] = field(default_factory=dict)
    coverage: float | None = None

    def __post_init__(self) -> None:
        arrays = {"probabilities": self.probabilities, "labels": self.labels, **self.groups, **self.parts}
        for name, values in arrays.items():
            if values is not None and values.shape != self.losses.shape:
                raise ValueError(f"{name}: a value for each case is needed; found {values.shape}")
        if not np.isfinite(self.losses).all():
            raise ValueError(f"losses: {int((~np.isfinite(self.losses)).sum())} of them are no number")
        if (self.probabilities is None) != (self.labels is None):
            raise ValueError("probabilities and labels come together or not at all")


@dataclass(frozen=True)
class Verdict:
    """The decision, the reason in words, and the figures it rests on.

    Args:
        promote: is the candidate the new champion?
        reason: a sentence for people.
        figures: `extra_loss` (candidate − champion, mean) with `_low` and `_high`, `extra_loss/<group>`,
            `calibration_error` and `calibration_error_by_chance`, `coverage` and `coverage_of_champion`.
    """

    promote: bool
    reason: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class _Calibration:
    """Calibration error of the candidate, what chance allows, and the champion's."""

    error: float
    by_chance: float
    champion: float | None

    @property
    def is_honest(self) -> bool:
        return self.error <= max(self.by_chance, self.champion or 0.0)

    @property
    def figures(self) -> dict[str, float]:
        return {"calibration_error": self.error, "calibration_error_by_chance": self.by_chance}

    def __str__(self) -> str:
        error = f"calibration error {self.error:.4f}, by chance up to {self.by_chance:.4f}"
        return error if self.champion is None else f"{error}, the champion's {self.champion:.4f}"


def judge(
    candidate: Answers,
    champion: Answers | None,
    *,
    fresher: bool,
    margin: float,
    group_margin: float,
    draws: int = 2000,
) -> Verdict:
    """Decide by the rule at the head of this module; without a champion every candidate is promoted.

    Args:
        candidate: the candidate's answers.
        champion: the champion's answers to the same cases; None while there is no champion.
        fresher: was the candidate trained through a later day than the champion?
        margin: up to this extra mean loss a candidate is "not worse", in units of the loss.
        group_margin: the same for a group.
        draws: bootstrap resamples over cases.

    Raises:
        ValueError: the two were not scored on the same cases, or there are no cases.
    """
    calibrated = _calibration(candidate, champion)
    figures = {} if calibrated is None else calibrated.figures
    if champion is None:
        return Verdict(True, "the first of its kind: there is no champion yet", figures)
    _check(candidate, champion)
    whole = _interval(candidate.losses - champion.losses, draws)
    groups = _groups(candidate, champion)
    intervals = {name: _interval(extra, draws) for name, extra in groups.items()}
    better = whole.high < 0
    against = []
    if whole.high > margin:
        against.append(f"not shown to be as good as the champion: {_in_words(whole)}, margin {margin:g}")
    elif not (fresher or better):
        against.append(f"neither fresher nor better than the champion: {_in_words(whole)}")
    if calibrated is not None and not calibrated.is_honest:
        against.append(f"its probabilities are further off than chance allows: {calibrated}")
    against += [
        f"clearly worse for {name} ({len(groups[name])} cases): {_in_words(group)}, margin {group_margin:g}"
        for name, group in intervals.items()
        if group.low > group_margin
    ]
    if candidate.coverage is not None and champion.coverage is not None:
        figures |= {"coverage": candidate.coverage, "coverage_of_champion": champion.coverage}
        if candidate.coverage < LEAST_COVERAGE * champion.coverage:
            against.append(
                f"names too few different things: {candidate.coverage:.2%} of all, "
                f"the champion {champion.coverage:.2%}"
            )
    reason = "; ".join(against) or _praise(
        whole, calibrated, len(intervals), margin, fresher=fresher, better=better
    )
    figures |= {"extra_loss": whole.mean, "extra_loss_low": whole.low, "extra_loss_high": whole.high}
    figures |= {f"extra_loss/{name}": group.mean for name, group in intervals.items()}
    return Verdict(not against, reason, figures)


def _check(candidate: Answers, champion: Answers) -> None:
    ours, theirs = candidate.losses.shape, champion.losses.shape
    if ours != theirs or not len(candidate.losses):
        raise ValueError(f"losses of the same cases are needed; found {ours} and {theirs}")
    if candidate.labels is not None and champion.labels is not None:
        differ = int((candidate.labels != champion.labels).sum())
        if differ:
            raise ValueError(f"labels of the same cases are needed; {differ} of {ours[0]} differ")


def _interval(extra: FloatArray, draws: int) -> Interval:
    """Mean with its bootstrap interval.

    Many cases are drawn in random parts of equal size: it is cheaper, and the intervals are as wide.
    """
    random, parts = np.random.default_rng(0), extra
    if len(extra) > _MOST_PARTS:
        ends = np.linspace(0, len(extra), _MOST_PARTS + 1).astype(np.int64)
        parts = np.add.reduceat(random.permutation(extra), ends[:-1]) * (_MOST_PARTS / len(extra))
    return Interval(float(extra.mean()), *mean_bounds(parts, draws, random))


def _groups(candidate: Answers, champion: Answers) -> dict[str, FloatArray]:
    """Extra losses of each large group, and of each part of the task that many cases have."""
    extra = candidate.losses - champion.losses
    groups = {name: extra[members] for name, members in candidate.groups.items()}
    for name in candidate.parts.keys() & champion.parts.keys():
        part = candidate.parts[name] - champion.parts[name]
        groups[name] = part[np.isfinite(part)]
    return {name: groups[name] for name in sorted(groups) if len(groups[name]) >= LEAST_GROUP}


def _calibration(candidate: Answers, champion: Answers | None) -> _Calibration | None:
    if candidate.probabilities is None or candidate.labels is None:
        return None
    theirs = None
    if champion is not None and champion.probabilities is not None and champion.labels is not None:
        theirs = calibration.error(champion.labels, champion.probabilities)
    ours = calibration.error(candidate.labels, candidate.probabilities)
    return _Calibration(ours, calibration.error_by_chance(candidate.probabilities), theirs)


def _praise(
    whole: Interval,
    calibrated: _Calibration | None,
    groups: int,
    margin: float,
    *,
    fresher: bool,
    better: bool,
) -> str:
    """Why a candidate is promoted, if nothing speaks against it."""
    merits = "fresher and better" if fresher and better else "better" if better else "fresher and not worse"
    reasons = [f"{merits}: {_in_words(whole)}, margin {margin:g}"]
    if calibrated is not None:
        reasons.append(str(calibrated))
    if groups:
        reasons.append(f"none of {groups} groups clearly worse")
    return "; ".join(reasons)


def _in_words(extra: Interval) -> str:
    return f"extra loss {extra.mean:+.5f}, 95 % interval [{extra.low:+.5f}, {extra.high:+.5f}]"
