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
"""How long requests to an API server that does not answer are repeated: a loaded machine answers late."""


class RunState(StrEnum):
    """States of a DAG run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
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
    """A task instance. `seconds`: duration of its last try. `index`: -1 if the task is not mapped."""

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
    """An asset, the DAGs that produce it, and the DAGs that it starts."""

    name: str
    producers: frozenset[str]
    consumers: frozenset[str]


class AirflowApi:
    """A logged-in client. Every call raises TroubleError with Airflow's own message when Airflow refuses it.

    While the server does not answer, `require_alive` is called before each further try. It raises when the
    server has ended.
    """

    def __init__(
        self, url: str, user: str, password: str, require_alive: Callable[[], None] = lambda: None
    ) -> None:
        self._url = url
        self._require_alive = require_alive
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False

    def assets(self) -> list[Asset]:
        """Every asset that a DAG produces or waits for."""
        return [
            Asset(
                asset["name"],
                frozenset(task["dag_id"] for task in asset["producing_tasks"]),
                frozenset(dag["dag_id"] for dag in asset["scheduled_dags"]),
            )
            for asset in self._pages("/assets", "assets")
        ]

    def dags(self) -> dict[str, bool]:
        """DAG id → whether it is paused, for each DAG that Airflow knows now."""
        return {dag["dag_id"]: dag["is_paused"] for dag in self._pages("/dags", "dags", exclude_stale=True)}

    def import_errors(self) -> dict[str, str]:
        """File → traceback, for each DAG file that Airflow could not read."""
        return {
            error["filename"]: error["stack_trace"] for error in self._pages("/importErrors", "import_errors")
        }

    def unpause(self, dag: str) -> None:
        """Unpause a DAG."""
        self._call("PATCH", f"/dags/{dag}", params={"update_mask": "is_paused"}, json={"is_paused": False})

    def trigger(self, dag: str, run: str, conf: dict[str, Any]) -> None:
        """Trigger a manual run."""
        body = {"dag_run_id": run, "conf": conf, "logical_date": None}
        self._call("POST", f"/dags/{dag}/dagRuns", json=body)

    def clear_failed(self, run: Run) -> None:
        """Clear the failed tasks of a run, so that they and the run are queued again."""
        body = {"dry_run": False, "only_failed": True}
        self._call("POST", f"/dags/{run.dag}/dagRuns/{run.run}/clear", json=body)

    def backfill_is_active(self, dag: str) -> bool:
        """Whether a backfill of the DAG is unfinished. Airflow then refuses a second one."""
        return any(
            backfill["completed_at"] is None
            for backfill in self._pages("/backfills", "backfills", dag_id=dag)
        )

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
        """Run a DAG for each day from first to last (UTC) that has no run; with `again` for all days.

        Airflow takes the days whose scheduled time lies in the range, and that time has the hour of the DAG's
        cron. A range that ended at the midnight before the last day would leave the last day out.
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
        """The runs of one DAG or of all DAGs, oldest first."""
        return [
            Run(
                run["dag_id"],
                run["dag_run_id"],
                RunState(run["state"]),
                run["partition_key"],
                run["run_type"],
                _parse_time(run["start_date"]),
                _parse_time(run["end_date"]),
            )
            for run in self._pages(f"/dags/{dag}/dagRuns", "dag_runs", order_by="id")
        ]

    def tasks(self, *states: str) -> list[Task]:
        """The task instances of all runs; only those in the given states, if any are given."""
        return [
            Task(
                task["dag_id"],
                task["dag_run_id"],
                task["task_id"],
                task["map_index"],
                task["state"],
                task["try_number"],
                task["duration"] or 0.0,
                _parse_time(task["start_date"]),
                _parse_time(task["end_date"]),
            )
            for task in self._pages(
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
        response = self._send(method, path, **request)
        if response.status_code == requests.codes.unauthorized:
            self._authorise()
            response = self._send(method, path, **request)
        if not response.ok:
            raise TroubleError(f"Airflow refused {method} {path}: {response.status_code} {_detail(response)}")
        content: dict[str, Any] = response.json() if response.content else {}
        return content

    def _authorise(self) -> None:
        response = self._request_with_retries("POST", f"{self._url}/auth/token", json=self._login)
        if not response.ok:
            raise TroubleError(f"Airflow refused our login: {response.status_code} {_detail(response)}")
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def _send(self, method: str, path: str, **request: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._authorise()
        return self._request_with_retries(method, f"{self._url}/api/v2{path}", **request)

    def _request_with_retries(self, method: str, url: str, **request: Any) -> requests.Response:
        """Repeat a GET while the server fails to answer. A write is not repeated, for it may have worked."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self._session.request(method, url, timeout=30, **request)
                if response.status_code < requests.codes.server_error:
                    return response
                problem = f"{response.status_code} {_detail(response)}"
            except requests.RequestException as error:
                problem = str(error)
            self._require_alive()
            if method != "GET" or time.monotonic() > deadline:
                raise TroubleError(f"Airflow's API server does not answer {method} {url}: {problem}")
            time.sleep(1)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _detail(response: requests.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
