"""From candidate to champion, once for each day and in day order: `model_log`, and MLflow's aliases after it.

A capability trains and registers a candidate, and leaves an *examination* with its run: cases of the newest
whole window, which neither the candidate's nor the champion's judged fit has seen. Both answer the same
paper, `gate.judge` compares the answers, and the verdict is written. So this module needs to know nothing of
what the models do.
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
"""What models look ahead, and how long the window is on which they are judged."""

_FIGURE_PLACES = 6


class NoModelError(RuntimeError):
    """There is no model to go on with; the message says which and what to look at."""


class ChangedMeanwhileError(RuntimeError):
    """A champion was rolled back from while candidates were judged against it."""


class Examined(Protocol):
    """A registered model that can be judged."""

    def answers(self, examination: Path) -> gate.Answers:
        """What the judged fit answers to the examination, in the paper's order."""


def version_in_force(lake: Lake, model: str, day: date) -> int | None:
    """The version put in force last on or before the day; None for a day before the first promotion.

    Raises:
        NoModelError: none has ever been promoted.
    """
    promoted = [record for record in records(lake, model) if record.in_force]
    if not promoted:
        raise NoModelError(f"no {model} has ever been promoted: look at the runs of train_models")
    return next((record.version for record in reversed(promoted) if record.day <= day), None)


def decided(lake: Lake, ledger: Ledger, model: str, day: date) -> dict[str, str] | None:
    """What is on record of the model's training for the day; None while it is still to be decided."""
    found = _decision(records(lake, model), day)
    if found is None and ledger.turn(STEP, day).open:
        return None
    if found is None:
        return {"model": model, "verdict": f"none: {_too_late(ledger)}"}
    version = {} if found.version is None else {"version": str(found.version)}
    return {"model": model, "verdict": found.verdict, "reason": found.reason, **version}


def promote(day: str | date, endpoint: Endpoint, models: Sequence[str]) -> dict[str, str]:
    """Judge the day's candidates, write the verdicts once, and make MLflow say the same; the verdicts.

    Done again it writes nothing and only mends what MLflow says. A model without a candidate is recorded as
    failed, and the champion stays.

    Raises:
        NoModelError: a model has neither champion nor candidate.
        OutOfOrderError: an earlier day has to be done first.
        ChangedMeanwhileError: somebody rolled back just now; the next attempt judges anew.
    """
    day = date.fromisoformat(str(day))
    lake, ledger = open_lake(), open_ledger()
    if ledger.turn(STEP, day).open:
        held = {model: records(lake, model) for model in models}
        decided = any(_decision(found, day) for found in held.values())
        rows = [] if decided else [_decide(found, endpoint, model, day) for model, found in held.items()]
        with ledger.once(STEP, day) as first:
            if first and rows:
                if any(records(lake, model) != found for model, found in held.items()):
                    raise ChangedMeanwhileError(f"{day}: a roll back came between; clear the task")
                model_log.add(lake, rows)
    return {model: _mirror(lake, ledger, endpoint, model, day) for model in models}


def set_aliases(endpoint: Endpoint, model: str, held: Sequence[Record]) -> None:
    """Make MLflow's aliases say what is on record: the champion, and the last candidate if it was kept."""
    champion = next((record.version for record in reversed(held) if record.in_force), None)
    newest = next((record for record in reversed(held) if record.decides and record.version), None)
    challenger = newest.version if newest is not None and newest.verdict == KEPT else None
    tracking.set_aliases(endpoint, model, {tracking.CHAMPION: champion, tracking.CHALLENGER: challenger})


def _decision(held: Sequence[Record], day: date) -> Record | None:
    return next((record for record in held if record.day == day and record.decides), None)


def _too_late(ledger: Ledger) -> str:
    frontier = ledger.frontier(STEP)
    return f"too late: {frontier} is decided already, and models are not promoted in the past"


def _decide(held: Sequence[Record], endpoint: Endpoint, model: str, day: date) -> Record:
    """The verdict on the model's candidate of the day."""
    champion = next((one for one in reversed(held) if one.in_force and one.day <= day), None)
    candidate = tracking.trained(endpoint, model, day)
    change = next_change(held, day)
    if candidate is None and champion is None:
        raise NoModelError(
            f"{model}: training for {day} failed and there is no champion: see the run of train_models"
        )
    if candidate is None:
        reason = "its training failed; the champion stays in force"
        return Record(model, day, change, None, day, FAILED, reason, "{}")
    verdict, champion = _judge(endpoint, candidate, day, champion)
    figures = {**candidate.metrics, **verdict.figures}
    said = json.dumps({name: round(value, _FIGURE_PLACES) for name, value in sorted(figures.items())})
    held_through = None if champion is None else champion.held_through
    if champion is not None and held_through is not None and day <= held_through:
        held_by = f"version {champion.version} is held through {held_through}, {champion.reason}"
        verdict = replace(verdict, promote=False, reason=f"{held_by}; of the candidate: {verdict.reason}")
    made = PROMOTED if verdict.promote else KEPT
    return Record(model, day, change, candidate.version, day, made, verdict.reason, said)


def _judge(
    endpoint: Endpoint, candidate: Trained, day: date, champion: Record | None
) -> tuple[gate.Verdict, Record | None]:
    """The verdict, and the champion that was judged; None where there is none that today's code can read."""
    theirs, unread = None, None
    with tracking.examination(endpoint, candidate) as paper:
        ours = _answers(endpoint, candidate.model, candidate.version, paper)
        if champion is not None and champion.version is not None:
            try:
                theirs = _answers(endpoint, candidate.model, champion.version, paper)
            except tracking.SavedOtherwiseError as error:
                unread = error
    verdict = gate.judge(
        ours,
        theirs,
        fresher=champion is None or day > champion.trained_through,
        margin=float(candidate.params["margin"]),
        group_margin=float(candidate.params["group_margin"]),
    )
    if unread is None:
        return verdict, champion
    return replace(verdict, reason=f"there is no champion to ask: {unread}"), None


def _answers(endpoint: Endpoint, model: str, version: int, paper: Path) -> gate.Answers:
    examined: Examined = tracking.load_model(endpoint, model, version)
    return examined.answers(paper)


def _mirror(lake: Lake, ledger: Ledger, endpoint: Endpoint, model: str, day: date) -> str:
    """Make MLflow say what `model_log` says, and throw away what other attempts of the day left there."""
    held = records(lake, model)
    if not held:
        return "nothing on record"
    set_aliases(endpoint, model, held)
    today = _decision(held, day)
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
    """Write the verdict on a candidate to its run and version; the id of the run, empty without one."""
    if today.version is None:
        return ""
    said = {"verdict": today.verdict, "reason": today.reason}
    return tracking.note(endpoint, today.model, today.version, said, today.day, figures)
