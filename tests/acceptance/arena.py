"""A demo shop of its own for a proof: its state in a temporary folder, its servers on free ports.

What the proofs share is made once and kept until the process ends: the landing files, and an undisturbed run.
"""

import atexit
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from perennial.demo import drive_days, servers
from perennial.demo.airflow_api import AirflowApi
from perennial.demo.environment import REPOSITORY, USER, State
from perennial.demo.processes import kill_all
from perennial.foundation.lake import Lake

SETTLE_SECONDS = 900
BY_HAND = ("check_sources", "replay_quarantine", "backfill_embeddings", "roll_back_model")


@dataclass(frozen=True)
class Arena:
    """One state folder and its two ports."""

    state: State

    @property
    def lake(self) -> Lake:
        """The tables that its days made."""
        return Lake(str(self.state.root / "lake"))

    @property
    def ledger_url(self) -> str:
        """The small database."""
        return f"sqlite:///{self.state.root}/ledger.db"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a command work on this shop."""
        return os.environ | {
            "PERENNIAL_STATE": str(self.state.root),
            "PERENNIAL_AIRFLOW_PORT": str(self.state.airflow_port),
            "PERENNIAL_MLFLOW_PORT": str(self.state.mlflow_port),
            "PYTHONPATH": str(REPOSITORY / "include"),
        }

    def launch(self) -> subprocess.Popen[str]:
        """Begin what `make run` does after the install; its output goes to run.log."""
        with (self.state.root / "run.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "perennial.demo", "run"],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def run(self) -> float:
        """Do what `make run` does after the install, to its end; the seconds it took.

        Raises:
            RuntimeError: it ended with another status than 0.
        """
        began = time.monotonic()
        status = self.launch().wait()
        if status:
            raise RuntimeError(f"the run ended with status {status}: {self.said()[-2000:]}")
        return time.monotonic() - began

    def said(self) -> str:
        """All that its runs have printed."""
        return (self.state.root / "run.log").read_text()

    def api(self) -> AirflowApi:
        """A client of its Airflow."""
        return AirflowApi(self.state.airflow_url, USER, self.state.secrets["AIRFLOW_PASSWORD"])

    def ask_airflow(self, query: str) -> list[tuple]:
        """Rows of Airflow's own database, read only."""
        path = self.state.airflow_home / "airflow.db"
        if not path.exists():
            return []
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def await_task(self, dag: str, day: str, task: str) -> bool:
        """Wait until a task of a day is running; False if it was over before anybody looked."""
        query = (
            "SELECT ti.state FROM task_instance ti "
            "JOIN dag_run r ON r.dag_id = ti.dag_id AND r.run_id = ti.run_id "
            f"WHERE ti.dag_id = '{dag}' AND ti.task_id = '{task}' "
            f"AND coalesce(r.partition_key, '{drive_days.HISTORY_LAST}') = '{day}'"
        )
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            states = {state for (state,) in self.ask_airflow(query)}
            if "running" in states:
                return True
            if states == {"success"}:
                return False
            time.sleep(0.1)
        raise TimeoutError(
            f"{dag}.{task} of {day} did not run within {SETTLE_SECONDS} s: {self.said()[-1000:]}"
        )

    def kill(self, driver: subprocess.Popen[str]) -> None:
        """SIGKILL for the scheduler, every task process, every other server and whoever drives them."""
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        kill_all([server.leader for server in servers.recorded(self.state).values()], self.state.root)

    def settle(self, steps: list[tuple[str, str]]) -> None:
        """Wait until each (DAG, day) has succeeded and nothing is queued or running.

        Raises:
            RuntimeError: a run failed.
            TimeoutError: it takes too long.
        """
        api, deadline = self.api(), time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            runs = api.runs()
            done = {(run.dag, run.key) for run in runs if run.state.value == "success"}
            if failed := [run for run in runs if run.state.value == "failed"]:
                raise RuntimeError(f"failed: {failed[0]}")
            if set(steps) <= done and all(run.state.over for run in runs):
                return
            time.sleep(1)
        raise TimeoutError(f"not settled after {SETTLE_SECONDS} s: {set(steps) - done}")


def daily_steps(*wanted: date, first: bool = False) -> list[tuple[str, str]]:
    """All (DAG, day) of some days; `first` leaves out `ingest`, whose work `load_history` did."""
    dags = sorted(path.stem for path in (REPOSITORY / "dags").glob("*.py"))
    apart = {drive_days.HISTORY_DAG, drive_days.UPKEEP_DAG, *BY_HAND} | (
        {drive_days.DAILY_DAG} if first else set()
    )
    daily = [dag for dag in dags if dag not in apart]
    return [(dag, str(day)) for day in wanted for dag in daily]


@contextmanager
def arena(*, stopping: bool = True) -> Iterator[Arena]:
    """A shop whose files have landed and whose days are still to come."""
    root = Path(tempfile.mkdtemp(prefix="perennial-")) / "state"
    root.mkdir()
    shutil.copytree(_landing(), root / "landing")
    made = Arena(State(root, *free_ports()))
    try:
        yield made
    finally:
        if stopping:
            servers.stop(made.state)
            shutil.rmtree(root.parent, ignore_errors=True)


@cache
def reference() -> Arena:
    """A shop that ran undisturbed; its servers are left running until the process ends."""
    opened = arena()
    made = opened.__enter__()
    atexit.register(opened.__exit__, None, None, None)
    made.run()
    return made


@cache
def _landing() -> Path:
    from perennial.demo import complete_journey

    folder = Path(tempfile.mkdtemp(prefix="perennial-landing-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    complete_journey.land(folder / "landing", drive_days.HISTORY_FIRST, drive_days.DAYS_LAST)
    return folder / "landing"


def free_ports() -> tuple[int, int]:
    """Two ports of loopback that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def until(happened: Callable[[], bool], seconds: float) -> bool:
    """Whether something happens within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(0.2)
    return False
