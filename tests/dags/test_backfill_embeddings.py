"""The form of `backfill_embeddings`, through the DAG files themselves and Airflow's metadata database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from perennial.foundation.embedding_spaces import ENCODER, in_force
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.modelling import model_log
from tests.dags.conftest import DAGS_FOLDER
from tests.embeddings.catalogue import MONDAY, TUESDAY, land

States = dict[str, list[str]]


@pytest.fixture
def lake(two_encoders: Path, airflow: None) -> Lake:
    """A shop that starts on Monday with three items."""
    lake = open_lake()
    land(lake, MONDAY, [(str(n), f"Soup number {n} with a long list of what is in it") for n in range(3)])
    open_ledger().close([MONDAY], announced_with=MONDAY)
    return lake


@pytest.fixture
def run(lake: Lake) -> Callable[..., States]:
    """Runs a DAG with a form. Returns task → states of its instances."""

    def run(dag_id: str, **form: object) -> States:
        dag = DagBag(dag_folder=DAGS_FOLDER / f"{dag_id}.py").dags[dag_id]
        for task in dag.tasks:
            task.retries = 0
        states: States = {}
        for instance in dag.test(run_conf=form).get_task_instances():
            states.setdefault(instance.task_id, []).append(str(instance.state))
        return states

    return run


def keys(lake: Lake) -> set[str]:
    return set(lake.read("item_embeddings").encoder.to_pyarrow().to_pylist())


def test_a_dry_run_is_the_default_and_changes_nothing(lake: Lake, run: Callable[..., States]):
    assert set(run("embed_items", day=str(MONDAY))["encode"]) == {"success"}
    before, log = keys(lake), model_log.records(lake, ENCODER)
    states = run("backfill_embeddings", encoder="small")
    assert states == {
        "choose": ["success"],
        "estimate": ["success"],
        "plan": ["skipped"],
        "encode": ["skipped"],
        "switch": ["skipped"],
    }
    assert (keys(lake), model_log.records(lake, ENCODER)) == (before, log)


def test_a_backfill_encodes_in_mapped_tasks_and_switches_there_and_back(
    lake: Lake, run: Callable[..., States]
):
    run("embed_items", day=str(MONDAY))
    states = run("backfill_embeddings", encoder="small", tokens_per_shard=1, dry_run=False)
    assert states["encode"] == ["success"] * 3
    assert (states["estimate"], states["switch"]) == (["skipped"], ["success"])
    assert len(keys(lake)) == 2
    assert in_force(lake, TUESDAY).encoder.name.endswith("small")
    states = run("backfill_embeddings", encoder="minilm", dry_run=False)
    assert (states["encode"], states["switch"]) == (["skipped"], ["success"])
    assert in_force(lake, TUESDAY) == in_force(lake, MONDAY)
    assert [row.change for row in model_log.records(lake, ENCODER)] == [1, 1, 2]


def test_an_undeclared_encoder_makes_the_run_red(lake: Lake, run: Callable[..., States]):
    states = run("backfill_embeddings", encoder="no such", dry_run=False)
    assert states["choose"] == ["failed"]
    assert model_log.records(lake, ENCODER) == []
