import math
from decimal import Decimal

import pytest

from perennial.profiles import orders as section
from tests.profiles.tables import day, event, noon, orders, parts, rows_of


def test_recency_frequency_and_gaps_of_known_orders():
    bought = orders(
        *(event(number, f"o{number}", quantity=number + 1) for number in (0, 2, 10, 40)),
        event(40, "another line", order_id="o40", item_id="i2", quantity=0),
        event(5, "once", customer_id="c2"),
    )
    rows = rows_of(section.rhythm(bought, day(45)))
    assert rows["c1"] == {
        "first_order_on": day(0),
        "last_order_on": day(40),
        "orders": 4,
        "orders_28": 1,
        "orders_91": 4,
        "recency_days": 5,
        "average_order_quantity": (1 + 3 + 11 + 41) / 4,
        "average_order_lines": 5 / 4,
        "gap_mean_days": pytest.approx(40 / 3),
        "gap_deviation_days": pytest.approx(
            math.sqrt(((2 - 40 / 3) ** 2 + (8 - 40 / 3) ** 2 + (30 - 40 / 3) ** 2) / 2)
        ),
    }
    assert rows["c2"]["orders"] == 1
    assert rows["c2"]["gap_mean_days"] is None
    assert rows["c2"]["gap_deviation_days"] is None


def test_one_gap_has_a_mean_but_no_deviation():
    (row,) = rows_of(section.rhythm(orders(event(0, "a"), event(7, "b")), day(7))).values()
    assert (row["gap_mean_days"], row["gap_deviation_days"]) == (7, None)


def test_the_last_28_days_end_with_the_day():
    bought = orders(event(0, "a"), event(1, "b"), event(28, "c"))
    assert rows_of(section.rhythm(bought, day(28)))["c1"]["orders_28"] == 2


def test_returns_are_taken_off_what_was_spent():
    spent = parts(
        event(0, "a", revenue=100),
        event(70, "b", revenue=30),
        event(95, "c", revenue="12.5"),
        event(96, "r", event_type="return", order_id="b", revenue=-30),
        event(96, "x", event_type="redeem", revenue=None),
    )
    rows = rows_of(section.money(spent, day(100)))
    assert rows["c1"] == {
        "spend": Decimal("112.5"),
        "spend_28": Decimal("-17.5"),
        "spend_91": Decimal("12.5"),
    }


def test_the_last_64_orders_are_listed_oldest_first_with_the_gap_before_each():
    bought = orders(*(event(number, f"o{number}", revenue=number, quantity=2) for number in range(0, 140, 2)))
    recent = rows_of(section.recent(bought))["c1"]["recent_orders"]
    assert len(recent) == 64
    assert recent[0] == {"gap_days": 2, "value": 12.0, "quantity": 2}
    assert [order["value"] for order in recent] == [float(number) for number in range(12, 140, 2)]


def test_the_first_order_has_no_gap_and_two_on_one_day_have_a_gap_of_0():
    bought = orders(event(0, "b", occurred_at=noon(0, 9)), event(0, "a", occurred_at=noon(0, 15)))
    recent = rows_of(section.recent(bought))["c1"]["recent_orders"]
    assert [order["gap_days"] for order in recent] == [None, 0]
