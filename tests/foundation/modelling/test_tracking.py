import json
import platform
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import mlflow
import pytest

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import provenance, tracking
from perennial.foundation.modelling.tracking.client import experiment_id_of
from tests.learning import DAY, fill, profiles

TAGS = {"day": "2017-12-01"}


def runs(endpoint: Endpoint, experiment: str) -> list[Any]:
    client = mlflow.MlflowClient(endpoint.url, endpoint.url)
    known = client.get_experiment_by_name(experiment)
    return list(client.search_runs([known.experiment_id]))


def test_a_run_has_its_params_metrics_and_the_versions_of_code_and_software(endpoint: Endpoint):
    with tracking.run(endpoint, "reports", "one", TAGS) as run:
        run.log(params={"rounds": 3}, metrics={"auc": 0.5})
    (found,) = runs(endpoint, "reports")
    assert found.info.run_id == run.id
    assert found.info.status == "FINISHED"
    assert found.data.params == {"rounds": "3"}
    assert found.data.metrics == {"auc": 0.5}
    assert found.data.tags["code_version"] == provenance.code_version()
    assert found.data.tags["python"] == platform.python_version()
    assert f"mlflow {mlflow.__version__}" in found.data.tags["packages"]


def test_the_tables_of_a_run_are_data_sets_with_version_columns_and_rows(endpoint: Endpoint, lake: Lake):
    fill(lake)
    lake.replace("profiles", profiles(DAY - timedelta(1)), DAY - timedelta(1))
    pinned = lake.pinned("profiles", "scores")
    lake.replace("profiles", profiles(DAY - timedelta(2)), DAY - timedelta(2))
    with tracking.run(endpoint, "reports", "one", TAGS) as run:
        run.log_tables(pinned)
    (found,) = runs(endpoint, "reports")
    version = pinned.version("profiles")
    assert found.data.params == {"version_profiles": str(version)}
    (held,) = found.inputs.dataset_inputs
    assert (held.dataset.name, held.dataset.digest) == ("profiles", f"v{version}")
    assert json.loads(held.dataset.profile) == {"num_rows": pinned.read("profiles").count().execute()}
    source = mlflow.data.get_source(held)
    assert (source.path, source.delta_table_version) == (f"{lake.uri}/profiles", version)
    kinds = {one["name"]: one["type"] for one in json.loads(held.dataset.schema)["mlflow_colspec"]}
    assert (kinds["day"], kinds["spend"], kinds["recent_orders"]) == ("datetime", "double", "array")


def test_a_nested_run_is_discarded_with_its_parent_and_is_no_candidate(endpoint: Endpoint):
    for _ in range(2):
        with tracking.run(endpoint, "reports", "one", TAGS) as kept, kept.child("trees", TAGS) as child:
            child.log(metrics={"auc": 0.5})
    assert len(runs(endpoint, "reports")) == 4
    assert tracking.discard(endpoint, "reports", TAGS, keep=kept.id) == 1
    left = {one.info.run_id: one for one in runs(endpoint, "reports")}
    assert left.keys() == {kept.id, child.id}
    assert left[child.id].data.tags["mlflow.parentRunId"] == kept.id
    assert left[child.id].data.metrics == {"auc": 0.5}
    with (
        pytest.raises(ValueError, match="no trees"),
        tracking.run(endpoint, "reports", "one", TAGS) as parent,
        parent.child("trees", TAGS),
    ):
        raise ValueError("no trees")
    failed = [one for one in runs(endpoint, "reports") if one.info.status == "FAILED"]
    assert [one.data.tags["error"] for one in failed] == ["ValueError: no trees"] * 2


def test_every_day_is_a_step_of_one_series_however_often_it_is_written(endpoint: Endpoint):
    days = (date(2017, 12, 2), date(2017, 12, 1), date(2017, 12, 2))
    ids = {tracking.log_series(endpoint, "reports", day, {"auc": day.day / 10}) for day in days}
    (series,) = runs(endpoint, "reports")
    assert ids == {series.info.run_id}
    client = mlflow.MlflowClient(endpoint.url, endpoint.url)
    steps = [(one.step, one.value) for one in client.get_metric_history(series.info.run_id, "auc")]
    assert sorted(steps) == [(6544, 0.1), (6545, 0.2)]
    assert series.data.metrics == {"auc": 0.2}
    assert (series.info.run_name, series.info.status) == ("reports, every day", "FINISHED")


def test_a_run_that_raises_is_failed_and_says_why(endpoint: Endpoint):
    with pytest.raises(ValueError, match="no data"), tracking.run(endpoint, "reports", "one", TAGS):
        raise ValueError("no data")
    (found,) = runs(endpoint, "reports")
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == "ValueError: no data"


def test_two_runs_at_once_make_one_experiment(endpoint: Endpoint):
    client = mlflow.MlflowClient(endpoint.url, endpoint.url)
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: experiment_id_of(client, "shared"), range(4)))
    assert len(set(ids)) == 1


def test_leftovers_of_a_day_are_discarded_and_failures_stay(endpoint: Endpoint):
    for _ in range(2):
        with tracking.run(endpoint, "reports", "one", TAGS) as kept:
            pass
    with tracking.run(endpoint, "reports", "other day", {"day": "2017-12-02"}):
        pass
    with pytest.raises(ValueError, match="broken"), tracking.run(endpoint, "reports", "one", TAGS):
        raise ValueError("broken")
    assert tracking.discard(endpoint, "reports", TAGS, keep=kept.id) == 1
    assert sorted(one.info.status for one in runs(endpoint, "reports")) == ["FAILED", "FINISHED", "FINISHED"]
    assert tracking.discard(endpoint, "never seen", TAGS) == 0


def test_a_version_that_is_not_there_is_named(endpoint: Endpoint):
    with pytest.raises(tracking.TrackingError, match="no version 7 of 'return_model'"):
        tracking.load_model(endpoint, "return_model", 7)


def test_a_day_without_training_has_no_candidate(endpoint: Endpoint):
    assert tracking.trained(endpoint, "return_model", date(2017, 12, 1)) is None


def test_neither_password_nor_address_stays_in_the_environment(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    import os

    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    named = Endpoint(endpoint.url, "ana", "only for this test")
    with tracking.run(named, "reports", "one", TAGS):
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "only for this test"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
    assert "only for this test" not in repr(named)
