"""From candidate to champion, once for each day and in day order: `model_log`, and MLflow's aliases after it.

A capability trains and registers a candidate, and leaves an *examination* with its run: cases of the newest
whole window, which neither the candidate's nor the champion's judged fit has seen. Both answer the same
paper, `gate.judge` compares the losses, and the verdict is written. So this module needs to know nothing of
what the models do.
"""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from perennial.foundation import gate, model_log, tracking
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import Ledger, open_ledger
from perennial.foundation.model_log import FAILED, KEPT, PROMOTED, Record, records
from perennial.foundation.registry import Trained

STEP = "train_models"
MODELS = ("return_model", "recommender")
WINDOW_DAYS = 28
WINDOW = timedelta(days=WINDOW_DAYS)
"""What models look ahead, and how long the window is on which they are judged."""

_FIGURE_PLACES = 6


class NoModelError(RuntimeError):
    """There is no model to go on with; the message says which and what to look at."""


class Examined(Protocol):
    """A registered model that can be judged."""

    def losses(self, examination: Path) -> NDArray[np.float64]:
        """Loss of the judged fit on each case of the examination, in the paper's order."""


def version_in_force(lake: Lake, model: str, day: date) -> int | None:
    """The version last promoted on or before the day; None for a day before the first promotion.

    Raises:
        NoModelError: none has ever been promoted.
    """
    promoted = [record for record in records(lake, model) if record.in_force]
    if not promoted:
        raise NoModelError(f"no {model} has ever been promoted: look at the runs of train_models")
    return next((record.version for record in reversed(promoted) if record.day <= day), None)


def decided(lake: Lake, ledger: Ledger, model: str, day: date) -> dict[str, str] | None:
    """What is on record of the model's training for the day; None while it is still to be decided."""
    found = [record for record in records(lake, model) if record.day == day]
    if not found and ledger.turn(STEP, day).open:
        return None
    if not found:
        return {"model": model, "verdict": "none: the day is past, and models are not promoted in the past"}
    record = found[0]
    version = {} if record.version is None else {"version": str(record.version)}
    return {"model": model, "verdict": record.verdict, "reason": record.reason, **version}


def promote(day: str | date, endpoint: Endpoint) -> dict[str, str]:
    """Judge the day's candidates, write the verdicts once, and make MLflow say the same; the verdicts.

    Done again it writes nothing and only mends the aliases. A model without a candidate is recorded as
    failed, and the champion stays.

    Raises:
        NoModelError: a model has neither champion nor candidate.
        OutOfOrderError: an earlier day has to be done first.
    """
    day = date.fromisoformat(str(day))
    lake, ledger = open_lake(), open_ledger()
    if ledger.turn(STEP, day).open:
        decided = any(record.day == day for model in MODELS for record in records(lake, model))
        rows = [] if decided else [_decide(lake, endpoint, model, day) for model in MODELS]
        with ledger.once(STEP, day) as first:
            if first and rows:
                model_log.add(lake, rows)
    return {model: _mirror(lake, endpoint, model, day) for model in MODELS}


def _decide(lake: Lake, endpoint: Endpoint, model: str, day: date) -> Record:
    """The verdict on the model's candidate of the day."""
    before = [record for record in records(lake, model) if record.in_force and record.day < day]
    champion = before[-1].version if before else None
    candidate = tracking.trained(endpoint, model, day)
    if candidate is None and champion is None:
        raise NoModelError(
            f"{model}: training for {day} failed and there is no champion: see the run of train_models"
        )
    if candidate is None:
        return Record(
            model, day, 1, None, day, FAILED, "its training failed; the champion stays in force", "{}"
        )
    verdict = _judge(endpoint, candidate, champion)
    figures = {**candidate.metrics, **_interval(verdict)}
    said = json.dumps({name: round(value, _FIGURE_PLACES) for name, value in sorted(figures.items())})
    return Record(
        model, day, 1, candidate.version, day, PROMOTED if verdict.promote else KEPT, verdict.reason, said
    )


def _judge(endpoint: Endpoint, candidate: Trained, champion: int | None) -> gate.Verdict:
    with tracking.examination(endpoint, candidate) as paper:
        theirs = _losses(endpoint, candidate.model, champion, paper) if champion is not None else None
        ours = _losses(endpoint, candidate.model, candidate.version, paper)
    return gate.judge(ours, theirs, margin=float(candidate.params["margin"]))


def _losses(endpoint: Endpoint, model: str, version: int, paper: Path) -> NDArray[np.float64]:
    examined: Examined = tracking.load_model(endpoint, model, version)
    return examined.losses(paper)


def _interval(verdict: gate.Verdict) -> Mapping[str, float]:
    found = {"extra_loss": verdict.difference, "extra_loss_low": verdict.low, "extra_loss_high": verdict.high}
    return {name: value for name, value in found.items() if value is not None}


def _mirror(lake: Lake, endpoint: Endpoint, model: str, day: date) -> str:
    """Make MLflow say what `model_log` says, and throw away what other attempts of the day left there."""
    held = records(lake, model)
    if not held:
        return "nothing on record"
    candidates = [record for record in held if record.version is not None]
    champion = next((record.version for record in reversed(held) if record.in_force), None)
    newest = candidates[-1] if candidates else None
    challenger = newest.version if newest is not None and newest.verdict == KEPT else None
    aliases = {tracking.CHAMPION: champion, tracking.CHALLENGER: challenger}
    tracking.set_aliases(endpoint, model, aliases)
    today = next((record for record in held if record.day == day), None)
    if today is None:
        return "nothing on record"
    tracking.settle(endpoint, model, day, today.version, {"verdict": today.verdict, "reason": today.reason})
    return f"{today.verdict}: {today.reason}"
