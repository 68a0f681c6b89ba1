"""How long the stages of `make run` and the tasks took."""

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
        """Measure the time of the block."""
        began = time.monotonic()
        self.stages[name] = 0.0
        try:
            yield
        finally:
            self.stages[name] = time.monotonic() - began


def busy_seconds(tasks: Iterable[Task]) -> float:
    """Seconds in which at least one of the tasks was running: the length of the union of their intervals."""
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
    """For each DAG: number of tasks, sum of their seconds, seconds with a running task, slowest task."""
    tasks = list(tasks)
    table = Table("DAG", title="Tasks of all days", title_justify="left", box=None)
    for name in ("tasks", "sum, s", "wall, s", "slowest task, s"):
        table.add_column(name, justify="right")
    for dag in order:
        dag_tasks = [task for task in tasks if task.dag == dag and task.state in ("success", "failed")]
        if dag_tasks:
            slowest = max(dag_tasks, key=lambda task: task.seconds)
            table.add_row(
                dag,
                str(len(dag_tasks)),
                f"{sum(task.seconds for task in dag_tasks):.1f}",
                f"{busy_seconds(dag_tasks):.1f}",
                f"{slowest.task} {slowest.seconds:.1f}",
            )
    return table
