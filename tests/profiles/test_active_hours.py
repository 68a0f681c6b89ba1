from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.profiles.active_hours import hours
from perennial.profiles.settings import ActiveHoursSettings
from tests.acceptance import profiles_best_hour
from tests.profiles.tables import rows_of

MONDAY_MIDNIGHT = datetime(2017, 12, 4, tzinfo=UTC)
CHOSEN = ActiveHoursSettings(hour=1, weekday=5, hour_of_week=2)


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
    with hours(bought, ibis.memtable(pa.table({"customer_id": customers})), CHOSEN) as section:
        return rows_of(section)


def test_each_step_multiplies_by_orders_there_over_orders_expected_there():
    rows = found(["a", "b"], *[("a", 5, 0)] * 6, ("b", 5 + 24, 0), ("b", 5 + 24, 0))
    usual = [10 / 168 / 18] * 168
    usual[5], usual[29] = usual[5] + 6 / 18, usual[29] + 2 / 18
    beside = {0: 1, 1: 0.61, 2: 0.14}

    def near(shares: list[float], clock: int) -> float:
        return sum(
            share * beside.get(min((hour - clock) % 24, (clock - hour) % 24), 0)
            for hour, share in enumerate(shares)
        )

    own = [6.0 * (hour == 5) for hour in range(168)]
    by_hour = [(1 + near(own, clock)) / (1 + 6 * near(usual, clock)) for clock in range(24)]
    days = [(5 + 6 * (day == 0)) / (5 + 6 * sum(usual[24 * day : 24 * day + 24])) for day in range(7)]
    bent = [usual[hour] * by_hour[hour % 24] * days[hour // 24] for hour in range(168)]
    bent = [share / sum(bent) for share in bent]
    last = [share * (2 + own[hour]) / (2 + 6 * share) for hour, share in enumerate(bent)]
    assert rows["a"]["active_hours"] == pytest.approx([share / sum(last) for share in last])


def test_hours_beside_those_of_the_orders_gain_and_so_does_the_same_hour_of_other_days():
    everybody = [("b", hour, 0) for hour in range(168)]
    shares = found(["a", "b"], *everybody, *[("a", 0, 0)] * 8)["a"]["active_hours"]
    assert shares[0] > shares[1] > shares[2] > shares[4]
    assert shares[24] > shares[24 + 1] > shares[24 + 2] > shares[24 + 4]
    assert shares[22] == pytest.approx(shares[2])


def test_an_hour_at_which_nobody_ever_comes_stays_nearly_empty():
    shop = [("b", 24 * day + hour, 0) for day in range(7) for hour in (8, 9, 11) for _ in range(50)]
    shares = found(["a", "b"], *shop, *[("a", 9, 0)] * 8)["a"]["active_hours"]
    assert shares[10] < 0.01 < shares[11]


def test_a_customer_without_orders_has_everybodys_hours_and_little_confidence():
    rows = found(["a", "new"], *[("a", 30, 0)] * 3)
    assert rows["new"]["best_hour"] == 30
    assert rows["new"]["active_hours"][0] == pytest.approx(10 / 168 / 13)
    assert rows["new"]["best_hour_confidence"] < rows["a"]["best_hour_confidence"]


def test_in_a_shop_without_orders_all_hours_are_equal():
    row = found(["a"])["a"]
    assert row["active_hours"] == pytest.approx([1 / 168] * 168)
    assert row["best_hour"] == 0
    assert row["best_hour_confidence"] < 0.02


def test_the_hour_is_that_of_the_customers_clock():
    assert found(["a"], ("a", 0, -5))["a"]["best_hour"] == 163
    assert found(["a"], ("a", 167, 2))["a"]["best_hour"] == 1
    assert found(["a"], ("a", -1, 0))["a"]["best_hour"] == 167


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 500), st.integers(-12, 14)), max_size=20))
def test_the_shares_are_a_distribution_and_the_best_hour_is_its_first_peak(orders: list[tuple]):
    for row in found(["a", "b", "c"], *orders).values():
        shares = [round(share, 12) for share in row["active_hours"]]
        assert len(shares) == 168
        assert sum(shares) == pytest.approx(1)
        assert min(shares) > 0
        assert row["best_hour"] == shares.index(max(shares))
        assert 0 <= row["best_hour_confidence"] <= 1


def test_the_proof_against_the_oracle_holds_in_a_few_shops(monkeypatch: pytest.MonkeyPatch):
    small = {"DRAWS": 4, "_TOGETHER": 4, "STEPS": 60, "BURN_IN": 20}
    for name, value in small.items():
        monkeypatch.setattr(profiles_best_hour, name, value)
    lines = {line.name: line for line in profiles_best_hour.best_hours()}
    assert lines["profiles.best_hour_below_oracle"].ok
    assert lines["profiles.active_hours_way_to_oracle"].ok
