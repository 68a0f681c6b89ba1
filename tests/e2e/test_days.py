"""A history and two days of a slice of the real data, through the real DAG files, MLflow server and all."""

import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from perennial.demo import complete_journey
from perennial.demo.environment import REPOSITORY, State
from perennial.foundation import contracts
from perennial.foundation.lake import Lake

FIRST, LAST, DAY = date(2017, 1, 1), date(2017, 4, 28), date(2017, 4, 29)
EVERY_NTH_CUSTOMER = 40


def keep(table: pa.Table, customers_by: int, items: set[str] | None) -> pa.Table:
    """Some customers' rows, and the items that they bought."""
    if "customer_id" in table.column_names:
        number = table["customer_id"].cast(pa.int64())
        modulus = pc.subtract(number, pc.multiply(pc.divide(number, customers_by), customers_by))
        return table.filter(pc.equal(modulus, 0))
    if "item_id" in table.column_names and items is not None:
        return table.filter(pc.is_in(table["item_id"], pa.array(sorted(items))))
    return table


def slice_of(full: Path, landing: Path) -> None:
    """Copy the landing files with few customers, and without the items that none of these bought."""
    items: set[str] = set()
    for table in ("events", "users", "contacts", "campaigns", "assignments", "items"):
        for path in sorted((full / table).rglob("*.parquet")):
            kept = keep(pq.read_table(path), EVERY_NTH_CUSTOMER, items)
            if table == "events" and "item_id" in kept.column_names:
                items |= set(kept["item_id"].to_pylist())
            if kept.num_rows:
                target = landing / path.relative_to(full)
                target.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(kept, target)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> State:
    """The state folder of a shop whose days went through the DAGs."""
    root = tmp_path_factory.mktemp("shop")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        state = State(root, mlflow_port=free.getsockname()[1])
    complete_journey.land(root / "full", FIRST, DAY)
    slice_of(root / "full", state.landing)
    shutil.rmtree(root / "full")
    environment = os.environ | {
        "PERENNIAL_STATE": str(root),
        "PERENNIAL_MLFLOW_PORT": str(state.mlflow_port),
        **state.server_settings(),
    }
    command = [sys.executable, "-m", "tests.e2e.chain", str(FIRST), str(LAST), str(DAY)]
    environment["PYTHONPATH"] = f"{REPOSITORY / 'include'}{os.pathsep}{REPOSITORY}"
    done = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return state


@pytest.fixture(scope="module")
def lake(shop: State) -> Lake:
    return Lake(str(shop.root / "lake"))


def test_each_day_has_profiles_scores_and_recommendations_of_every_customer(lake: Lake):
    for day in (LAST, DAY):
        sizes = {}
        for name in ("profiles", "scores"):
            rows = lake.read(name)
            sizes[name] = rows.filter(rows.day == day).count().execute()
        assert sizes["profiles"] == sizes["scores"] > 40
        rows = lake.read("recommendations")
        assert rows.filter(rows.day == day).customer_id.nunique().execute() == sizes["scores"]


def test_every_score_is_a_probability_with_its_reasons(lake: Lake):
    found = lake.read("scores").execute()
    assert found.p_return_28.between(0, 1).all()
    assert (found.reasons.str.len() > 0).all()


def test_every_model_is_on_record_for_each_day_and_the_first_is_promoted(lake: Lake):
    encoder, *rows = lake.read("model_log").order_by("day", "model").to_pyarrow().to_pylist()
    assert (encoder["model"], encoder["day"], encoder["verdict"]) == ("encoder", LAST, "promoted")
    assert [(row["model"], row["day"]) for row in rows] == [
        (model, day) for day in (LAST, DAY) for model in ("recommender", "return_model")
    ]
    assert [row["verdict"] for row in rows[:2]] == ["promoted", "promoted"]
    assert all(json.loads(row["figures"]) for row in rows)


def test_each_day_is_watched_for_drift_and_fairness(shop: State, lake: Lake):
    assert lake.days("drift") == {LAST, DAY}
    for day in (LAST, DAY):
        page = (shop.root / "reports" / "models" / f"{day}.html").read_text()
        assert "Fairness: is a score worth the same for every group?" in page


def test_all_that_landed_was_published_or_set_aside_with_reasons(shop: State, lake: Lake):
    quarantine = lake.read("quarantine").to_pyarrow().to_pylist()
    vault = Lake(str(shop.root / "vault"))
    for table in contracts.LANDED_TABLES:
        home = vault if table == "contacts" else lake
        landed = sum(pq.read_metadata(path).num_rows for path in (shop.landing / table).rglob("*.parquet"))
        refused = [row for row in quarantine if row["table"] == table]
        assert landed == home.read(table).count().execute() + len(refused), table
        assert all(row["reasons"] for row in refused)
    assert quarantine, "the slice has lines with quantity 0"


def test_audiences_are_written_and_no_contact_is_drawn_before_the_campaign_begins(lake: Lake):
    assert lake.days("audiences") == {LAST, DAY}
    assert lake.read("arms").count().execute() == 0


def test_closed_campaigns_are_reported_and_called_what_they_are(shop: State):
    pages = sorted((shop.root / "reports" / "campaigns").rglob("*.html"))
    assert pages
    assert all("Not a randomised campaign" in page.read_text() for page in pages)
