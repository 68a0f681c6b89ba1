"""Progress of the demo. A terminal shows one table that is redrawn; other output gets a line per change."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from perennial.demo.drive_days import Board

STATE_TEXTS = {
    "missing": Text("·", "dim"),
    "queued": Text("queued", "cyan"),
    "running": Text("running", "yellow"),
    "success": Text("done", "green"),
    "failed": Text("failed", "bold red"),
}


class Progress:
    """Shows a line with the present activity and, as soon as it is known, the board. A context manager."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._line = ""
        self._board: Board | None = None
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Show the present activity."""
        if line != self._line and not self._live:
            self._print(line)
        self._line = line
        self._draw()

    def show(self, board: Board) -> None:
        """Show the state of all steps."""
        before, self._board = self._board, board
        if not self._live:
            for dag, day in board.steps:
                state = board.state((dag, day))
                if state != (before.state((dag, day)) if before else "missing"):
                    self._print(f"{dag} {day}: {'done' if state == 'success' else state}")
        self._line = "waiting for Airflow"
        self._draw()

    def _print(self, line: str) -> None:
        self._console.print(f"{self._clock() - self._began:5.0f} s  {line}", highlight=False)

    def _draw(self) -> None:
        if self._live:
            line = Spinner("dots", Text(f"{_clock(self._clock() - self._began)}  {self._line}"))
            parts: list[RenderableType] = [line]
            if self._board:
                parts.append(board_table(self._board))
            self._live.update(Group(*parts))


def board_table(board: Board) -> Table:
    """One row for each DAG, one column for each day. A running step shows its running tasks."""
    days = sorted({day for _, day in board.steps})
    table = Table(box=None, pad_edge=False)
    table.add_column("DAG")
    for day in days:
        table.add_column(day, min_width=10, max_width=24, no_wrap=True, overflow="ellipsis")
    for dag in dict.fromkeys(dag for dag, _ in board.steps):
        cells = [_cell(board, dag, day) if (dag, day) in board.steps else Text() for day in days]
        table.add_row(dag, *cells)
    return table


def _cell(board: Board, dag: str, day: str) -> Text:
    state = board.state((dag, day))
    running = sorted({task.task for task in board.tasks_of((dag, day)) if task.state == "running"})
    if state == "running" and running:
        return Text(", ".join(running), "yellow")
    return STATE_TEXTS[state]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
