"""The connection to MLflow, and what all use: experiments, runs by their tags, metrics of a day."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from perennial.foundation.endpoint import Endpoint

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"
_PATIENCE_SECONDS = "60"


class TrackingError(RuntimeError):
    """MLflow does not have what was asked for; the message says what and where."""


@contextmanager
def connected(endpoint: Endpoint) -> Iterator["MlflowClient"]:
    """A client. As long as the body runs, MLflow's fluent calls find address and login in the environment."""
    variables = {
        "MLFLOW_TRACKING_URI": endpoint.url,
        "MLFLOW_REGISTRY_URI": endpoint.url,
        "MLFLOW_TRACKING_USERNAME": endpoint.login,
        "MLFLOW_TRACKING_PASSWORD": endpoint.password,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": _PATIENCE_SECONDS,
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        yield MlflowClient(endpoint.url, endpoint.url)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def experiment_id_of(client: "MlflowClient", name: str) -> str:
    """The id of the experiment, which is made if there is none; two tasks may make it at the same time."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name)
        except MlflowException as error:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise TrackingError(f"the MLflow experiment {name!r} cannot be made: {error}") from error
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def runs_with(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> list[Any]:
    """The runs of an experiment, by its name, that have these tags: newest first, without nested runs."""
    known = client.get_experiment_by_name(experiment)
    runs = [] if known is None else all_runs_with(client, known.experiment_id, tags)
    return [run for run in runs if PARENT not in run.data.tags]


def all_runs_with(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> list[Any]:
    """The runs of an experiment that have these tags: newest first, with nested runs."""
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return list(client.search_runs([experiment_id], condition, order_by=["attributes.start_time DESC"]))


def log_day(
    client: "MlflowClient", run_id: str, day: date, figures: Mapping[str, float], *, step: int
) -> None:
    """Log metrics of a day. Their time is its midnight: logging the same ones again changes nothing."""
    from mlflow.entities import Metric

    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    metrics = [Metric(metric_name(key), value, midnight, step) for key, value in figures.items()]
    client.log_batch(run_id, metrics=metrics)


def metric_name(key: str) -> str:
    """A metric's name as MLflow allows it."""
    return re.sub(r"[^/\w.\- :]", "_", key)
