"""A day trained twice: the same rows give the same figures."""

import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from perennial.foundation.endpoint import Endpoint
from perennial.models import pipeline
from tests.acceptance import year
from tests.acceptance.lines import Line, at_least, at_most

DAY = date(2017, 11, 30)


def again() -> Iterator[Line]:
    """All metrics of two trainings of one day, the parent's and the children's, in two MLflows."""
    with year.shop():
        year.draw(DAY)
        one, other = _trained(), _trained()
    yield at_least("profiles.metrics_of_a_training", len(one), 50, "_metrics")
    differences = [abs(one[name] - other[name]) for name in one] if one.keys() == other.keys() else [1.0]
    yield at_most("profiles.trained_twice_differs_by", max(differences), 1e-6, "")


def _trained() -> dict[str, float]:
    """The metrics of a training of the day, by run and name."""
    import mlflow

    with tempfile.TemporaryDirectory(prefix="perennial-mlflow-") as folder:
        endpoint = Endpoint(f"sqlite:///{Path(folder)}/mlflow.db")
        done = pipeline.train(DAY, endpoint)
        client = mlflow.MlflowClient(endpoint.url, endpoint.url)
        parent = client.get_run(done["mlflow_run"])
        runs = client.search_runs([parent.info.experiment_id])
        return {
            f"{run.info.run_name}/{name}": value for run in runs for name, value in run.data.metrics.items()
        }
