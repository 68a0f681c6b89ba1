"""From candidate to champion, once for each day and in day order: `model_log`, and MLflow's aliases after it.

A capability trains and registers a candidate, and leaves an *examination* with its run: test cases of the
newest full window, which neither the candidate's nor the champion's evaluation fit has seen. Both are scored
on these cases, `gate.judge` compares their answers, and the verdict is written. So this module needs to know
nothing about what the models do.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import Ledger, open_ledger
from perennial.foundation.modelling import gate, model_log, tracking
from perennial.foundation.modelling.model_log import FAILED, KEPT, PROMOTED, Record, next_change, records
from perennial.foundation.modelling.registered import Trained

STEP = "train_models"
WINDOW_DAYS = 28
WINDOW = timedelta(days=WINDOW_DAYS)
"""How far models look ahead, and the length of the window on which they are scored."""

_FIGURE_PLACES = 6


class NoModelError(RuntimeError):
    """There is no model in force; the message says which one is missing and what to look at."""


class ChangedMeanwhileError(RuntimeError):
    """A champion was rolled back while candidates were compared with it."""


class Examined(Protocol):
    """A registered model that can be scored on test cases."""

    def answers(self, examination: Path) -> gate.Answers:
        """How well the evaluation fit does on the cases of the examination, in their order."""


def version_in_force(lake: Lake, model: str, day: date) -> int | None:
    """The version that was in force on the day; None for a day before the first promotion.

    Raises:
        NoModelError: none has ever been promoted.
    """
    promoted = [record for record in records(lake, model) if record.in_force]
    if not promoted:
        raise NoModelError(f"no {model} has ever been promoted: look at the runs of train_models")
    return next((record.version for record in reversed(promoted) if record.day <= day), None)


def decided(lake: Lake, ledger: Ledger, model: str, day: date) -> dict[str, str] | None:
    """What is on record about the model's training for the day; None while the day is not decided."""
    record = _decision(records(lake, model), day)
    if record is None and ledger.turn(STEP, day).open:
        return None
    if record is None:
        return {"model": model, "verdict": f"none: {_too_late(ledger)}"}
    version = {} if record.version is None else {"version": str(record.version)}
    return {"model": model, "verdict": record.verdict, "reason": record.reason, **version}


def promote(day: str | date, endpoint: Endpoint, models: Sequence[str]) -> dict[str, str]:
    """Compare the day's candidates with the champions, write the verdicts once, and bring MLflow in line.

    A second call writes nothing and only brings MLflow in line. A model without a candidate is recorded as
    failed, and its champion stays.

    Args:
        day: the day of the training.
        endpoint: MLflow.
        models: their registered names.

    Returns:
        The verdict on each model, in words.

    Raises:
        NoModelError: a model has neither champion nor candidate.
        OutOfOrderError: an earlier day has to be done first.
        ChangedMeanwhileError: a roll back came between; the next attempt decides anew.
    """
    day = date.fromisoformat(str(day))
    lake, ledger = open_lake(), open_ledger()
    if ledger.turn(STEP, day).open:
        histories = {model: records(lake, model) for model in models}
        decided = any(_decision(history, day) for history in histories.values())
        rows = [] if decided else [_decide(histories[model], endpoint, model, day) for model in models]
        with ledger.once(STEP, day) as first:
            if first and rows:
                if any(records(lake, model) != history for model, history in histories.items()):
                    raise ChangedMeanwhileError(f"{day}: a roll back came between; clear the task")
                model_log.add(lake, rows)
    return {model: _mirror(lake, ledger, endpoint, model, day) for model in models}


def set_aliases(endpoint: Endpoint, model: str, history: Sequence[Record]) -> None:
    """Set MLflow's aliases by the record: the champion, and the newest candidate if it was not promoted."""
    champion = next((record.version for record in reversed(history) if record.in_force), None)
    newest = next((record for record in reversed(history) if record.decides and record.version), None)
    challenger = newest.version if newest is not None and newest.verdict == KEPT else None
    tracking.set_aliases(endpoint, model, {tracking.CHAMPION: champion, tracking.CHALLENGER: challenger})


def _decision(history: Sequence[Record], day: date) -> Record | None:
    return next((record for record in history if record.day == day and record.decides), None)


def _too_late(ledger: Ledger) -> str:
    frontier = ledger.frontier(STEP)
    return f"too late: {frontier} is decided already, and models are not promoted in the past"


def _decide(history: Sequence[Record], endpoint: Endpoint, model: str, day: date) -> Record:
    """The verdict on the model's candidate of the day."""
    champion = next((row for row in reversed(history) if row.in_force and row.day <= day), None)
    candidate = tracking.trained(endpoint, model, day)
    change = next_change(history, day)
    if candidate is None and champion is None:
        raise NoModelError(
            f"{model}: training for {day} failed and there is no champion: see the run of train_models"
        )
    if candidate is None:
        reason = "its training failed; the champion stays in force"
        return Record(model, day, change, None, day, FAILED, reason, "{}")
    verdict, champion = _judge(endpoint, candidate, day, champion)
    figures = {**candidate.metrics, **verdict.figures}
    figures_json = json.dumps({name: round(value, _FIGURE_PLACES) for name, value in sorted(figures.items())})
    held_through = None if champion is None else champion.held_through
    if champion is not None and held_through is not None and day <= held_through:
        hold = f"version {champion.version} is held through {held_through}, {champion.reason}"
        verdict = replace(verdict, promote=False, reason=f"{hold}; of the candidate: {verdict.reason}")
    outcome = PROMOTED if verdict.promote else KEPT
    return Record(model, day, change, candidate.version, day, outcome, verdict.reason, figures_json)


def _judge(
    endpoint: Endpoint, candidate: Trained, day: date, champion: Record | None
) -> tuple[gate.Verdict, Record | None]:
    """The verdict, and the champion of the comparison; None if there is none that today's code can read."""
    champion_answers, unreadable = None, None
    with tracking.examination(endpoint, candidate) as cases:
        candidate_answers = _answers(endpoint, candidate.model, candidate.version, cases)
        if champion is not None and champion.version is not None:
            try:
                champion_answers = _answers(endpoint, candidate.model, champion.version, cases)
            except tracking.SavedOtherwiseError as error:
                unreadable = error
    verdict = gate.judge(
        candidate_answers,
        champion_answers,
        fresher=champion is None or day > champion.trained_through,
        margin=float(candidate.params["margin"]),
        group_margin=float(candidate.params["group_margin"]),
    )
    if unreadable is None:
        return verdict, champion
    return replace(verdict, reason=f"there is no champion to ask: {unreadable}"), None


def _answers(endpoint: Endpoint, model: str, version: int, cases: Path) -> gate.Answers:
    examined: Examined = tracking.load_model(endpoint, model, version)
    return examined.answers(cases)


def _mirror(lake: Lake, ledger: Ledger, endpoint: Endpoint, model: str, day: date) -> str:
    """Bring MLflow in line with `model_log`, and discard what other attempts of the day left there."""
    history = records(lake, model)
    if not history:
        return "nothing on record"
    set_aliases(endpoint, model, history)
    today = _decision(history, day)
    if today is None:
        reason = _too_late(ledger)
        late = tracking.trained(endpoint, model, day)
        if late is not None:
            tracking.note(endpoint, model, late.version, {"verdict": "none", "reason": reason})
        return f"none: {reason}"
    figures: Mapping[str, float] = json.loads(today.figures)
    tracking.discard(endpoint, model, {"day": str(day)}, keep=_noted(endpoint, today, figures))
    trend = {"promoted": float(today.verdict == PROMOTED), "trained": float(today.version is not None)}
    tracking.log_series(endpoint, model, day, {**figures, **trend})
    return f"{today.verdict}: {today.reason}"


def _noted(endpoint: Endpoint, today: Record, figures: Mapping[str, float]) -> str:
    """Write the verdict to the candidate's run and version; the id of the run, empty without a candidate."""
    if today.version is None:
        return ""
    tags = {"verdict": today.verdict, "reason": today.reason}
    return tracking.note(endpoint, today.model, today.version, tags, today.day, figures)
