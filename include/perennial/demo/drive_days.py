"""Runs the demo's days through Airflow: a history in one run, a backfill of three days, then maintenance.

The order of the DAGs is read from Airflow's assets. A second call continues where the first one stopped:
successful runs are kept, failed tasks are cleared, missing runs are created.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from perennial.demo.airflow_api import AirflowApi, Asset, Run, Task
from perennial.demo.errors import TroubleError

HISTORY_DAG = "load_history"
DAILY_DAG = "ingest"
HISTORY_FIRST, HISTORY_LAST = date(2017, 1, 1), date(2017, 11, 30)
DAYS_FIRST, DAYS_LAST = date(2017, 12, 1), date(2017, 12, 3)
HISTORY_RUN = f"demo_history_{HISTORY_FIRST}_{HISTORY_LAST}"
UPKEEP_DAG = "maintain_lake"
UPKEEP_RUN = f"demo_upkeep_{DAYS_LAST}"
DAYS_OF_RUNS_WITHOUT_KEY = {
    (HISTORY_DAG, HISTORY_RUN): str(HISTORY_LAST),
    (UPKEEP_DAG, UPKEEP_RUN): str(DAYS_LAST),
}
"""(DAG, run) → day, for the runs that have no partition key."""
DAYS_AT_ONCE = 3

POLL_SECONDS = 1.5
PARSE_SECONDS = 120
STALLED_SECONDS = 60
SHOWN_TASK_STATES = ("failed", "running", "queued", "scheduled", "deferred", "up_for_retry", "restarting")

Step = tuple[str, str]
"""A DAG and the day that it processes."""


@dataclass(frozen=True)
class Board:
    """State of the demo: its steps, the latest run of each step that has one, unfinished and failed tasks."""

    steps: Sequence[Step]
    runs: dict[Step, Run]
    tasks: Sequence[Task]

    def state(self, step: Step) -> str:
        """State of a step's run; 'missing' if it has none."""
        run = self.runs.get(step)
        return run.state.value if run else "missing"

    def tasks_of(self, step: Step) -> list[Task]:
        """The unfinished and failed tasks of a step."""
        run = self.runs.get(step)
        return [task for task in self.tasks if run and (task.dag, task.run) == (run.dag, run.run)]


def drive(api: AirflowApi, dags: Path, logs: Path, show: Callable[[Board], None]) -> Board:
    """Run every step of the demo until it succeeds. `show` is called with the state after each poll.

    Raises TroubleError at the first task that has failed after all its tries, and when no run makes progress.
    """
    await_dags(api, dags)
    chain = _chain(api.assets())
    paused = api.dags()
    for dag in (HISTORY_DAG, *chain, UPKEEP_DAG):
        if paused.get(dag, False):
            api.unpause(dag)
    driver = _Driver(api, chain, logs, show)
    driver.clear_failures()
    driver.history()
    driver.days()
    return driver.upkeep()


def days() -> list[date]:
    """The days of the backfill."""
    return [DAYS_FIRST + timedelta(days=n) for n in range((DAYS_LAST - DAYS_FIRST).days + 1)]


def downstream(assets: Iterable[Asset], dag: str) -> list[str]:
    """The DAGs that `dag` starts through assets, directly or indirectly, in the order in which they start."""
    assets = list(assets)
    following: list[str] = []
    reached = [dag]
    for producer in reached:
        woken = {dag for asset in assets if producer in asset.producers for dag in asset.consumers}
        new = sorted(woken - {dag, *following})
        following += new
        reached += new
    return following


@dataclass
class _Driver:
    """Starts the steps and waits for them."""

    api: AirflowApi
    chain: list[str]
    logs: Path
    show: Callable[[Board], None]

    @property
    def _first_steps(self) -> list[Step]:
        day = str(HISTORY_LAST)
        return [(HISTORY_DAG, day), *((dag, day) for dag in self.chain if dag != DAILY_DAG)]

    @property
    def _daily_steps(self) -> list[Step]:
        return [(dag, str(day)) for day in days() for dag in self.chain]

    @property
    def _steps(self) -> list[Step]:
        return [*self._first_steps, *self._daily_steps, (UPKEEP_DAG, str(DAYS_LAST))]

    def history(self) -> None:
        """Load the history, and wait for it and for the DAGs that it starts."""
        if (HISTORY_DAG, str(HISTORY_LAST)) not in self._look().runs:
            stretch = {"first_day": str(HISTORY_FIRST), "last_day": str(HISTORY_LAST)}
            self.api.trigger(HISTORY_DAG, HISTORY_RUN, stretch)
        self._await(self._first_steps)

    def days(self) -> None:
        """Backfill the days that have no run, and wait until all steps have succeeded."""
        daily = [(DAILY_DAG, str(day)) for day in days()]
        board = self._look()
        while any(step not in board.runs for step in daily) and self.api.backfill_is_active(DAILY_DAG):
            # Airflow checks every 30 s which backfills have ended, and refuses a second one until then.
            self.show(board)
            time.sleep(POLL_SECONDS)
            board = self._look()
        if any(step not in board.runs for step in daily):
            self.api.backfill(DAILY_DAG, DAYS_FIRST, DAYS_LAST, DAYS_AT_ONCE)
        self._await(self._first_steps + self._daily_steps)

    def upkeep(self) -> Board:
        """Run the maintenance of the lake once, after all days."""
        if (UPKEEP_DAG, str(DAYS_LAST)) not in self._look().runs:
            self.api.trigger(UPKEEP_DAG, UPKEEP_RUN, {})
        return self._await(self._steps)

    def clear_failures(self) -> None:
        """Clear the tasks that failed in an earlier call."""
        board = self._look()
        failed_runs = {(task.dag, task.run) for task in board.tasks if task.state == "failed"}
        for run in board.runs.values():
            if run.state == "failed" or (run.dag, run.run) in failed_runs:
                self.api.clear_failed(run)

    def _await(self, steps: list[Step]) -> Board:
        """Wait until all steps have succeeded and no run of the chain is active."""
        last_activity = time.monotonic()
        while True:
            board = self._look()
            self.show(board)
            self._require_green(board)
            if self._active:
                last_activity = time.monotonic()
            elif all(board.state(step) == "success" for step in steps):
                return board
            elif time.monotonic() - last_activity > STALLED_SECONDS:
                raise TroubleError(_stall_message(board, steps))
            time.sleep(POLL_SECONDS)

    def _look(self) -> Board:
        runs: dict[Step, Run] = {}
        self._active = False
        for run in self.api.runs():
            if run.dag not in (HISTORY_DAG, *self.chain, UPKEEP_DAG):
                continue
            self._active = self._active or not run.state.over
            key = DAYS_OF_RUNS_WITHOUT_KEY.get((run.dag, run.run), run.key)
            if key and (step := (run.dag, key)) in self._steps:
                runs[step] = run
        return Board(self._steps, runs, self.api.tasks(*SHOWN_TASK_STATES))

    def _require_green(self, board: Board) -> None:
        for step in board.steps:
            failed = [task for task in board.tasks_of(step) if task.state == "failed"]
            if failed:
                raise TroubleError(
                    _failure_message(board.runs[step], failed[0]), task_log(self.logs, failed[0])
                )
            if board.state(step) == "failed":
                run = board.runs[step]
                raise TroubleError(f"{run.dag} failed for {step[1]} (run {run.run}).", self.logs)


def task_log(logs: Path, task: Task) -> Path:
    """Path of the log of a task's last try."""
    folder = logs / f"dag_id={task.dag}" / f"run_id={task.run}" / f"task_id={task.task}"
    if task.index >= 0:
        folder /= f"map_index={task.index}"
    return folder / f"attempt={task.attempt}.log"


def await_dags(api: AirflowApi, folder: Path) -> None:
    """Wait until Airflow has read every DAG file. Raises TroubleError if one fails or takes too long."""
    expected = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    deadline = time.monotonic() + PARSE_SECONDS
    while missing := expected - api.dags().keys():
        for file, trace in api.import_errors().items():
            raise TroubleError(f"Airflow cannot read the DAG file {file}: {trace.strip().splitlines()[-1]}")
        if time.monotonic() > deadline:
            raise TroubleError(f"Airflow does not know the DAG {sorted(missing)[0]} after {PARSE_SECONDS} s.")
        time.sleep(0.5)


def _chain(assets: list[Asset]) -> list[str]:
    return [DAILY_DAG, *downstream(assets, DAILY_DAG)]


def _failure_message(run: Run, task: Task) -> str:
    name = f"{task.task}[{task.index}]" if task.index >= 0 else task.task
    return f"Task {name} of {run.dag} failed in run {run.run}. Fix the cause, then run `make run` again."


def _stall_message(board: Board, steps: list[Step]) -> str:
    dag, day = next(step for step in steps if board.state(step) != "success")
    return (
        f"No run has been active for {STALLED_SECONDS} s, and {dag} was not run for {day}. Was it paused "
        "in Airflow when the DAG before it finished? A paused DAG loses the events of that time."
    )
