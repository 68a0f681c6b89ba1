from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from perennial.models import features, order_hazard_network
from perennial.models.order_hazard_network import OrderHazardNetwork
from perennial.models.settings import OrderHazardSettings
from tests.learning import profile, stranger

DAY = date(2017, 11, 30)
CHOSEN = OrderHazardSettings(epochs=30, batch=512)


def customers(every: dict[str, tuple[int, int]]) -> pa.Table:
    """Customers with forty orders, as many days apart as said, and silent for as many days as said."""
    rows = []
    for name, (gap, silence) in every.items():
        orders = [{"gap_days": number and gap, "value": 10.0, "quantity": 2} for number in range(40)]
        orders[0]["gap_days"] = None
        about = {"customer_id": name, "recent_orders": orders, "recency_days": silence, "orders": 40}
        rows.append(stranger(DAY) | profile(0, DAY) | about)
    table = pa.Table.from_pylist(rows)
    columns = [table[name].cast(features.schema().field(name).type) for name in features.COLUMNS]
    return pa.table(columns, schema=features.schema())


@pytest.fixture(scope="module")
def learnt() -> OrderHazardNetwork:
    gaps = np.random.default_rng(0).integers(2, 25, 150)
    return order_hazard_network.fit(
        customers({f"c{i:03}": (int(gap), 1) for i, gap in enumerate(gaps)}), CHOSEN
    )


def said(learnt: OrderHazardNetwork, rows: pa.Table, *windows: int) -> np.ndarray:
    recency = rows["recency_days"].to_numpy().astype(float)
    return learnt.probabilities(learnt.inputs(rows), recency, windows)


def test_who_orders_often_is_expected_sooner(learnt: OrderHazardNetwork):
    found = said(learnt, customers({"weekly": (7, 1), "monthly": (24, 1)}), 7, 14, 28)
    assert found[0, 0] > found[1, 0] + 0.3
    assert (np.diff(found, axis=1) >= 0).all()
    assert found[1, 2] > 0.8


def test_the_order_is_expected_when_the_rhythm_says(learnt: OrderHazardNetwork):
    early, late = said(learnt, customers({"early": (20, 1), "late": (20, 17)}), 7)[:, 0]
    assert late > early + 0.3


def test_a_saved_network_says_the_same(learnt: OrderHazardNetwork, tmp_path: Path):
    rows = customers({"one": (9, 3), "other": (21, 40)})
    learnt.save(tmp_path / "rhythm.safetensors")
    again = OrderHazardNetwork.load(tmp_path / "rhythm.safetensors")
    np.testing.assert_array_equal(said(again, rows, 7, 28), said(learnt, rows, 7, 28))


def test_the_last_order_is_followed_by_silence(learnt: OrderHazardNetwork):
    found = order_hazard_network.examples(customers({"one": (9, 30)}), learnt.centre)
    assert found.inputs.shape == (40, len(order_hazard_network.NAMES))
    assert found.days.tolist() == [9] * 39 + [30]
    assert found.followed.tolist() == [True] * 39 + [False]
