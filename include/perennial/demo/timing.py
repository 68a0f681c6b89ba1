"""Where the time went."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.table import Table

from perennial.demo.airflow_api import Task


class Stopwatch:
    """Seconds spent in named stages of this command, in the order in which they began."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        began = time.monotonic()
        self.stages[name] = 0.0
        try:
            yield
        finally:
            self.stages[name] = time.monotonic() - began


def busy_seconds(tasks: Iterable[Task]) -> float:
    """Length of the union of the tasks' intervals: how long at least one of them was at work."""
    spans = sorted((task.started, task.ended) for task in tasks if task.started and task.ended)
    total, until = 0.0, None
    for start, end in spans:
        begins: datetime = start if until is None or start > until else until
        if end > begins:
            total += (end - begins).total_seconds()
            until = end
    return total


def stages_table(stages: dict[str, float]) -> Table:
    """Seconds of each stage."""
    table = Table("stage", title="Where the time went", title_justify="left", box=None)
    table.add_column("seconds", justify="right")
    for name, seconds in stages.items():
        table.add_row(name, f"{seconds:.1f}")
    return table


def dags_table(tasks: Iterable[Task], order: Iterable[str]) -> Table:
    """For each DAG: tasks, the sum of their last tries' seconds, and how long any of them was at work."""
    tasks = list(tasks)
    table = Table("DAG", title="Tasks of all days", title_justify="left", box=None)
    for name in ("tasks", "sum, s", "wall, s", "slowest task, s"):
        table.add_column(name, justify="right")
    for dag in order:
        ours = [task for task in tasks if task.dag == dag and task.state in ("success", "failed")]
        if ours:
            slowest = max(ours, key=lambda task: task.seconds)
            table.add_row(
                dag,
                str(len(ours)),
                f"{sum(task.seconds for task in ours):.1f}",
                f"{busy_seconds(ours):.1f}",
                f"{slowest.task} {slowest.seconds:.1f}",
            )
    return table
