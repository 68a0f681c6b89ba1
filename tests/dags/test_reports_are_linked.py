"""The reports of manual runs, through the DAG files themselves and Airflow's metadata database."""

from pathlib import Path
from typing import Any

import ibis
from airflow.dag_processing.dagbag import DagBag
from airflow.models.taskinstance import TaskInstance

from perennial.foundation.lake import Lake
from perennial.ingestion import pipeline
from tests.content import rows
from tests.dags.conftest import DAGS_FOLDER
from tests.ingestion.drops import DAY, drop, drop_all, purchase


def run(dag_id: str, **form: Any) -> TaskInstance:
    """Run a DAG as by hand. Returns its last task."""
    dag = DagBag(dag_folder=DAGS_FOLDER / f"{dag_id}.py").dags[dag_id]
    tasks = dag.test(run_conf=form).get_task_instances()
    return next(task for task in tasks if task.task_id == dag.leaves[0].task_id)


def test_a_manual_run_links_its_report_also_when_it_fails(airflow: None, shop: Path, lake: Lake):
    drop_all(
        shop, events=[purchase(f"e{n}", quantity=0) for n in range(30)] + [purchase("e30", item_id="i9")]
    )
    checked = run("check_sources", day=DAY, table="events")
    assert checked.state == "success"
    page = checked.xcom_pull(task_ids=checked.task_id)["report"]
    assert "quantity out of range: 30 rows" in (shop / "reports" / page).read_text()

    stopped = run("ingest", day=DAY)
    assert (stopped.task_id, stopped.state, stopped.try_number) == ("publish", "failed", 1)
    assert stopped.xcom_pull(task_ids="publish") == {"report": f"data_docs/{DAY}/index.html"}
    assert rows(lake, "events") == []

    drop(shop, "events", [purchase("e0"), purchase("e30", item_id="i9")])
    pipeline.ingest(DAY)
    lake.add("items", lake.read("items").mutate(item_id=ibis.literal("i9")).to_pyarrow())
    replayed = run("replay_quarantine", table="events", first_day=DAY, last_day=DAY, reason="item_id unknown")
    result = replayed.xcom_pull(task_ids=replayed.task_id)
    assert result["events"] == {"candidates": 1, "published": 1, "still_refused": {}}
    assert "item_id unknown" in (shop / "reports" / result["report"]).read_text()
    (kept,) = rows(lake, "quarantine")
    assert kept["replayed_on"] == replayed.dag_run.run_after.date()
