"""MLflow: runs, registered models, aliases. The only module that imports mlflow, and only when it is asked.

A run is named by its tags: the tags of a run of a day say `day`, so that what a killed attempt left behind
can be found and discarded. A model is saved as a folder by the capability it belongs to, and logged as a
pyfunc whose loader is that capability's module: no pickle, and whoever has `include/` on the path can load it
with `mlflow.pyfunc.load_model`.
"""

import importlib
import importlib.metadata
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.registry import Pyfunc, Registered, Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
EXAMINATION = "examination"
_PATIENCE_SECONDS = "60"


class TrackingError(RuntimeError):
    """MLflow does not have what was asked for; the message says what and where."""


@dataclass(frozen=True)
class Run:
    """An MLflow run that is under way."""

    id: str
    experiment_id: str
    client: "MlflowClient"

    def log(
        self,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        model: str | None = None,
    ) -> None:
        """Write parameters and metrics in one call; with a `model` id they show on that logged model too."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        about = {"model_id": model} if model else {}
        numbers = [Metric(key, value, now, 0, **about) for key, value in (metrics or {}).items()]
        words = [Param(key, str(value)) for key, value in (params or {}).items()]
        self.client.log_batch(self.id, metrics=numbers, params=words)

    def log_tables(self, uri: str, versions: Mapping[str, int]) -> None:
        """Record which version of each lake table the run read, as dataset inputs."""
        from mlflow.entities import Dataset, DatasetInput

        inputs = [
            DatasetInput(
                Dataset(
                    name, f"v{version}", "delta", json.dumps({"path": f"{uri}/{name}", "version": version})
                )
            )
            for name, version in versions.items()
        ]
        self.client.log_inputs(self.id, inputs)
        self.log(params={f"version_{name}": version for name, version in versions.items()})

    def log_picture(self, path: str, figure: "Figure") -> None:
        """Store a figure under `path`, for example `calibration.png`."""
        self.client.log_figure(self.id, figure, path)

    def log_file(self, file: Path, folder: str | None = None) -> None:
        """Store a file among the run's artifacts."""
        self.client.log_artifact(self.id, str(file), folder)

    def register(self, model: Pyfunc) -> Registered:
        """Log the model and register a version of it."""
        import mlflow.pyfunc

        with warnings.catch_warnings():
            # It warns that whole numbers may be missing one day; the capability knows which of its own may.
            warnings.simplefilter("ignore", UserWarning)
            signature = mlflow.models.infer_signature(model.example, model.answer, dict(model.options))
        logged = mlflow.pyfunc.log_model(
            name=model.name,
            loader_module=model.loader,
            data_path=str(model.folder),
            signature=signature,
            input_example=model.example,
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in model.packages],
        )
        _create_registered_model(self.client, model.name)
        version = self.client.create_model_version(
            model.name, f"models:/{logged.model_id}", self.id, model_id=logged.model_id
        )
        return Registered(int(version.version), logged.model_id)


@contextmanager
def run(endpoint: Endpoint, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """A run of the experiment; it ends FINISHED, or FAILED with the error in its tags if the body raises."""
    with _connected(endpoint) as client:
        import mlflow

        experiment_id = _experiment(client, experiment)
        with mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=dict(tags)) as active:
            try:
                yield Run(active.info.run_id, experiment_id, client)
            except Exception as error:
                client.set_tag(active.info.run_id, "error", f"{type(error).__name__}: {error}"[:5000])
                raise


def discard(endpoint: Endpoint, experiment: str, tags: Mapping[str, str], *, keep: str = "") -> int:
    """Delete the runs with these tags, and the model versions they registered; how many runs there were.

    What an attempt that was killed, or that came second, leaves behind. The run whose id is `keep` stays, and
    so do runs that failed: they tell their own story.
    """
    with _connected(endpoint) as client:
        runs = _search(client, experiment, tags)
        leftovers = [
            one.info.run_id for one in runs if one.info.run_id != keep and one.info.status != "FAILED"
        ]
        for run_id in leftovers:
            for version in client.search_model_versions(f"run_id = '{run_id}'"):
                with _missing_is_fine():
                    client.delete_model_version(version.name, version.version)
            with _missing_is_fine():
                client.delete_run(run_id)
        return len(leftovers)


def trained(endpoint: Endpoint, model: str, day: date) -> Trained | None:
    """The model's candidate of the day: the newest run that finished and registered a version; else None."""
    with _connected(endpoint) as client:
        for found in _search(client, model, {"day": str(day)}):
            versions = client.search_model_versions(f"run_id = '{found.info.run_id}'")
            if found.info.status == "FINISHED" and versions:
                data = found.data
                return Trained(model, int(versions[0].version), found.info.run_id, data.params, data.metrics)
    return None


@contextmanager
def examination(endpoint: Endpoint, candidate: Trained) -> Iterator[Path]:
    """The paper that the candidate's training left for its judgement, for as long as the body runs."""
    with _connected(endpoint), tempfile.TemporaryDirectory() as folder:
        import mlflow.artifacts

        found = mlflow.artifacts.download_artifacts(
            f"runs:/{candidate.run_id}/{EXAMINATION}", dst_path=folder
        )
        yield next(path for path in Path(found).iterdir())


def load_model(endpoint: Endpoint, model: str, version: int) -> Any:
    """A registered version as the object its capability saved.

    Raises:
        TrackingError: the registry has no such version.
    """
    with _connected(endpoint) as client, tempfile.TemporaryDirectory() as folder:
        import mlflow.artifacts
        from mlflow.models import Model

        _version(client, model, version)
        home = Path(mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=folder))
        flavor = Model.load(home).flavors["python_function"]
        return importlib.import_module(flavor["loader_module"])._load_pyfunc(str(home / flavor["data"]))


def settle(endpoint: Endpoint, model: str, day: date, version: int | None, tags: Mapping[str, str]) -> None:
    """Write the verdict on a day's candidate into its run and version; discard the day's other attempts."""
    run_id = ""
    with _connected(endpoint) as client:
        if version is not None:
            run_id = str(_version(client, model, version).run_id)
            for key, value in tags.items():
                client.set_tag(run_id, key, value)
                client.set_model_version_tag(model, str(version), key, value)
    discard(endpoint, model, {"day": str(day)}, keep=run_id)


def set_aliases(endpoint: Endpoint, model: str, aliases: Mapping[str, int | None]) -> None:
    """Make each alias of the registered model point to its version; None takes the alias away."""
    with _connected(endpoint) as client:
        held = client.get_registered_model(model).aliases
        for alias, version in aliases.items():
            if version is None and alias in held:
                client.delete_registered_model_alias(model, alias)
            elif version is not None and held.get(alias) != str(version):
                client.set_registered_model_alias(model, alias, str(version))


@contextmanager
def _connected(endpoint: Endpoint) -> Iterator["MlflowClient"]:
    """A client. MLflow's fluent calls find address and login in the environment, as long as it is held."""
    wanted = {
        "MLFLOW_TRACKING_URI": endpoint.url,
        "MLFLOW_REGISTRY_URI": endpoint.url,
        "MLFLOW_TRACKING_USERNAME": endpoint.login,
        "MLFLOW_TRACKING_PASSWORD": endpoint.password,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": _PATIENCE_SECONDS,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
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


def _search(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> list[Any]:
    """The experiment's runs with these tags, newest first."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return list(client.search_runs([found.experiment_id], wanted, order_by=["attributes.start_time DESC"]))


def _experiment(client: "MlflowClient", name: str) -> str:
    """The experiment's id; made if nobody has, whoever comes first."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name)
        except MlflowException as error:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise TrackingError(f"the MLflow experiment {name!r} cannot be made: {error}") from error
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _create_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(client: "MlflowClient", model: str, version: int) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model, str(version))
    except MlflowException as error:
        raise TrackingError(f"the MLflow registry has no version {version} of {model!r}: {error}") from error


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    """Somebody else may have deleted it first."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
