import math
from datetime import timedelta
from itertools import pairwise

import ibis
import pyarrow as pa
import pytest

from perennial.profiles import price_curve
from perennial.profiles.settings import PriceResponseSettings
from tests.profiles.tables import MONDAY

CHOSEN = PriceResponseSettings(weeks_compared=13, pieces_counted=12)
ORDERS = 1000


def offers(*rows: tuple) -> ibis.Table:
    """Weeks of items given as item, percent off, season, pieces of the even and of the odd customers."""
    names = ("item", "percent", "season", "even", "odd")
    kinds = [(name, pa.int64()) for name in (*names, "stretch")]
    table = [dict(zip(names, row, strict=True)) | {"stretch": 0} for row in rows]
    return ibis.memtable(pa.Table.from_pylist(table, schema=pa.schema(kinds)))


def rises(*rows: tuple) -> list[float]:
    """How many times as much is bought at each whole percent off."""
    found = price_curve.curve(price_curve.ratios(offers(*rows))).order_by("percent").to_pyarrow().to_pylist()
    assert [row["percent"] for row in found] == list(range(96))
    return [math.exp(row["rise"]) for row in found]


def nearly(times: float) -> object:
    return pytest.approx(times, rel=0.02)


def test_the_rise_is_the_rate_at_a_discount_over_that_without_for_as_many_orders_of_all():
    found = rises((1, 0, ORDERS, 2000, 2000), (1, 10, ORDERS, 3000, 3000), (1, 20, 2 * ORDERS, 8000, 8000))
    assert (found[0], found[10], found[20]) == (1, nearly(1.5), nearly(2))


def test_items_are_compared_with_themselves_only():
    found = rises(
        *[(1, 0, ORDERS, 9000, 9000), (1, 10, ORDERS, 9000, 9000)],
        *[(2, 10, ORDERS, 100, 100), (3, 0, ORDERS, 5000, 5000)],
    )
    assert found[10] == nearly(1)


def test_between_two_discounts_that_were_seen_the_logarithm_rises_evenly_and_stays_after_the_last():
    found = rises((1, 0, ORDERS, 2000, 2000), (1, 40, ORDERS, 32000, 32000))
    assert [found[percent] for percent in (10, 20, 40, 95)] == [nearly(2), nearly(4), nearly(16), nearly(16)]


def test_a_greater_discount_never_sells_less():
    found = rises(
        (1, 0, ORDERS, 1000, 1000), (1, 10, ORDERS, 3000, 3000), (1, 20, ORDERS, 2000, 2000), (1, 30, 1, 0, 0)
    )
    assert found[10] == pytest.approx(found[20]) == nearly(6**0.5)
    assert all(later >= sooner for sooner, later in pairwise(found))
    assert rises((1, 0, ORDERS, 1000, 1000), (1, 10, ORDERS, 500, 500)) == [1] * 96


def test_weeks_seen_by_those_alone_who_bought_in_them_do_not_count():
    found = rises(
        *[(1, 0, ORDERS, 2000, 2000), (1, 10, ORDERS, 3000, 3000)],
        *[(1, 10, ORDERS, 9000, 0), (1, 0, ORDERS, 0, 9000)],
    )
    assert found[10] == nearly(1.5)


def test_a_shop_without_discounts_has_a_flat_curve():
    assert rises((1, 0, ORDERS, 2000, 2000)) == [1] * 96
    assert rises() == [1] * 96


def test_what_was_on_offer_is_seen_from_everybodys_purchases_of_a_week():
    names = ("customer", "item", "days", "quantity", "list_value", "shelf_discount")
    rows = [
        *[(4, 1, 0, 1, 10.0, 1.0), (7, 1, 6, 30, 30.0, 3.5), (4, 1, 7, 1, 10.0, 0.0)],
        *[(5, 2, 0, 1, 0.0, 0.0), (5, 2, 0, 0, 10.0, 0.0), (5, 3, 0, 1, 10.0, 0.0)],
    ]
    table = [dict(zip(names, row, strict=True)) for row in rows]
    lines = ibis.memtable(
        pa.Table.from_pylist([row | {"occurred_on": MONDAY + timedelta(row.pop("days"))} for row in table])
    )
    items = ibis.memtable(pa.table({"item": [1, 2]}))
    found = price_curve.weeks(lines, lines.select("occurred_on"), items, CHOSEN)
    first, second = found.order_by("week").to_pyarrow().to_pylist()
    assert second["week"] == first["week"] + 1
    assert {name: first[name] for name in ("percent", "season", "first", "last", "even", "odd")} == {
        "percent": 11,
        "season": 5,
        "first": 4,
        "last": 7,
        "even": 1,
        "odd": 12,
    }
    assert (second["percent"], second["first"], second["last"], second["even"]) == (0, 4, 4, 1)
