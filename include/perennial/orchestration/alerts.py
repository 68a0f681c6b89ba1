"""Alerts: a task failed for good, a day is late, or customers have drifted. Each is one logged sentence.

It goes to the logger `perennial.alerts`, where log collectors find it. Airflow's own deadlines are not used:
Airflow 3.3 cannot clear a run that has one (apache/airflow#70368).
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import get_current_context

logger = logging.getLogger("perennial.alerts")


def task_failed(context: Mapping[str, Any]) -> None:
    """Log which task of which day failed, why, and that it is safe to run it again."""
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
    """After a task: log the `alert` in the mapping that it returned, if there is one. The day goes on."""
    if isinstance(result, Mapping) and result.get("alert"):
        task = context["ti"]
        logger.critical("%s.%s: %s", task.dag_id, task.task_id, result["alert"])


def run_is_late(context: Mapping[str, Any], reason: str) -> None:
    """Log which day is not done after its deadline, and why."""
    run = context["dag_run"]
    day = run.partition_key or context["params"].get("day")
    logger.critical(
        "%s of %s is late: its run began at %s and is not done; %s.", run.dag_id, day, run.start_date, reason
    )


def deadline(context: Mapping[str, Any], after: timedelta) -> datetime:
    """When a run is late: `after` its start, or after its new start when a task was cleared.

    The end of the day does not count, so a backfilled day is not late from the beginning.
    """
    began: datetime = context["dag_run"].start_date
    return began + after


@contextmanager
def if_late(after: timedelta) -> Iterator[None]:
    """Around a task's work: one alert if the run is late when the work begins, or becomes late during it."""
    context = get_current_context()
    left = (deadline(context, after) - datetime.now(UTC)).total_seconds()
    reason = f"its task {context['ti'].task_id} is at work, try {context['ti'].try_number}"
    # With the task's context variables, from which Airflow's log takes the names of DAG, run and task.
    timer = threading.Timer(max(left, 0), copy_context().run, (run_is_late, context, reason))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
