import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from perennial.demo import timing
from perennial.demo.airflow_api import Run, RunState, Task
from perennial.demo.drive_days import Board
from perennial.demo.progress import Progress, board_table

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STEPS = [("ingest", "2017-12-01"), ("ingest", "2017-12-02")]


def board(*states: RunState, tasks: tuple[Task, ...] = ()) -> Board:
    runs = {
        step: Run(step[0], f"run {step[1]}", state, step[1], "backfill", NOON, None)
        for step, state in zip(STEPS, states, strict=False)
    }
    return Board(STEPS, runs, tasks)


def span(start: float, end: float) -> Task:
    begin, finish = NOON + timedelta(seconds=start), NOON + timedelta(seconds=end)
    return Task("ingest", "run 2017-12-01", "publish", -1, "success", 1, end - start, begin, finish)


def test_without_a_terminal_each_change_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=100)
    with Progress(console, clock=lambda: 0.0) as progress:
        for _ in range(3):
            progress.say("starting")
        progress.show(board(RunState.RUNNING))
        progress.show(board(RunState.RUNNING))
        progress.show(board(RunState.SUCCESS, RunState.QUEUED))
    lines = [line.split("s  ", 1)[1] for line in console.file.getvalue().splitlines()]
    assert lines == [
        "starting",
        "ingest 2017-12-01: running",
        "ingest 2017-12-01: done",
        "ingest 2017-12-02: queued",
    ]


def test_on_a_terminal_one_table_is_redrawn_in_place() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with Progress(console, clock=lambda: 0.0) as progress:
        progress.show(board(RunState.RUNNING))
    drawn = console.file.getvalue()
    assert "2017-12-02" in drawn
    assert "\x1b[2K" in drawn, "the old table is erased"


def test_a_running_step_names_its_tasks() -> None:
    at_work = Task("ingest", "run 2017-12-01", "publish", -1, "running", 1, 0.0, NOON, None)
    console = Console(file=io.StringIO(), width=100)
    console.print(board_table(board(RunState.RUNNING, tasks=(at_work,))))
    assert "publish" in console.file.getvalue()


def test_busy_seconds_count_overlaps_once() -> None:
    assert timing.busy_seconds([span(0, 10), span(5, 12), span(6, 7), span(20, 21)]) == 13
