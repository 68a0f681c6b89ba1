"""Runs: what a training logs while it is under way, and the removal of runs that were left behind.

A run is named by its tags. The tags of a run of a day say `day`, so that what a killed attempt left behind
can be found and discarded, together with its nested runs. A model is saved as a folder by its capability, and
logged as a pyfunc whose loader is a module of that capability: no pickle, and whoever has `include/` on the
path can load it with `mlflow.pyfunc.load_model`.
"""

import importlib.metadata
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.foundation import contracts
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import provenance
from perennial.foundation.modelling.registered import Pyfunc, Registered
from perennial.foundation.modelling.tracking.client import (
    PARENT,
    all_runs_with,
    connected,
    experiment_id_of,
    runs_with,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

EXAMINATION = "examination"
"""The folder of a run's artifacts that holds the test cases on which candidate and champion are scored."""


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
        """Log parameters and metrics in one call; metrics also on the logged model with the id `model`."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        model_id = {"model_id": model} if model else {}
        logged_metrics = [Metric(key, value, now, 0, **model_id) for key, value in (metrics or {}).items()]
        logged_params = [Param(key, str(value)) for key, value in (params or {}).items()]
        self.client.log_batch(self.id, metrics=logged_metrics, params=logged_params)

    @contextmanager
    def child(self, name: str, tags: Mapping[str, str]) -> Iterator["Run"]:
        """A nested run, for as long as the body runs; it is discarded together with this one.

        It ends as every run does, and an error in it is also the parent's error. A model that the body
        registers belongs to the child.
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
            # MLflow warns that integers may be missing one day; the capability knows which of its own may.
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

    Its tags also name the version of the code and of the software.
    """
    made_by = {"code_version": provenance.code_version(), **provenance.environment()}
    with connected(endpoint) as client:
        experiment_id = experiment_id_of(client, experiment)
        with _started(client, experiment_id, name, {**made_by, **tags}) as active:
            yield active


def discard(endpoint: Endpoint, experiment: str, tags: Mapping[str, str], *, keep: str = "") -> int:
    """Delete the runs with these tags, and the model versions they registered; how many runs there were.

    Attempts that were killed, or that came second, leave such runs behind. The run with the id `keep` stays,
    and so do failed runs: they hold the error.
    """
    with connected(endpoint) as client:
        runs = runs_with(client, experiment, tags)
        leftovers = [each for each in runs if each.info.run_id != keep and each.info.status != "FAILED"]
        for parent in leftovers:
            nested = all_runs_with(client, parent.info.experiment_id, {PARENT: parent.info.run_id})
            for each in [*nested, parent]:
                _delete(client, each.info.run_id)
        return len(leftovers)


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
    fields = MetaDataset(source, name, f"v{version}", schema).to_dict()  # type: ignore[abstract]
    opened = table.open(version)
    profile = json.dumps({"num_rows": 0 if opened is None else opened.count()})
    return Dataset(**fields, profile=profile)


def _delete(client: "MlflowClient", run_id: str) -> None:
    """Delete a run and the versions it registered; another task may have deleted them already."""
    for version in client.search_model_versions(f"run_id = '{run_id}'"):
        with _missing_is_fine():
            client.delete_model_version(version.name, version.version)
    with _missing_is_fine():
        client.delete_run(run_id)


def _create_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    """Pass over MLflow's error for something that another task has deleted already."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
