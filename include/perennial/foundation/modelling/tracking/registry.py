"""Registered models: candidates, the versions with their notes, and the aliases."""

import importlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.modelling.registered import Trained
from perennial.foundation.modelling.tracking.client import (
    TrackingError,
    connected,
    log_day,
    metric_name,
    runs_with,
)
from perennial.foundation.modelling.tracking.runs import EXAMINATION

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"


class SavedOtherwiseError(RuntimeError):
    """A version was saved by code that lays out its files in another way."""


def trained(endpoint: Endpoint, model: str, day: date) -> Trained | None:
    """The model's candidate of the day: the newest run that finished and registered a version; else None."""
    with connected(endpoint) as client:
        for run in runs_with(client, model, {"day": str(day)}):
            versions = client.search_model_versions(f"run_id = '{run.info.run_id}'")
            if run.info.status == "FINISHED" and versions:
                data = run.data
                return Trained(model, int(versions[0].version), run.info.run_id, data.params, data.metrics)
    return None


@contextmanager
def examination(endpoint: Endpoint, candidate: Trained) -> Iterator[Path]:
    """The file with the test cases that the candidate's training left, for as long as the body runs."""
    with connected(endpoint), tempfile.TemporaryDirectory() as folder:
        import mlflow.artifacts

        copy = mlflow.artifacts.download_artifacts(f"runs:/{candidate.run_id}/{EXAMINATION}", dst_path=folder)
        yield next(path for path in Path(copy).iterdir())


def load_model(endpoint: Endpoint, model: str, version: int) -> Any:
    """A registered version as the object its capability saved.

    Raises:
        TrackingError: the registry has no such version.
        SavedOtherwiseError: today's code cannot read its files.
    """
    with connected(endpoint) as client, tempfile.TemporaryDirectory() as folder:
        import mlflow.artifacts
        from mlflow.models import Model

        _version(client, model, version)
        home = Path(mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=folder))
        flavor = Model.load(home).flavors["python_function"]
        try:
            return importlib.import_module(flavor["loader_module"])._load_pyfunc(str(home / flavor["data"]))
        except (AttributeError, FileNotFoundError, ImportError, KeyError, TypeError, ValueError) as error:
            raise SavedOtherwiseError(
                f"{model} version {version} was saved by other code and cannot be read by today's "
                f"({type(error).__name__}: {error}): the next candidate takes its place, and days that it "
                "was in force on can be scored again with the code of that time alone"
            ) from error


def note(
    endpoint: Endpoint,
    model: str,
    version: int,
    tags: Mapping[str, str],
    day: date | None = None,
    figures: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Write tags to a version and its run, and to the run those figures of a day that it does not have yet.

    Returns:
        The id of the run.
    """
    with connected(endpoint) as client:
        run_id = str(_version(client, model, version).run_id)
        for key, value in tags.items():
            client.set_tag(run_id, key, value)
            client.set_model_version_tag(model, str(version), key, value)
        if day is not None:
            logged = client.get_run(run_id).data.metrics
            new = {key: value for key, value in figures.items() if metric_name(key) not in logged}
            log_day(client, run_id, day, new, step=0)
    return run_id


def set_aliases(endpoint: Endpoint, model: str, aliases: Mapping[str, int | None]) -> None:
    """Make each alias of the registered model point to its version; None takes the alias away."""
    with connected(endpoint) as client:
        present = client.get_registered_model(model).aliases
        for alias, version in aliases.items():
            if version is None and alias in present:
                client.delete_registered_model_alias(model, alias)
            elif version is not None and present.get(alias) != str(version):
                client.set_registered_model_alias(model, alias, str(version))


def _version(client: "MlflowClient", model: str, version: int) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model, str(version))
    except MlflowException as error:
        raise TrackingError(f"the MLflow registry has no version {version} of {model!r}: {error}") from error
