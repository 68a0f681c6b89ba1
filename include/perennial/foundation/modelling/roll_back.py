"""Back to an earlier version of a model, by a person, from the first day on that is not decided yet.

Days that are decided stay as they are: up to the frontier they keep the version that was in force on them.
The version to which one goes back is held for a while, at least through the first day. Otherwise the next
candidate, made from the same code and data, would replace it at once. After the hold, candidates are compared
with it, and never with the version that was rolled back.
"""

import json
import logging
from collections.abc import Sequence
from datetime import date, timedelta

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.modelling import model_log, promotion, tracking
from perennial.foundation.modelling.model_log import (
    HELD_THROUGH,
    ROLLED_BACK,
    Record,
    next_change,
    records,
    revertible,
)

_LOG = logging.getLogger(__name__)


class RollBackError(RuntimeError):
    """This roll back is not possible; the message says what was requested and what is possible."""


def choose(model: str, version: int | None = None) -> dict[str, int]:
    """From which version to which: the version in force, and the one before it if the form names none.

    Raises:
        RollBackError: no version was in force before, or the named one never was, or it is now.
    """
    history = records(open_lake(), model)
    back = revertible(history)
    if not back:
        raise RollBackError(f"no {model} has ever been promoted; there is nothing to roll back")
    in_force, earlier = back[-1].version, [row.version for row in back[:-1]]
    if version is None and not earlier:
        raise RollBackError(f"{model}: before version {in_force} none was in force")
    to_version = earlier[-1] if version is None else version
    allowed = sorted(
        {row.version for row in history if row.in_force and row.version is not None} - {in_force}
    )
    if to_version not in allowed or in_force is None or to_version is None:
        state = "is in force" if to_version == in_force else "was never in force"
        raise RollBackError(f"{model}: version {to_version} {state}; allowed are {allowed}")
    return {"from_version": in_force, "to_version": to_version}


def roll_back(
    model: str, from_version: int, to_version: int, reason: str, held_through: str, endpoint: Endpoint
) -> str:
    """Put the version in force from the first day that is not decided yet; what was done, in words.

    A second call writes nothing and only sets MLflow's aliases again.

    Args:
        model: its registered name.
        from_version: the version to leave; if another one is in force by now, nothing is done.
        to_version: one that was in force before.
        reason: a person's words.
        held_through: the last day on which no candidate can replace it; by default the first open day.
        endpoint: MLflow.

    Raises:
        RollBackError: the reason is missing, the hold ends too early, or another version is in force.
        SavedOtherwiseError: this code cannot read the earlier version.
    """
    if not reason.strip():
        raise RollBackError(f"{model}: a reason is needed; whoever reads the log wants to know why")
    lake, ledger = open_lake(), open_ledger()
    with ledger.standing(promotion.STEP) as frontier:
        history = records(lake, model)
        in_force = revertible(history)[-1]
        if in_force.version == from_version:
            day = _first_open(history, frontier)
            last = date.fromisoformat(held_through) if held_through else day
            if last < day:
                raise RollBackError(f"{model}: cannot be held through {last}: {day} is the first open day")
            tracking.load_model(endpoint, model, to_version)
            model_log.add(lake, [_row(history, to_version, from_version, day, reason.strip(), last)])
        elif in_force.version != to_version:
            raise RollBackError(f"{model}: meanwhile version {in_force.version} is in force; look again")
    history = records(lake, model)
    promotion.set_aliases(endpoint, model, history)
    row = revertible(history)[-1]
    tracking.note(endpoint, model, from_version, {"rolled_back": f"from {row.day} on: {row.reason}"})
    message = f"version {to_version} is in force from {row.day} on, held through {row.held_through}"
    _LOG.info("%s: %s", model, message)
    return message


def _first_open(history: Sequence[Record], frontier: date | None) -> date:
    """The day after the last day that is decided, by the record or by the frontier."""
    days = [record.day for record in history if record.decides] + ([frontier] if frontier else [])
    return max(days) + timedelta(days=1)


def _row(
    history: Sequence[Record], to: int, from_version: int, day: date, reason: str, held_through: date
) -> Record:
    through = next(record.trained_through for record in history if record.version == to)
    figures = json.dumps({"from_version": from_version, HELD_THROUGH: str(held_through)})
    words = f"in place of version {from_version}: {reason}"
    return Record(history[0].model, day, next_change(history, day), to, through, ROLLED_BACK, words, figures)
