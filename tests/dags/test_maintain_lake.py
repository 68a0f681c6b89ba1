"""The form of `maintain_lake`, through the DAG file itself and Airflow's metadata database."""

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from airflow.dag_processing.dagbag import DagBag

from perennial.foundation.lake import Lake
from tests.dags.conftest import DAGS_FOLDER

DAY = date(2017, 12, 4)


@pytest.fixture
def crowded(lake: Lake, metadata_database: None, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake with two small files for one day of `audiences`, and two vectors in two files."""
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAGS_FOLDER)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    for name in ("a", "b"):
        vector = {"encoder": "e", "text_hash": name, "text": name, "vector": [1.0]}
        lake.add("audiences", pa.Table.from_pylist([{"day": DAY, "audience": "loyal", "customer_id": name}]))
        lake.add("item_embeddings", pa.Table.from_pylist([vector]))
    return lake


def run(**form: object) -> str:
    dag = DagBag(dag_folder=DAGS_FOLDER / "maintain_lake.py").dags["maintain_lake"]
    for task in dag.tasks:
        task.retries = 0
    return str(dag.test(run_conf=form).state)


def files(lake: Lake, name: str) -> int:
    return len(lake.table(name).open().file_uris())


def test_without_a_word_all_tables_are_tidied(crowded: Lake):
    assert run() == "success"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (1, 1)


def test_the_form_chooses_tables_and_kept_days(crowded: Lake):
    assert run(tables=["audiences"], kept_days=7) == "success"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (1, 2)
    assert "7 days" in str(crowded.table("audiences").open().metadata().configuration)


def test_a_dry_run_changes_nothing(crowded: Lake):
    assert run(dry_run=True) == "success"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (2, 2)


def test_a_table_that_cannot_be_tidied_makes_the_run_red(crowded: Lake):
    log = Path(crowded.table("scores").path, "_delta_log")
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no log\n")
    assert run() == "failed"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (1, 1)
