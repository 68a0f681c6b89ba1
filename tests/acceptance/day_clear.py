"""A failed run of `ingest` can be cleared in each way that Airflow offers, and then it succeeds.

Each way has a day of its own in a tiny shop with real servers. A landing file lacks a column, so `publish`
fails; the file is mended, and the failed task is cleared.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import requests

from perennial.demo import drive_days, servers
from perennial.demo.airflow_api import Run
from perennial.demo.environment import REPOSITORY, USER, State
from tests.acceptance.arena import Arena, free_ports, until
from tests.acceptance.lines import Line, none_of
from tests.ingestion.drops import drop_all, purchase

PATIENCE_SECONDS = 240
TASK = "publish"


def clear() -> Iterator[Line]:
    """A failed task of `ingest` is cleared by REST and by the command line, and succeeds."""
    with _shop() as shop:
        api = shop.api()
        drive_days.await_dags(api, shop.state.root / "dags")
        for day, (name, way) in zip(_DAYS, WAYS.items(), strict=True):
            _land(shop, day, broken=True)
            api.backfill(drive_days.DAILY_DAG, day, day, 1)
            failed = _ended(shop, day)
            yield _is(f"day.clear_{name}_before", failed.state, "failed")
            _land(shop, day, broken=False)
            answer = way(shop, failed)
            yield _is(f"day.clear_{name}_answer", answer, "ok")
            if answer != "ok":
                return
            yield _is(f"day.clear_{name}_after", _ended(shop, day, cleared=failed).state, "success")
            until(lambda: not api.backfill_is_active(drive_days.DAILY_DAG), PATIENCE_SECONDS)
        deadlines = shop.ask_airflow("SELECT id FROM deadline")
        yield none_of("day.clear_deadlines", "rows", [str(row) for row in deadlines])


def rest_task(shop: Arena, run: Run) -> str:
    """What Airflow's pages send for a task instance."""
    body = {
        "dry_run": False,
        "dag_run_id": run.run,
        "task_ids": [TASK],
        "only_failed": True,
        "reset_dag_runs": True,
        "include_downstream": True,
    }
    return _post(shop, f"/dags/{run.dag}/clearTaskInstances", body)


def rest_run(shop: Arena, run: Run) -> str:
    """What Airflow's pages send for a run, and `make run` for what failed before."""
    return _post(shop, f"/dags/{run.dag}/dagRuns/{run.run}/clear", {"dry_run": False, "only_failed": True})


def command_line_task(shop: Arena, run: Run) -> str:
    """`airflow tasks clear`."""
    return _airflow(shop, "tasks", "clear", run.dag, "--task-regex", TASK, "--only-failed", "--yes")


def command_line_run(shop: Arena, run: Run) -> str:
    """`airflow dags clear`, for runs that have a day."""
    return _airflow(shop, "dags", "clear", run.dag, "--partition-key", str(run.key), "--only-failed", "--yes")


WAYS: dict[str, Callable[[Arena, Run], str]] = {
    "rest_task": rest_task,
    "rest_run": rest_run,
    "command_line_task": command_line_task,
    "command_line_run": command_line_run,
}
_DAYS = tuple(date(2024, 5, 2 + n) for n in range(len(WAYS)))


@contextmanager
def _shop() -> Iterator[Arena]:
    """Servers that know one DAG: what follows `ingest` costs time and adds nothing here."""
    with tempfile.TemporaryDirectory(prefix="perennial-clear-") as folder:
        root = Path(folder) / "state"
        (root / "dags").mkdir(parents=True)
        shutil.copy(REPOSITORY / "dags" / f"{drive_days.DAILY_DAG}.py", root / "dags")
        shop = Arena(State(root, *free_ports()))
        with _dags_folder(root / "dags"):
            servers.start(shop.state, lambda _: None)
        try:
            yield shop
        finally:
            servers.stop(shop.state)


def _is(name: str, figure: str, bar: str) -> Line:
    return Line(name, str(figure), bar, figure == bar)


@contextmanager
def _dags_folder(folder: Path) -> Iterator[None]:
    """What the servers that start meanwhile take for the folder of DAG files."""
    before = os.environ.get("PERENNIAL_DAGS")
    os.environ["PERENNIAL_DAGS"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("PERENNIAL_DAGS") if before is None else os.environ.update(PERENNIAL_DAGS=before)


def _land(shop: Arena, day: date, *, broken: bool) -> None:
    """The files of a day; broken, the events lack their customers."""
    event = purchase(f"e{day}", occurred_at=datetime(day.year, day.month, day.day, 9, tzinfo=UTC))
    if broken:
        del event["customer_id"]
    drop_all(shop.state.root, str(day), events=[event])


def _ended(shop: Arena, day: date, cleared: Run | None = None) -> Run:
    """The day's run, once it is over; after it was cleared, once it is over again.

    Raises:
        TimeoutError: it takes too long.
    """
    api, deadline = shop.api(), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for run in api.runs(drive_days.DAILY_DAG):
            if run.key == str(day) and run.state.over and (cleared is None or run.ended != cleared.ended):
                return run
        time.sleep(1)
    raise TimeoutError(f"{drive_days.DAILY_DAG} of {day} is not over after {PATIENCE_SECONDS} s")


def _post(shop: Arena, path: str, body: dict[str, Any]) -> str:
    """Call Airflow's REST API: 'ok', or the status of the answer."""
    with requests.Session() as session:
        session.trust_env = False
        login = {"username": USER, "password": shop.state.secrets["AIRFLOW_PASSWORD"]}
        token = session.post(f"{shop.state.airflow_url}/auth/token", json=login, timeout=60).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        answer = session.post(
            f"{shop.state.airflow_url}/api/v2{path}", json=body, headers=headers, timeout=60
        )
    print(f"  POST {path}: {answer.status_code} {answer.text[:200]}")
    return "ok" if answer.ok else str(answer.status_code)


def _airflow(shop: Arena, *arguments: str) -> str:
    """Call Airflow's command line: 'ok', or its exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        env=shop.state.environment(),
        cwd=shop.state.workplace,
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"  airflow {' '.join(arguments)}: {done.returncode} {done.stderr[-200:]}")
    return "ok" if done.returncode == 0 else f"exit_{done.returncode}"
