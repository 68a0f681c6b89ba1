"""What all DAGs have in common."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pendulum
from airflow.sdk import Param

from perennial.orchestration.alerts import task_failed
from perennial.orchestration.day import DAY_PARAM

EPOCH = pendulum.datetime(2000, 1, 1, tz="UTC")
"""Before any day that a shop will backfill. Airflow does not catch up by itself."""

RETRYING = {
    "retries": 4,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


def shared(
    doc: str | None,
    *tags: str,
    owner: str = "data-engineering",
    params: Mapping[str, Param] = MappingProxyType({"day": DAY_PARAM}),
) -> dict[str, Any]:
    """Arguments of every DAG: its documentation, tags, owner, retries and the form for runs by hand."""
    return {
        "start_date": EPOCH,
        "catchup": False,
        "doc_md": doc,
        "tags": ["perennial", *tags],
        "params": dict(params),
        "default_args": {"owner": owner, "on_failure_callback": task_failed, **RETRYING},
    }
