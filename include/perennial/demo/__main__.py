"""`python -m perennial.demo run | stop | clean`: what `make run`, `make stop` and `make clean` call."""

import fcntl
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console

from perennial.demo import drive_days, servers, state_folder, summary, timing
from perennial.demo.airflow_api import AirflowApi
from perennial.demo.environment import REPOSITORY, USER, State
from perennial.demo.errors import TroubleError
from perennial.demo.progress import Progress


def run(console: Console) -> None:
    """Start the servers, land the demo shop's files, run its days, and print what came out."""
    state = State.from_environment()
    os.environ.update(state.server_settings())
    stopwatch = timing.Stopwatch()
    with _alone(state):
        with Progress(console) as progress:
            with stopwatch.stage("servers, landing files beside them"), ThreadPoolExecutor(1) as executor:
                landing = executor.submit(_land, state)
                servers.start(state, progress.say)
                progress.say("landing the demo shop's files")
                landing.result()
            api = AirflowApi(
                state.airflow_url,
                USER,
                state.secrets["AIRFLOW_PASSWORD"],
                lambda: servers.require_alive(state),
            )

            def show(board: drive_days.Board) -> None:
                servers.require_alive(state)
                progress.show(board)

            with stopwatch.stage("days, through Airflow"):
                board = drive_days.drive(
                    api, Path(state.settings()["AIRFLOW__CORE__DAGS_FOLDER"]), state.task_logs, show
                )
        runs = {(run.dag, run.run) for run in board.runs.values()}
        tasks = [task for task in api.tasks() if (task.dag, task.run) in runs]
        console.print(timing.dags_table(tasks, dict.fromkeys(dag for dag, _ in board.steps)))
        console.print(timing.stages_table(_installed() | stopwatch.stages))
        summary.show(console, state)


def stop(console: Console) -> None:
    """End the servers and every child."""
    ended = servers.stop(State.from_environment())
    console.print(f"Stopped {ended} processes; none is left." if ended else "Nothing was running.")


def clean(console: Console) -> None:
    """Stop, and remove what the demo made in its state folder."""
    root = State.from_environment().root
    state_folder.require_removable(root)
    stop(console)
    console.print(f"Removed {root}." if state_folder.remove(root) else f"Nothing to remove in {root}.")


def main(arguments: list[str]) -> int:
    """Run one command. Returns the exit status; an expected error prints a sentence, not a traceback."""
    commands = {"run": run, "stop": stop, "clean": clean}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(f"usage: python -m perennial.demo {' | '.join(commands)}", file=sys.stderr)
        return 2
    console = Console()
    try:
        commands[arguments[0]](console)
    except TroubleError as trouble:
        console.print(f"[bold red]{arguments[0]} stopped:[/] ", end="")
        console.print(trouble.sentence, markup=False, highlight=False, soft_wrap=True)
        if trouble.log:
            console.print(f"Read {trouble.log}", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print(
            "Progress is no longer shown; the servers still run. `make run` continues, `make stop` ends them."
        )
        return 130
    return 0


def _land(state: State) -> None:
    from perennial.demo import complete_journey

    landing = Path(state.settings()["PERENNIAL_LANDING"])
    try:
        complete_journey.land(landing, drive_days.HISTORY_FIRST, drive_days.DAYS_LAST)
    except OSError as error:
        raise TroubleError(f"The demo's files could not be written to {landing}: {error}.") from error


def _installed() -> dict[str, float]:
    """Seconds that the install took if this `make` installed something; else empty."""
    seconds_file = REPOSITORY / ".venv" / "install-seconds"
    return {"install": float(seconds_file.read_text())} if seconds_file.exists() else {}


@contextmanager
def _alone(state: State) -> Iterator[IO[str]]:
    """Hold the lock of the state folder. Raises TroubleError when another command holds it."""
    state_folder.mark(state.root)
    with (state.root / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TroubleError(f"Another `make run` is running in {state.root}.") from None
        yield lock


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
