import shutil
from datetime import date, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pyarrow as pa
import pytest
import yaml

from perennial.foundation import contracts
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import promotion
from perennial.foundation.settings import settings
from perennial.models import drift, monitoring, pipeline
from perennial.models.drift import DriftReport, Level
from perennial.models.heat_map import COLOURS, heat_map
from perennial.models.return_model import NAME
from tests.conftest import forget
from tests.learning import CUSTOMERS, DAY, fill, profiles


@pytest.fixture
def scored(lake: Lake, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The shop with a model promoted on DAY, and that day scored.

    Half of its customers left in the summer it learns from, so that steady is what other shops call shifted.
    The model need not be good, only quick.
    """
    shutil.copytree(settings().config, tmp_path / "config")
    file = tmp_path / "config" / "models.yaml"
    chosen = yaml.safe_load(file.read_text())
    chosen["watch"] |= {"shifting": 2, "shifted": 3}
    chosen["return_model"]["rhythm"] |= {"epochs": 1, "hidden": 4}
    file.write_text(yaml.safe_dump(chosen))
    monkeypatch.setenv("PERENNIAL_CONFIG", str(tmp_path / "config"))
    forget()
    monkeypatch.setattr(promotion, "MODELS", (NAME,))
    fill(lake)
    lake.replace("users", users(), date(2017, 3, 1))
    pipeline.train(DAY, endpoint)
    promotion.promote(DAY, endpoint)
    pipeline.score(DAY, endpoint)
    return lake


def users() -> pa.Table:
    """Most are young, a few are old; nothing else is known of them."""
    rows = [
        {
            "customer_id": f"c{customer:02}",
            "valid_from": date(2017, 3, 1),
            "joined_on": date(2017, 3, 1),
            "consents": [],
            "age": "19-24" if customer < 60 else "65+",
            "known_on": date(2017, 3, 1),
        }
        for customer in range(CUSTOMERS)
    ]
    return pa.Table.from_pylist(rows, contracts.USERS.schema)


def shifted(day: date) -> pa.Table:
    """The profiles of a day on which everybody's orders are three times as large."""
    table = profiles(day)
    position = table.schema.get_field_index("average_order_value")
    larger = pa.array([30.0] * CUSTOMERS + [None]).cast(contracts.MONEY)
    return table.set_column(position, table.field(position), larger)


def arms() -> pa.Table:
    """A campaign of ours takes in everybody, and leaves a quarter alone."""
    rows = [
        {
            "campaign_id": "ours",
            "customer_id": f"c{customer:02}",
            "arm": "treatment" if customer % 4 else "holdout",
            "propensity": 0.75,
            "eligible_since": DAY,
            "day": DAY,
        }
        for customer in range(CUSTOMERS)
    ]
    return pa.Table.from_pylist(rows, contracts.ARMS_TABLE.schema)


def page(day: date) -> str:
    return (settings().reports / f"models/{day}.html").read_text()


def test_a_steady_day_is_measured_and_shown_and_alarms_nobody_however_often(scored: Lake, endpoint: Endpoint):
    assert monitoring.watch(DAY - timedelta(1), endpoint) == {}, "before the first model"
    returned = monitoring.watch(str(DAY), endpoint)
    assert returned.keys() == {"report", "mlflow_run"}
    measured = scored.read("drift").to_pyarrow().to_pylist()
    assert {"score", "recency_days"} <= {row["measure"] for row in measured}
    assert {row["day"] for row in measured} == {DAY}
    assert not [row for row in measured if row["level"] == "shifted" and not row["grows"]]
    text = page(DAY)
    assert "The customers of the day look like those" in text
    assert "19-24" in text
    assert "Left out: 2 groups of fewer than 50 customers, 21 customers in all." in text
    assert "agrees with what was said" in text or "more than chance explains" in text
    assert "<th>Contacted" not in text
    assert returned["report"] == f"models/{DAY}.html"
    assert f'href="{DAY}.html"' in (settings().reports / "models/index.html").read_text()
    assert monitoring.watch(DAY, endpoint) == returned
    assert (page(DAY), scored.read("drift").to_pyarrow().to_pylist()) == (text, measured)
    scored.replace("arms", arms(), DAY)
    monitoring.watch(DAY, endpoint)
    assert "<th>Contacted" in page(DAY)


def test_a_shift_flags_the_retraining_and_raises_the_alert(scored: Lake, endpoint: Endpoint):
    client = mlflow.MlflowClient(endpoint.url, endpoint.url)
    monitoring.watch(DAY, endpoint)
    assert client.get_model_version(NAME, "1").tags["drift"] == "no alarm"
    scored.replace("profiles", shifted(DAY), DAY)
    returned = monitoring.watch(DAY, endpoint)
    assert "average order value" in returned["alert"]
    assert "Shifted: " in page(DAY)
    assert client.get_model_version(NAME, "1").tags["drift"].startswith("shifted: ")
    history = client.get_metric_history(returned["mlflow_run"], "psi/average_order_value")
    assert {one.step for one in history} == {6543}
    before, after = sorted(one.value for one in history)
    assert before < 3 < after
    assert "drift.png" in {one.path for one in client.list_artifacts(returned["mlflow_run"])}


def test_the_contract_allows_just_the_levels():
    assert contracts.DRIFT.allowed("level") == tuple(Level)


def test_the_picture_has_a_row_a_measure_and_a_column_a_day():
    steady = DriftReport("orders_28", 0.01, 0.02, Level.STEADY, grows=False)
    days = {
        date(2017, 11, 30): [steady, DriftReport("tenure_days", 2.9, 0.02, Level.SHIFTED, grows=True)],
        date(2017, 12, 1): [DriftReport(drift.SCORE, 0.2, 0.02, Level.SHIFTING, grows=False), steady],
    }
    (axes,) = heat_map(days).axes
    labels = [one.get_text() for one in axes.get_yticklabels()]
    assert labels == ["score", "orders 28", "tenure days (grows by itself)"]
    assert [one.get_text() for one in axes.get_xticklabels()] == ["30\nNov", "1\nDec"]
    cells = axes.collections[0].get_array()
    assert np.ma.filled(cells.reshape(3, 2), -1).tolist() == [[-1, 1], [0, 0], [2, -1]]
    assert {one.get_text() for one in axes.texts} == {"0.01", "2.90", "0.20"}
    assert set(COLOURS) == set(Level)
