"""The few calls of Airflow's public REST API (v2) that the demo makes, over loopback."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import requests

from perennial.demo.errors import TroubleError

PAGE = 100
PATIENCE_SECONDS = 60
"""How long an API server that does not answer is asked again: a loaded machine is no reason to give up."""


class RunState(StrEnum):
    """States of a DAG run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether nothing of the run is left to do."""
        return self in (RunState.SUCCESS, RunState.FAILED)


@dataclass(frozen=True)
class Run:
    """A DAG run."""

    dag: str
    run: str
    state: RunState
    key: str | None
    kind: str
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class Task:
    """A task instance. `seconds` is its last try's; `index` is -1 unless it is one of a mapped task."""

    dag: str
    run: str
    task: str
    index: int
    state: str | None
    attempt: int
    seconds: float
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class Asset:
    """An asset: who makes it, and whom it wakes."""

    name: str
    producers: frozenset[str]
    consumers: frozenset[str]


class AirflowApi:
    """A logged-in client. Every call raises TroubleError with Airflow's own words when it is refused.

    While nobody answers, `alive` is asked before each further try: it raises when waiting is in vain.
    """

    def __init__(self, url: str, user: str, password: str, alive: Callable[[], None] = lambda: None) -> None:
        self._url = url
        self._alive = alive
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False

    def assets(self) -> list[Asset]:
        """Every asset that a DAG makes or waits for."""
        return [
            Asset(
                one["name"],
                frozenset(task["dag_id"] for task in one["producing_tasks"]),
                frozenset(dag["dag_id"] for dag in one["scheduled_dags"]),
            )
            for one in self._pages("/assets", "assets")
        ]

    def dags(self) -> dict[str, bool]:
        """Each DAG that Airflow knows now, and whether it is paused."""
        return {one["dag_id"]: one["is_paused"] for one in self._pages("/dags", "dags", exclude_stale=True)}

    def import_errors(self) -> dict[str, str]:
        """The DAG files that could not be read, with their tracebacks."""
        return {one["filename"]: one["stack_trace"] for one in self._pages("/importErrors", "import_errors")}

    def unpause(self, dag: str) -> None:
        """Let a DAG run."""
        self._call("PATCH", f"/dags/{dag}", params={"update_mask": "is_paused"}, json={"is_paused": False})

    def trigger(self, dag: str, run: str, conf: dict[str, Any]) -> None:
        """Queue a run by hand."""
        body = {"dag_run_id": run, "conf": conf, "logical_date": None}
        self._call("POST", f"/dags/{dag}/dagRuns", json=body)

    def clear_failed(self, run: Run) -> None:
        """Queue the failed tasks of a run again, and with them the run."""
        body = {"dry_run": False, "only_failed": True}
        self._call("POST", f"/dags/{run.dag}/dagRuns/{run.run}/clear", json=body)

    def backfill_is_active(self, dag: str) -> bool:
        """Whether Airflow counts a backfill of the DAG as unfinished; it refuses a second one then."""
        return any(one["completed_at"] is None for one in self._pages("/backfills", "backfills", dag_id=dag))

    def backfill(
        self,
        dag: str,
        first: date,
        last: date,
        at_once: int,
        *,
        again: bool = False,
        backwards: bool = False,
    ) -> None:
        """Have Airflow run a DAG for each day from first to last (UTC) that has no run, or `again` for all.

        Airflow takes the days whose tick lies in the stretch, and the tick has the hour of the DAG's cron:
        a stretch that ended with the last midnight would leave the last day out.
        """
        body = {
            "dag_id": dag,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T23:59:59Z",
            "max_active_runs": at_once,
            "run_backwards": backwards,
            "reprocess_behavior": "completed" if again else "none",
        }
        self._call("POST", "/backfills", json=body)

    def runs(self, dag: str = "~") -> list[Run]:
        """The DAG runs of a DAG, or all, oldest first."""
        return [
            Run(
                one["dag_id"],
                one["dag_run_id"],
                RunState(one["state"]),
                one["partition_key"],
                one["run_type"],
                _time(one["start_date"]),
                _time(one["end_date"]),
            )
            for one in self._pages(f"/dags/{dag}/dagRuns", "dag_runs", order_by="id")
        ]

    def tasks(self, *states: str) -> list[Task]:
        """The task instances of all runs, or those in one of some states."""
        return [
            Task(
                one["dag_id"],
                one["dag_run_id"],
                one["task_id"],
                one["map_index"],
                one["state"],
                one["try_number"],
                one["duration"] or 0.0,
                _time(one["start_date"]),
                _time(one["end_date"]),
            )
            for one in self._pages(
                "/dags/~/dagRuns/~/taskInstances", "task_instances", state=states, order_by="id"
            )
        ]

    def _pages(self, path: str, name: str, **params: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", path, params={**params, "limit": PAGE, "offset": offset})
            yield from page[name]
            offset += PAGE
            if offset >= page["total_entries"]:
                return

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = self._send(method, path, **request)
        if answer.status_code == requests.codes.unauthorized:
            self._authorise()
            answer = self._send(method, path, **request)
        if not answer.ok:
            raise TroubleError(f"Airflow refused {method} {path}: {answer.status_code} {_detail(answer)}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def _authorise(self) -> None:
        answer = self._patiently("POST", f"{self._url}/auth/token", json=self._login)
        if not answer.ok:
            raise TroubleError(f"Airflow refused our login: {answer.status_code} {_detail(answer)}")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _send(self, method: str, path: str, **request: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._authorise()
        return self._patiently(method, f"{self._url}/api/v2{path}", **request)

    def _patiently(self, method: str, url: str, **request: Any) -> requests.Response:
        """Ask again while nobody answers or the answer is 5xx: only reads, for a write may have been done."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self._session.request(method, url, timeout=30, **request)
                if answer.status_code < requests.codes.server_error:
                    return answer
                found = f"{answer.status_code} {_detail(answer)}"
            except requests.RequestException as error:
                found = str(error)
            self._alive()
            if method != "GET" or time.monotonic() > deadline:
                raise TroubleError(f"Airflow's API server does not answer {method} {url}: {found}")
            time.sleep(1)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
