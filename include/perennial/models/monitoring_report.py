"""The page of a day: do customers still look like those the model learnt from, and is it fair to groups?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from perennial.foundation.pages import ReportWords, date_of, templates
from perennial.models.drift import DriftReport, Level
from perennial.models.fairness import Dimension, Figure

FOLDER = "models"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class MonitoredDay:
    """What was found out about a day.

    Args:
        day: the day.
        version: of the model in force.
        drift: every measure, the furthest first; none if the model keeps no record of its training cases.
        picture: the heat map of the last days as SVG, empty without one.
        dimensions: demographic groups.
        window: the newest whole window: the day before it, and its last; None where none is over.
        threshold: from this score on a customer counts as likely to come back.
        smallest_group: smaller groups are left out.
    """

    day: date
    version: int
    drift: Sequence[DriftReport]
    picture: str
    dimensions: Sequence[Dimension]
    window: tuple[date, date] | None
    threshold: float
    smallest_group: int


def path_of(day: date) -> str:
    """Where the page lies below the folder of the reports."""
    return f"{FOLDER}/{day}.html"


def page(watched: MonitoredDay, words: ReportWords) -> str:
    """The page of one day."""
    template = templates(_TEMPLATES).get_template("watch.html.j2")
    truths = [group.truth for one in watched.dimensions for group in one.groups if group.truth]
    ends = [abs(end) for truth in truths for end in (truth.difference.low, truth.difference.high)]
    return template.render(
        words=words,
        watched=watched,
        verdict=verdict(watched.drift),
        odd=odd(watched.dimensions),
        widest=max(ends, default=1.0),
        percent=percent,
        interval=interval,
        date_of=date_of,
    )


def index(days: Mapping[date, Sequence[DriftReport]], words: ReportWords) -> str:
    """The list of all days, newest first, each with what its drift says."""
    rows = [(day, path_of(day), *verdict(measures)) for day, measures in sorted(days.items(), reverse=True)]
    return (
        templates(_TEMPLATES)
        .get_template("watched_days.html.j2")
        .render(words=words, days=rows, date_of=date_of)
    )


def verdict(drift: Sequence[DriftReport]) -> tuple[str, str]:
    """Tone and sentence on the drift of a day."""
    if not drift:
        return "chosen", "Not measured: the version in force keeps no record of the cases it learnt from."
    alarms = [one for one in drift if one.alarm]
    if alarms:
        return "wrong", f"Shifted: {said(alarms)}. The day's retraining is flagged, and the alert was called."
    shifting = [one for one in drift if one.level is Level.SHIFTING and not one.grows]
    if shifting:
        return "chosen", f"Shifting, not alarming yet: {said(shifting)}."
    return "chance", "The customers of the day look like those that the model learnt from."


def said(measures: Sequence[DriftReport]) -> str:
    """Some measures with their index."""
    return ", ".join(f"{one.name.replace('_', ' ')} {one.psi:.2f}" for one in measures)


def odd(dimensions: Sequence[Dimension]) -> list[str]:
    """A sentence for each group for which what came true differs from what was said by more than chance."""
    return [
        f"{dimension.label} {group.name}: {percent(group.truth.said)} were said to come back, "
        f"{percent(group.truth.came.value)} of {group.truth.came.n:,} did."
        for dimension in dimensions
        for group in dimension.groups
        if group.truth is not None and group.truth.odd
    ]


def percent(value: float, *, signed: bool = False) -> str:
    """A share in per cent, one decimal; a difference of shares in percentage points."""
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f} %"


def interval(figure: Figure, *, signed: bool = False) -> str:
    """The 95 % interval of a share."""
    low, high = (f"{100 * end:{'+' if signed else ''}.1f}" for end in (figure.low, figure.high))
    return f"{low} to {high}"
