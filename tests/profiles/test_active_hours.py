from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.profiles.active_hours import hours
from perennial.profiles.drawing import ActiveHours
from tests.profiles.tables import rows_of

MONDAY_MIDNIGHT = datetime(2017, 12, 4, tzinfo=UTC)
CHOSEN = ActiveHours(orders_of_population=10)


def found(customers: list[str], *orders: tuple[str, int, int]) -> dict:
    """The section for orders given as customer, UTC hours since Monday 00:00, offset in hours."""
    rows = [
        {
            "customer_id": who,
            "occurred_at": MONDAY_MIDNIGHT + timedelta(hours=hour, minutes=59),
            "offset_seconds": 3600 * offset,
        }
        for who, hour, offset in orders
    ]
    kinds = [
        ("customer_id", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("offset_seconds", pa.int64()),
    ]
    bought = ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema(kinds)))
    return rows_of(hours(bought, ibis.memtable(pa.table({"customer_id": customers})), CHOSEN))


def test_shares_lean_on_everybodys_hours():
    rows = found(["a", "b"], *[("a", 5, 0)] * 20, *[("b", 7, 0)] * 10)
    everybody = (20 + 10 / 168) / (30 + 10)
    assert rows["a"]["active_hours"][5] == pytest.approx((20 + 10 * everybody) / (20 + 10))
    assert rows["a"]["best_hour"] == 5
    assert rows["b"]["active_hours"][5] == pytest.approx(10 * everybody / 20)
    assert rows["b"]["best_hour"] == 7


def test_a_customer_without_orders_has_everybodys_hours():
    rows = found(["a", "new"], *[("a", 30, 0)] * 3)
    assert rows["new"]["best_hour"] == 30
    assert rows["new"]["active_hours"][0] == pytest.approx(10 / 168 / 13)


def test_in_a_shop_without_orders_all_hours_are_equal():
    rows = found(["a"])
    assert rows["a"] == {"active_hours": pytest.approx([1 / 168] * 168), "best_hour": 0}


def test_the_hour_is_that_of_the_customers_clock():
    assert found(["a"], ("a", 0, -5))["a"]["best_hour"] == 163
    assert found(["a"], ("a", 167, 2))["a"]["best_hour"] == 1
    assert found(["a"], ("a", -1, 0))["a"]["best_hour"] == 167


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 500), st.integers(-12, 14)), max_size=20))
def test_the_shares_are_a_distribution_and_the_best_hour_is_its_first_peak(orders: list[tuple]):
    for row in found(["a", "b", "c"], *orders).values():
        assert len(row["active_hours"]) == 168
        assert sum(row["active_hours"]) == pytest.approx(1)
        assert min(row["active_hours"]) > 0
        assert row["best_hour"] == row["active_hours"].index(max(row["active_hours"]))
