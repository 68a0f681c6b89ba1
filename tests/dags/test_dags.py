"""The set of DAGs, and what each of them must have."""

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset

DAGS = {
    "ingest",
    "load_history",
    "embed_items",
    "build_profiles",
    "train_models",
    "score_customers",
    "decide_contacts",
    "report_campaigns",
    "maintain_lake",
    "replay_quarantine",
    "check_sources",
    "backfill_embeddings",
    "roll_back_model",
}
NOT_DAILY = {
    *("load_history", "maintain_lake", "replay_quarantine", "check_sources"),
    *("backfill_embeddings", "roll_back_model"),
}
"""Started by hand or weekly: they are not part of a day."""
TWO_PRODUCERS = {"shop_day"}
NOT_AWAITED = {"watcher", "watch"}
"""Tasks that the day does not wait for."""


def consumed(dag: DAG) -> list[str]:
    """Names of the assets that start a DAG."""
    condition = getattr(dag.timetable, "asset_condition", None)
    assert condition is None or isinstance(condition, Asset), "a consumer of two assets can wait for ever"
    return [condition.name] if condition else []


def produced(bag: DagBag) -> dict[str, list[tuple[str, str]]]:
    """For each asset the (dag, task) pairs that emit it."""
    emitters: dict[str, list[tuple[str, str]]] = {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            for outlet in task.outlets:
                assert isinstance(outlet, Asset)
                emitters.setdefault(outlet.name, []).append((dag.dag_id, task.task_id))
    return emitters


def test_the_folder_imports_without_errors_and_contains_exactly_these_dags(bag: DagBag):
    assert bag.import_errors == {}
    assert set(bag.dags) == DAGS


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_a_dag_has_a_file_of_its_name_and_a_description(bag: DagBag, dag_id: str):
    dag = bag.dags[dag_id]
    assert dag.fileloc.endswith(f"/{dag_id}.py")
    assert "**Makes**" in dag.doc_md
    assert "**Starts**" in dag.doc_md
    assert "perennial" in dag.tags
    assert len(dag.tags) > 1
    assert not dag.catchup
    assert dag.params


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_a_dag_has_no_deadline_because_airflow_cannot_clear_a_run_with_one(bag: DagBag, dag_id: str):
    assert not bag.dags[dag_id].deadline


@pytest.mark.parametrize("dag_id", sorted(DAGS))
def test_every_task_has_an_owner_a_description_and_tries_again(bag: DagBag, dag_id: str):
    for task in bag.dags[dag_id].tasks:
        assert task.owner not in ("", "airflow"), task.task_id
        assert task.retries >= 2 or task.task_id == "watcher", task.task_id
        if hasattr(task, "python_callable"):
            assert task.python_callable.__doc__, task.task_id


def test_only_the_last_task_of_a_dag_emits_its_asset(bag: DagBag):
    for asset, emitters in produced(bag).items():
        for dag_id, task_id in emitters:
            leaves = {task.task_id for task in bag.dags[dag_id].leaves} - NOT_AWAITED
            assert leaves == {task_id}, (asset, dag_id)
            assert not bag.dags[dag_id].get_task(task_id).is_mapped, "each instance would emit it"


def test_an_asset_has_one_producing_dag(bag: DagBag):
    for asset, emitters in produced(bag).items():
        assert len(emitters) == (2 if asset in TWO_PRODUCERS else 1), asset


def test_a_dag_consumes_at_most_one_asset_and_each_is_produced(bag: DagBag):
    for dag in bag.dags.values():
        assert len(consumed(dag)) <= 1, dag.dag_id
        assert set(consumed(dag)) <= set(produced(bag)), dag.dag_id


def test_the_assets_of_ingest_reach_all_daily_dags(bag: DagBag):
    emitted_by = {dag_id: asset for asset, pairs in produced(bag).items() for dag_id, _ in pairs}
    reached, frontier = set(), {"ingest"}
    while frontier:
        reached |= frontier
        assets = {emitted_by[dag_id] for dag_id in frontier if dag_id in emitted_by}
        frontier = {dag.dag_id for dag in bag.dags.values() if assets & set(consumed(dag))} - reached
    assert reached == DAGS - NOT_DAILY
