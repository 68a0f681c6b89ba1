"""The form of `maintain_lake`, through the DAG file itself and Airflow's metadata database."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from airflow.dag_processing.dagbag import DagBag

from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake
from tests.dags.conftest import DAGS_FOLDER
from tests.embeddings.catalogue import land

DAY = date(2017, 12, 4)


@pytest.fixture
def crowded(lake: Lake, airflow: None) -> Lake:
    """A lake with two small files for one day of `audiences`, and two with vectors, some of them orphans."""
    land(lake, DAY, [("1", "a"), ("2", "b")])
    space = embedding_settings().start
    for row in texts(lake.read("items"), space.text).drop("item_id").to_pyarrow().to_pylist():
        vector = row | {"encoder": space.key, "vector": [1.0]}
        member = {"day": DAY, "audience": "loyal", "customer_id": row["text"]}
        lake.add("audiences", pa.Table.from_pylist([member]))
        lake.add("item_embeddings", pa.Table.from_pylist([vector, vector | {"encoder": "given up"}]))
    return lake


def orphans(lake: Lake) -> int:
    rows = lake.read("item_embeddings")
    return rows.filter(rows.encoder == "given up").count().to_pyarrow().as_py()


def run(**form: object) -> str:
    dag = DagBag(dag_folder=DAGS_FOLDER / "maintain_lake.py").dags["maintain_lake"]
    for task in dag.tasks:
        task.retries = 0
    return str(dag.test(run_conf=form).state)


def files(lake: Lake, name: str) -> int:
    return len(lake.table(name).open().file_uris())


def test_an_empty_form_maintains_all_tables(crowded: Lake):
    assert run() == "success"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (1, 1)
    assert orphans(crowded) == 0


def test_the_form_chooses_tables_and_kept_days(crowded: Lake):
    assert run(tables=["audiences"], kept_days=7) == "success"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (1, 2)
    assert orphans(crowded) == 2
    assert "7 days" in str(crowded.table("audiences").open().metadata().configuration)


def test_a_dry_run_changes_nothing(crowded: Lake):
    assert run(dry_run=True) == "success"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (2, 2)
    assert orphans(crowded) == 2


def test_a_table_that_cannot_be_maintained_makes_the_run_red(crowded: Lake):
    log = Path(crowded.table("scores").path, "_delta_log")
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no log\n")
    assert run() == "failed"
    assert (files(crowded, "audiences"), files(crowded, "item_embeddings")) == (1, 1)
