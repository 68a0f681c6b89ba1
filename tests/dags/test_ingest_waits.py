"""A day without files, through the DAG file itself and Airflow's metadata database."""

import json
import logging
import pkgutil
from datetime import date
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference

from perennial.foundation.ledger import open_ledger
from perennial.foundation.settings import settings
from perennial.ingestion import pipeline
from perennial.orchestration import waiting
from perennial.orchestration.waiting import Lookout, Wait
from tests.dags.conftest import DAGS_FOLDER
from tests.ingestion.drops import DAY, drop_all

WAIT = "wait_for_earlier_days"
BEFORE = "2024-05-01"


@pytest.fixture
def patience(shop: Path, monkeypatch: pytest.MonkeyPatch, metadata_database: None) -> None:
    """A shop that waits for its files."""
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAGS_FOLDER)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("PERENNIAL_WHEN_NOTHING_LANDED", "wait")
    monkeypatch.setattr(waiting, "SHORTEST_PAUSE", 0.1)
    settings.cache_clear()


@pytest.fixture
def little_patience(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a second."""
    monkeypatch.setenv("PERENNIAL_LANDING_DEADLINE_HOURS", str(0.5 / 3600))
    monkeypatch.setenv("PERENNIAL_LANDING_PATIENCE_HOURS", str(1 / 3600))
    settings.cache_clear()


def states(day: str = DAY) -> dict[str, str]:
    """Run the day by `dag.test()`, without the taking in; the state of each task."""
    dag = DagBag(dag_folder=DAGS_FOLDER / "ingest.py").dags["ingest"]
    dag.deadline = None  # `dag.test()` cannot end a run that has one
    for task in dag.tasks:
        task.retries = 0
    run = dag.test(run_conf={"day": day}, mark_success_pattern="publish")
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days that the trigger has looked for, one entry a look."""
    seen: list[str] = []
    look = Lookout.may_go_on

    def counted(self: Lookout) -> bool:
        seen.append(self.day)
        return look(self)

    monkeypatch.setattr(Lookout, "may_go_on", counted)
    return seen


@pytest.mark.usefixtures("patience")
def test_a_day_whose_files_are_there_is_taken_in_without_a_trigger(shop: Path, looks: list[str]):
    drop_all(shop)
    assert states() == {WAIT: "success", "publish": "success"}
    assert looks == []


@pytest.mark.usefixtures("patience")
def test_a_day_whose_files_come_while_it_is_deferred_is_taken_in(
    shop: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
):
    look = Lookout.may_go_on

    def late_files(self: Lookout) -> bool:
        if looks:
            drop_all(shop)
        return look(self)

    monkeypatch.setattr(Lookout, "may_go_on", late_files)
    assert states() == {WAIT: "success", "publish": "success"}
    assert looks == [DAY, DAY]


@pytest.mark.usefixtures("little_patience")
def test_a_day_without_files_fails_with_every_path_it_looked_for(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.CRITICAL, "perennial.alerts"):
        assert states() == {WAIT: "failed", "publish": "upstream_failed"}
    paths = pipeline.looked_for(date.fromisoformat(DAY))
    assert paths
    for path in paths:
        assert DAY in path
        assert path in caplog.text


@pytest.mark.usefixtures("little_patience")
def test_a_day_that_waited_in_vain_names_the_earlier_day_that_is_not_closed(
    shop: Path, caplog: pytest.LogCaptureFixture
):
    drop_all(shop, BEFORE)
    drop_all(shop, DAY)
    with caplog.at_level(logging.CRITICAL, "perennial.alerts"):
        assert states() == {WAIT: "failed", "publish": "upstream_failed"}
    assert f"ingest of {DAY} still waits for {BEFORE}" in caplog.text


@pytest.mark.usefixtures("patience")
def test_a_day_goes_on_when_the_earlier_day_is_closed(
    shop: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
):
    drop_all(shop, BEFORE)
    drop_all(shop, DAY)
    look = Lookout.may_go_on

    def closed_meanwhile(self: Lookout) -> bool:
        open_ledger().close([date.fromisoformat(BEFORE)], announced_with=date.fromisoformat(BEFORE))
        return look(self)

    monkeypatch.setattr(Lookout, "may_go_on", closed_meanwhile)
    assert states() == {WAIT: "success", "publish": "success"}
    assert looks == [DAY]


@pytest.mark.usefixtures("patience")
def test_a_day_without_files_is_skipped_where_the_shop_says_so(
    looks: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PERENNIAL_WHEN_NOTHING_LANDED", "skip")
    settings.cache_clear()
    assert states() == {WAIT: "skipped", "publish": "skipped"}
    assert looks == []


def test_an_alert_comes_before_the_day_fails_counted_from_when_its_run_was_queued(bag: DagBag):
    [alert] = bag.dags["ingest"].deadline
    assert isinstance(alert, DeadlineAlert)
    assert isinstance(alert.callback, AsyncCallback)
    assert alert.reference == DeadlineReference.DAGRUN_QUEUED_AT
    assert alert.interval < bag.dags["ingest"].get_task(WAIT).patience


def test_every_question_that_a_dag_asks_has_an_answer(bag: DagBag):
    waits = [task for dag in bag.dags.values() for task in dag.tasks if isinstance(task, Wait)]
    asked = {path for task in waits for path in (task.watched, task.looked_for) if path}
    asked |= set(bag.dags["ingest"].deadline[0].callback.kwargs.values())
    assert len(waits) >= 3
    assert len(asked) >= 3
    for path in asked:
        assert callable(pkgutil.resolve_name(path)), path
