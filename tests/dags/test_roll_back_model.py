"""The form of `roll_back_model`, through the DAG file itself and Airflow's metadata database."""

import json

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import promotion
from perennial.orchestration.trained_models import TRAINED_MODELS
from tests import planted
from tests.dags.conftest import DAGS_FOLDER
from tests.planted import MODEL, aliases, log


@pytest.fixture
def dag(airflow: None, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> DAG:
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps({"conn_type": "http", "host": endpoint.url}))
    dag = DagBag(dag_folder=DAGS_FOLDER / "roll_back_model.py").dags["roll_back_model"]
    for task in dag.tasks:
        task.retries = 0
    return dag


def states(dag: DAG, **form: object) -> dict[str, str]:
    return {
        instance.task_id: str(instance.state) for instance in dag.test(run_conf=form).get_task_instances()
    }


def test_the_form_offers_every_model_that_is_promoted(bag: DagBag):
    offered = bag.dags["roll_back_model"].params.get_param("model").schema["enum"]
    assert tuple(offered) == TRAINED_MODELS


def test_each_promoted_model_is_trained(bag: DagBag):
    trainings = [task for task in bag.dags["train_models"].task_ids if task.startswith("train_")]
    assert trainings == [f"train_{model}" for model in TRAINED_MODELS]


def test_the_form_goes_back_one_version_or_to_a_named_one(dag: DAG, lake: Lake, endpoint: Endpoint):
    planted.promoted(endpoint, 3)
    done = {"choose": "success", "change": "success"}
    assert states(dag, reason="odd scores") == done
    assert states(dag, model=MODEL, reason="and odder", version=1, held_through="2017-12-24") == done
    assert [row[1:] for row in log(lake)[3:]] == [("rolled_back", 2), ("rolled_back", 1)]
    assert promotion.records(lake, MODEL)[-1].held_through.isoformat() == "2017-12-24"
    assert aliases(endpoint) == {"champion": "1"}
    assert states(dag, model=MODEL, reason="once more") == {"choose": "failed", "change": "upstream_failed"}
    assert len(log(lake)) == 5
