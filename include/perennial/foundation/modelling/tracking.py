"""MLflow: runs, registered models, aliases. The only module that imports mlflow, and only when it is asked.

A run is named by its tags: the tags of a run of a day say `day`, so that what a killed attempt left behind
can be found and discarded, its nested runs with it. Beside the runs of days each model has one long run, its
*series*: the figures of every day as steps, for the trend. A model is saved as a folder by the capability it
belongs to, and logged as a pyfunc whose loader is that capability's module: no pickle, and whoever has
`include/` on the path can load it with `mlflow.pyfunc.load_model`.
"""

import importlib
import importlib.metadata
import json
import logging
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from perennial.foundation import contracts
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import provenance
from perennial.foundation.modelling.registered import Pyfunc, Registered, Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
EXAMINATION = "examination"
_PATIENCE_SECONDS = "60"
_PARENT = "mlflow.parentRunId"
_SERIES = {"series": "every day"}
_SERIES_NOTE = (
    "The figures of every day, one step a day. In a chart choose *Time* for the x-axis: it shows the day "
    "itself; *Step* counts days from 2000-01-01."
)
_STEP_0 = date(2000, 1, 1)


class TrackingError(RuntimeError):
    """MLflow does not have what was asked for; the message says what and where."""


class SavedOtherwiseError(RuntimeError):
    """A version was saved by code that lays out its files in another way."""


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

    @contextmanager
    def child(self, name: str, tags: Mapping[str, str]) -> Iterator["Run"]:
        """A run within this one, for as long as the body runs; it is discarded together with this one.

        It ends as runs do; an error in it is the parent's error, too. What is registered meanwhile belongs to
        the child.
        """
        with _started(self.client, self.experiment_id, name, tags, nested=True) as run:
            yield run

    def log_tables(self, lake: Lake) -> None:
        """Record every table that the lake is pinned to as a data set: place, version, columns and rows."""
        from mlflow.entities import DatasetInput

        versions = lake.pins or {}
        inputs = [DatasetInput(_dataset(lake, name, version)) for name, version in versions.items()]
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
    """A run of the experiment; it ends FINISHED, or FAILED with the error in its tags if the body raises.

    Its tags also say which code made it, and with which software.
    """
    made_by = {"code_version": provenance.code_version(), **provenance.environment()}
    with _connected(endpoint) as client:
        experiment_id = _experiment(client, experiment)
        with _started(client, experiment_id, name, {**made_by, **tags}) as active:
            yield active


def discard(endpoint: Endpoint, experiment: str, tags: Mapping[str, str], *, keep: str = "") -> int:
    """Delete the runs with these tags, and the model versions they registered; how many runs there were.

    What an attempt that was killed, or that came second, leaves behind. The run whose id is `keep` stays, and
    so do runs that failed: they tell their own story.
    """
    with _connected(endpoint) as client:
        runs = _search(client, experiment, tags)
        leftovers = [one for one in runs if one.info.run_id != keep and one.info.status != "FAILED"]
        for parent in leftovers:
            nested = _found(client, parent.info.experiment_id, {_PARENT: parent.info.run_id})
            for one in [*nested, parent]:
                _delete(client, one.info.run_id)
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
        SavedOtherwiseError: today's code does not find in it what it saves itself.
    """
    with _connected(endpoint) as client, tempfile.TemporaryDirectory() as folder:
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
    """Write tags, and those figures of a day that it lacks, to a version's run; tags to the version as well.

    Returns:
        The id of the run.
    """
    with _connected(endpoint) as client:
        run_id = str(_version(client, model, version).run_id)
        for key, value in tags.items():
            client.set_tag(run_id, key, value)
            client.set_model_version_tag(model, str(version), key, value)
        if day is not None:
            held = client.get_run(run_id).data.metrics
            new = {key: value for key, value in figures.items() if _name(key) not in held}
            _log_on(client, run_id, day, new, step=0)
    return run_id


def log_series(
    endpoint: Endpoint,
    model: str,
    day: date,
    figures: Mapping[str, float],
    pictures: Mapping[str, "Figure"] = MappingProxyType({}),
) -> str:
    """Write a day's figures as one step of the model's series, and pictures in place of older ones.

    The step counts days from 2000-01-01, the time is the day's midnight. The same figures again add nothing.

    Returns:
        The id of the series' run.
    """
    with _connected(endpoint) as client:
        if not _search(client, model, _SERIES):
            tags = {**_SERIES, "mlflow.note.content": _SERIES_NOTE}
            made = client.create_run(_experiment(client, model), tags=tags, run_name=f"{model}, every day")
            client.set_terminated(made.info.run_id)
        # Of two that were made at once, the older one counts.
        run_id = str(_search(client, model, _SERIES)[-1].info.run_id)
        _log_on(client, run_id, day, figures, step=(day - _STEP_0).days)
        for path, figure in pictures.items():
            client.log_figure(run_id, figure, path)
        return run_id


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


@contextmanager
def _started(
    client: "MlflowClient", experiment_id: str, name: str, tags: Mapping[str, str], *, nested: bool = False
) -> Iterator[Run]:
    import mlflow

    with mlflow.start_run(
        experiment_id=experiment_id, run_name=name, tags=dict(tags), nested=nested
    ) as active:
        try:
            yield Run(active.info.run_id, experiment_id, client)
        except Exception as error:
            client.set_tag(active.info.run_id, "error", f"{type(error).__name__}: {error}"[:5000])
            raise


def _dataset(lake: Lake, name: str, version: int) -> Any:
    """A table of the lake as MLflow's data set, with the number of its rows."""
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset
    from mlflow.types import Schema

    table = lake.table(name)
    source = DeltaDatasetSource(path=table.path, delta_table_version=version)
    schema = Schema.from_json(json.dumps(provenance.columns(contracts.CONTRACTS[name].schema)))
    said = MetaDataset(source, name, f"v{version}", schema).to_dict()  # type: ignore[abstract]
    found = table.open(version)
    return Dataset(**said, profile=json.dumps({"num_rows": 0 if found is None else found.count()}))


def _log_on(
    client: "MlflowClient", run_id: str, day: date, figures: Mapping[str, float], *, step: int
) -> None:
    """Metrics as of a day: their time is its midnight, so that the same ones again are no others."""
    from mlflow.entities import Metric

    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    metrics = [Metric(_name(key), value, midnight, step) for key, value in figures.items()]
    client.log_batch(run_id, metrics=metrics)


def _name(key: str) -> str:
    """A metric's name as MLflow allows it."""
    return re.sub(r"[^/\w.\- :]", "_", key)


def _delete(client: "MlflowClient", run_id: str) -> None:
    """A run and the versions it registered; somebody else may have deleted them first."""
    for version in client.search_model_versions(f"run_id = '{run_id}'"):
        with _missing_is_fine():
            client.delete_model_version(version.name, version.version)
    with _missing_is_fine():
        client.delete_run(run_id)


def _search(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> list[Any]:
    """The experiment's runs with these tags, newest first; those within other runs left out."""
    found = client.get_experiment_by_name(experiment)
    runs = [] if found is None else _found(client, found.experiment_id, tags)
    return [one for one in runs if _PARENT not in one.data.tags]


def _found(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> list[Any]:
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return list(client.search_runs([experiment_id], wanted, order_by=["attributes.start_time DESC"]))


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
