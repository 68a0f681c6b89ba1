"""Two links on a task in the Airflow UI: to the MLflow run it wrote, and to the report it made.

A task shows a link by returning a mapping (it becomes the task's XCom) with one or both of these keys:

- `mlflow_run`: the id of an MLflow run, 32 hexadecimal digits. The link goes to the `public_url` in the extra
  of the Airflow connection `mlflow` (where a browser finds it), else to the connection's own address.
- `report`: the path of a page below `PERENNIAL_REPORTS`, such as `campaigns/2017-12-01/18.html`. The page is
  served by `perennial_reports`, to people who are logged in.

A task that returns neither key shows no link. Airflow's API server makes the links when a user opens the
task, so they cost the workers nothing.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

from perennial_reports import address

if TYPE_CHECKING:
    from airflow.models.connection import Connection
    from airflow.sdk.types import TaskInstanceKey

MLFLOW_CONNECTION = "mlflow"
RUN_ID = re.compile(r"[0-9a-f]{32}")


class MlflowRunLink(BaseOperatorLink):
    """Link from a task to the MLflow run whose id it returned as `mlflow_run`."""

    @property
    def name(self) -> str:
        """What the button says."""
        return "MLflow run"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The run's page in MLflow, or an empty string (no button) if the task returned no run id."""
        run_id = _returned(ti_key, "mlflow_run")
        return f"{_mlflow_address()}/#/runs/{run_id}" if RUN_ID.fullmatch(run_id) else ""


class ReportLink(BaseOperatorLink):
    """Link from a task to the page whose path it returned as `report`."""

    @property
    def name(self) -> str:
        """What the button says."""
        return "Report"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The page's path on Airflow's server, or an empty string (no button) if the task returned none."""
        report = PurePosixPath(_returned(ti_key, "report"))
        if not report.parts or report.is_absolute() or ".." in report.parts:
            return ""
        return f"{address()}/{quote(str(report))}"


def _returned(ti_key: TaskInstanceKey, key: str) -> str:
    """The text that the task instance returned under `key`; empty if it returned none."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    query = XComModel.get_many(
        key="return_value",
        run_id=ti_key.run_id,
        dag_ids=ti_key.dag_id,
        task_ids=ti_key.task_id,
        map_indexes=ti_key.map_index,
        limit=1,
    )
    with create_session() as session:
        row = session.scalar(query)
        value = None if row is None else XComModel.deserialize_value(row)
    text = value.get(key) if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def _mlflow_address() -> str:
    """Address of MLflow for a browser, without the login and password of the connection."""
    from airflow.models.connection import Connection

    connection: Connection = Connection.get_connection_from_secrets(MLFLOW_CONNECTION)
    public_url = connection.extra_dejson.get("public_url")
    if public_url:
        return str(public_url).rstrip("/")
    host = connection.host or "localhost"
    address = host if "://" in host else f"{connection.schema or 'http'}://{host}"
    return f"{address}:{connection.port}" if connection.port else address


class PerennialLinks(AirflowPlugin):
    """Registers the two links. Airflow shows a button only if the address is not empty."""

    name = "perennial_links"
    global_operator_extra_links = [MlflowRunLink(), ReportLink()]  # noqa: RUF012 - Airflow requires a list
