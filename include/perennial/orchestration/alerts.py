"""What happens when a task has failed for good: one plain sentence where log collectors find it."""

import logging
from collections.abc import Mapping
from typing import Any

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
