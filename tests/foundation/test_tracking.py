from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from perennial.foundation import tracking
from perennial.foundation.endpoint import Endpoint

TAGS = {"day": "2017-12-01"}


def runs(endpoint: Endpoint, experiment: str) -> list[object]:
    import mlflow

    client = mlflow.MlflowClient(endpoint.url, endpoint.url)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id]))


def test_a_run_keeps_what_it_is_told(endpoint: Endpoint):
    with tracking.run(endpoint, "reports", "one", TAGS) as run:
        run.log(params={"rounds": 3}, metrics={"auc": 0.5})
        run.log_tables("/lake", {"events": 7})
    (found,) = runs(endpoint, "reports")
    assert found.info.run_id == run.id
    assert found.info.status == "FINISHED"
    assert found.data.params == {"rounds": "3", "version_events": "7"}
    assert found.data.metrics == {"auc": 0.5}
    assert [(one.dataset.name, one.dataset.digest) for one in found.inputs.dataset_inputs] == [
        ("events", "v7")
    ]


def test_a_run_that_raises_is_failed_and_says_why(endpoint: Endpoint):
    with pytest.raises(ValueError, match="no data"), tracking.run(endpoint, "reports", "one", TAGS):
        raise ValueError("no data")
    (found,) = runs(endpoint, "reports")
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == "ValueError: no data"


def test_two_runs_at_once_make_one_experiment(endpoint: Endpoint):
    import mlflow

    client = mlflow.MlflowClient(endpoint.url, endpoint.url)
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: tracking._experiment(client, "shared"), range(4)))
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
