"""Back to an earlier version of a model, by a person, from the first day on that is not decided yet.

What is decided stays: days up to the frontier keep the version that spoke on them. The version gone back to
is held for a while, at least through the first day, so that the next candidate, made of the same code and
data, does not take its place at once. After that candidates are judged against it, never against what was
rolled back from.
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
    line,
    next_change,
    records,
)

_LOG = logging.getLogger(__name__)


class RollBackError(RuntimeError):
    """One cannot go back like this; the message says what was asked for and what is possible."""


def choose(model: str, version: int | None = None) -> dict[str, int]:
    """From which version to which: what is in force, and what was before it if the form names none.

    Raises:
        RollBackError: no version was in force before, or the named one never was, or it is now.
    """
    held = records(open_lake(), model)
    back = line(held)
    if not back:
        raise RollBackError(f"no {model} has ever been promoted; there is nothing to roll back")
    present, earlier = back[-1].version, [one.version for one in back[:-1]]
    if version is None and not earlier:
        raise RollBackError(f"{model}: before version {present} none was in force")
    wanted = earlier[-1] if version is None else version
    known = sorted({one.version for one in held if one.in_force and one.version is not None} - {present})
    if wanted not in known or present is None or wanted is None:
        state = "is in force" if wanted == present else "was never in force"
        raise RollBackError(f"{model}: version {wanted} {state}; allowed are {known}")
    return {"from_version": present, "to_version": wanted}


def roll_back(
    model: str, from_version: int, to_version: int, reason: str, held_through: str, endpoint: Endpoint
) -> str:
    """Put the version in force from the first day that is not decided yet; what was done, in words.

    Done again it writes nothing and only mends MLflow's aliases.

    Args:
        model: its registered name.
        from_version: what is to go; if meanwhile another one is in force, nothing is done.
        to_version: one that was in force before.
        reason: a person's words.
        held_through: the last day on which no candidate takes its place; by default the first day itself.
        endpoint: MLflow.

    Raises:
        RollBackError: the reason is missing, the hold ends too early, or another version is in force.
        SavedOtherwiseError: this code cannot read the earlier version.
    """
    if not reason.strip():
        raise RollBackError(f"{model}: a reason is needed; whoever reads the log wants to know why")
    lake, ledger = open_lake(), open_ledger()
    with ledger.standing(promotion.STEP) as frontier:
        held = records(lake, model)
        present = line(held)[-1]
        if present.version == from_version:
            day = _first_open(held, frontier)
            last = date.fromisoformat(held_through) if held_through else day
            if last < day:
                raise RollBackError(f"{model}: cannot be held through {last}: {day} is the first open day")
            tracking.load_model(endpoint, model, to_version)
            model_log.add(lake, [_row(held, to_version, from_version, day, reason.strip(), last)])
        elif present.version != to_version:
            raise RollBackError(f"{model}: meanwhile version {present.version} is in force; look again")
    held = records(lake, model)
    promotion.set_aliases(endpoint, model, held)
    row = line(held)[-1]
    tracking.note(endpoint, model, from_version, {"rolled_back": f"from {row.day} on: {row.reason}"})
    said = f"version {to_version} is in force from {row.day} on, held through {row.held_through}"
    _LOG.info("%s: %s", model, said)
    return said


def _first_open(held: Sequence[Record], frontier: date | None) -> date:
    """The day after the last one that is decided, on record or by the frontier."""
    days = [record.day for record in held if record.decides] + ([frontier] if frontier else [])
    return max(days) + timedelta(days=1)


def _row(held: Sequence[Record], to: int, gone: int, day: date, reason: str, held_through: date) -> Record:
    through = next(record.trained_through for record in held if record.version == to)
    figures = json.dumps({"from_version": gone, HELD_THROUGH: str(held_through)})
    said = f"in place of version {gone}: {reason}"
    return Record(held[0].model, day, next_change(held, day), to, through, ROLLED_BACK, said, figures)
