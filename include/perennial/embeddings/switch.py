"""From which day on a space is in force: the rows of `model_log` with the model `encoder`.

**The space of a closed day never changes.** A row holds from a day on that is not closed yet, and it is
written while no day can be closed. `embed_items` of a day begins after that day is closed. So the day's space
is settled for all its tasks and for everything that reads their vectors: a day that was closed before the
switch keeps the old space, the next day has the new one.
"""

import logging
from datetime import date, timedelta

from perennial.foundation.embedding_spaces import ENCODER, EmbeddingSpace, embedding_settings, in_force
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import Ledger
from perennial.foundation.modelling import model_log
from perennial.foundation.modelling.model_log import PROMOTED, Record

_LOG = logging.getLogger(__name__)


class NoDayError(RuntimeError):
    """No day is closed yet, so a switch has no day to begin after."""


def start(lake: Lake, ledger: Ledger, day: date) -> EmbeddingSpace:
    """The space in force on the day; the first call of all puts in force what embeddings.yaml starts with."""
    if not model_log.records(lake, ENCODER):
        with ledger.standstill():
            _start(lake, day)
    return in_force(lake, day)


def switch(lake: Lake, ledger: Ledger, space: EmbeddingSpace) -> str:
    """Put the space in force from the first day on that is not closed; what was done, as a sentence.

    Nothing is written if it is in force already.

    Raises:
        NoDayError: no day is closed yet.
    """
    with ledger.standstill() as closed:
        if not closed:
            raise NoDayError(
                "no day is closed yet, so there is nothing to switch: "
                "embeddings.yaml says with which encoder and template the shop starts"
            )
        _start(lake, max(closed))
        last = model_log.records(lake, ENCODER)[-1]
        before = in_force(lake, last.day)
        if before.key == space.key:
            message = f"{space.key} is in force since {last.day}; nothing was changed"
        else:
            day = max(max(closed) + timedelta(days=1), last.day)
            message = f"in place of {before.key}, from {day} on"
            _write(lake, space, day, last.change + 1 if last.day == day else 1, message)
    _LOG.info("%s: %s", space.key, message)
    return message


def spaces(lake: Lake) -> list[EmbeddingSpace]:
    """Every space that is in force on some day; if none is, the one that embeddings.yaml starts with."""
    in_log = [EmbeddingSpace.model_validate_json(row.figures) for row in model_log.records(lake, ENCODER)]
    return in_log or [embedding_settings().start]


def _start(lake: Lake, day: date) -> None:
    if not model_log.records(lake, ENCODER):
        _write(lake, embedding_settings().start, day, 1, "what embeddings.yaml starts with")


def _write(lake: Lake, space: EmbeddingSpace, day: date, change: int, reason: str) -> None:
    row = Record(ENCODER, day, change, None, day, PROMOTED, reason, space.model_dump_json())
    model_log.add(lake, [row])
