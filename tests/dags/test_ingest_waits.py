"""A day without files, through the DAG file itself and Airflow's metadata database."""

import json
import logging
import pkgutil
import time
from datetime import date
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

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


def states(day: str = DAY, skipping: str | None = "publish") -> dict[str, str]:
    """Run the day by `dag.test()`, without the ingestion. Returns task → state."""
    dag = DagBag(dag_folder=DAGS_FOLDER / "ingest.py").dags["ingest"]
    for task in dag.tasks:
        task.retries = 0
    run = dag.test(run_conf={"day": day}, mark_success_pattern=skipping)
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days that the trigger has checked, one entry for each check."""
    days: list[str] = []
    look = Lookout.may_go_on

    def counted(self: Lookout) -> bool:
        days.append(self.day)
        return look(self)

    monkeypatch.setattr(Lookout, "may_go_on", counted)
    return days


@pytest.mark.usefixtures("patience")
def test_a_day_whose_files_exist_is_ingested_without_a_trigger(shop: Path, looks: list[str]):
    drop_all(shop)
    assert states() == {WAIT: "success", "publish": "success"}
    assert looks == []


@pytest.mark.usefixtures("patience")
def test_a_day_whose_files_come_while_it_is_deferred_is_ingested(
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
def test_a_day_that_times_out_names_the_earlier_day_that_is_not_closed(
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


@pytest.mark.usefixtures("little_patience")
def test_a_day_that_is_late_raises_one_alert_before_it_fails(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.CRITICAL, "perennial.alerts"):
        assert states() == {WAIT: "failed", "publish": "upstream_failed"}
    [late, failure] = [record.getMessage() for record in caplog.records if record.name == "perennial.alerts"]
    assert f"ingest of {DAY} is late: its run began at " in late
    assert "is not done; it waits for its files, looked for at " in late
    assert "failed" in failure


@pytest.mark.usefixtures("patience")
def test_a_day_that_is_late_because_its_work_is_slow_raises_an_alert(
    shop: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("PERENNIAL_LANDING_DEADLINE_HOURS", str(0.01 / 3600))
    settings.cache_clear()
    drop_all(shop)
    monkeypatch.setattr(pipeline, "ingest", lambda day, databases: time.sleep(0.5))
    with caplog.at_level(logging.CRITICAL, "perennial.alerts"):
        assert states(skipping=None) == {WAIT: "success", "publish": "success"}
    [late] = [record.getMessage() for record in caplog.records if record.name == "perennial.alerts"]
    assert late.endswith("is not done; its task publish is at work, try 1.")


def test_an_alert_comes_before_the_day_fails(bag: DagBag):
    wait = bag.dags["ingest"].get_task(WAIT)
    assert wait.late_after < wait.patience


def test_every_function_path_of_a_waiting_task_exists(bag: DagBag):
    waits = [task for dag in bag.dags.values() for task in dag.tasks if isinstance(task, Wait)]
    paths = {path for task in waits for path in (task.watched, task.looked_for) if path}
    assert len(waits) >= 3
    assert len(paths) >= 3
    for path in paths:
        assert callable(pkgutil.resolve_name(path)), path
