"""What happens when a task failed for good, a day is late or customers have drifted: a sentence is logged.

It goes to the logger `perennial.alerts`, where log collectors find it.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

# Airflow's stub leaves them out.
from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]

from perennial.orchestration.day import parse
from perennial.orchestration.waiting import ask, described

logger = logging.getLogger("perennial.alerts")


def task_failed(context: Mapping[str, Any]) -> None:
    """Say which task of which day failed, why, and that running it again is safe."""
    task = context["ti"]
    day = context.get("partition_key") or context["params"].get("day")
    logger.critical(
        "%s.%s failed for %s: %s. Nothing half-written is visible; clear the task to run it again.",
        task.dag_id,
        task.task_id,
        day,
        context.get("exception"),
    )


def tell(context: Mapping[str, Any], result: object = None) -> None:
    """After a task that has something to tell people: an `alert` among what it returned. The day goes on."""
    if isinstance(result, Mapping) and result.get("alert"):
        task = context["ti"]
        logger.critical("%s.%s: %s", task.dag_id, task.task_id, result["alert"])


def deadline(after: timedelta, watched: str, looked_for: str) -> DeadlineAlert:
    """The alert of a DAG whose run is not done so long after it was queued.

    Not after the day's end: a backfilled day is no later than any other.

    Args:
        after: how long.
        watched: dotted path of the function that says for which day a day waits, as in `waiting.Wait`.
        looked_for: the same of where its own files are looked for.
    """
    return DeadlineAlert(
        name="landing",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=after,
        callback=AsyncCallback(day_is_late, {"watched": watched, "looked_for": looked_for}),
    )


async def day_is_late(watched: str, looked_for: str, context: Mapping[str, Any]) -> str | None:
    """Say which day is not done by its deadline and what it waits for; Airflow calls it in the triggerer.

    A run that has failed has had its alert, and one that has not started waits for its turn in Airflow: of
    these it says nothing. What it returns, Airflow keeps with the deadline.
    """
    run = context["dag_run"]
    if run["state"] != "running":
        return None
    day = str(run["partition_key"] or (run["conf"] or {}).get("day"))
    since = run["queued_at"] or run["start_date"]
    reason = await asyncio.to_thread(_reason, day, watched, looked_for)
    sentence = f"{run['dag_id']} of {day} is late: queued at {since} and not done, {reason}."
    logger.critical(sentence)
    return sentence


def _reason(day: str, watched: str, looked_for: str) -> str:
    """What the day waits for; an alert is due also when that cannot be found out."""
    try:
        waits_for = ask(watched, parse(day))
        if waits_for is None:
            return "though nothing seems to be missing: its tasks are at work or try again"
        return f"it waits for {described(parse(day), waits_for, looked_for)}"
    except Exception as error:
        return f"and what it waits for could not be found out: {error}"
