import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.foundation.lake import Lake
from perennial.profiles import purchases
from tests.profiles.tables import MONDAY, day, event, landed, lines, noon, orders, parts, rows_of

VERSIONS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
    min_size=1,
    max_size=8,
    unique_by=lambda version: version[:2],
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VERSIONS)
def test_lines_as_of_a_day_are_what_the_lake_knew_on_it(lake: Lake, versions: list[tuple]):
    rows = [
        event(landing, name, occurred_at=noon(occurred), known_on=day(known), revenue=number)
        for number, (name, landing, occurred, known) in enumerate(versions)
    ]
    lake.replace("events", landed("events", *rows), day(0), day(9))
    timeline = lines(*rows)
    for number in (0, 2, 4):
        known = lake.known("events", day(number)).revenue.to_pyarrow().to_pylist()
        found = purchases.as_of(timeline, day(number)).revenue.to_pyarrow().to_pylist()
        assert sorted(found) == sorted(known)


def test_lines_of_one_order_are_one_order_dated_by_its_first_line():
    found = orders(
        event(0, "a", order_id="o1", occurred_at=noon(0, 13), revenue=3, quantity=2),
        event(0, "b", order_id="o1", occurred_at=noon(0, 9), revenue=4),
        event(1, "c", order_id="o2", revenue=5),
        event(1, "r", order_id="o2", event_type="return", revenue=-5),
        event(2, "v", order_id=None, event_type="view"),
    )
    rows = rows_of(found, "order_id")
    assert set(rows) == {"o1", "o2"}
    assert (rows["o1"]["revenue"], rows["o1"]["quantity"]) == (7, 3)
    assert (rows["o1"]["occurred_at"], rows["o1"]["occurred_on"]) == (noon(0, 9), MONDAY)


def test_an_order_whose_lines_come_on_two_days_grows():
    timeline = parts(event(0, "a", order_id="o"), event(1, "b", order_id="o", occurred_at=noon(0)))
    for number, revenue in ((0, 10), (1, 20)):
        known = purchases.orders(purchases.as_of(timeline, day(number)))
        assert rows_of(known, "order_id")["o"]["revenue"] == revenue


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"unit_price": 6, "quantity": 2, "shelf_discount": 2}, 12),
        ({"unit_price": None, "shelf_discount": 2, "coupon_discount": 1}, 13),
        ({"unit_price": 6, "quantity": None, "coupon_discount": 1}, 11),
    ],
)
def test_list_value_is_price_times_pieces_else_what_was_paid_and_taken_off(given: dict, value: int):
    (line,) = lines(event(0, "a", **given)).to_pyarrow().to_pylist()
    assert line["list_value"] == value


def numbers(names: str) -> dict[str, int]:
    named = purchases.numbered(lines(*(event(0, name, item_id=name) for name in names)), "item_id")
    return {name: row["number"] for name, row in rows_of(named, "item_id").items()}


def test_numbers_follow_the_order_of_the_names_and_the_heap_is_that_of_the_name():
    few, many = numbers("xca"), numbers("abcdefghijklmnopqrstuvwxyz")
    assert sorted(few, key=few.get) == ["a", "c", "x"]
    heaps = {name: number % purchases.HEAPS for name, number in many.items()}
    assert {name: number % purchases.HEAPS for name, number in few.items()} == {n: heaps[n] for n in "acx"}
    assert set(heaps.values()) == set(range(purchases.HEAPS))


def test_baskets_hold_purchases_alone_and_keep_their_days():
    timeline = lines(
        event(0, "a", item_id="x", unit_price=8, quantity=2, shelf_discount=4, coupon_discount=2),
        event(0, "b", event_type="return"),
        event(2, "a", item_id="y", occurred_at=noon(0)),
    )
    numbers = [purchases.numbered(timeline, column) for column in ("customer_id", "item_id")]
    found = purchases.baskets(timeline, *numbers).order_by("known_from").to_pyarrow().to_pylist()
    assert [(row["known_from"], row["known_until"]) for row in found] == [(day(0), day(2)), (day(2), None)]
    assert {row["occurred_on"] for row in found} == {MONDAY}
    assert [row["item"] // purchases.HEAPS for row in found] == [1, 2]
    assert [found[0][name] for name in ("quantity", "list_value", "shelf_discount")] == [2, 16, 4]


@pytest.mark.parametrize(("exponent", "weights"), [(0, [1.75, 1]), (0.5, [2.5, 3]), (1, [8.5, 9])])
def test_a_purchase_weighs_half_after_the_half_life_times_its_value_to_a_power(
    exponent: float, weights: list[float]
):
    timeline = lines(
        event(10, "b", revenue=9),
        event(0, "a", revenue=16),
        event(20, "c", revenue=0),
        event(20, "d", item_id="i2", revenue=9),
    )
    numbers = [purchases.numbered(timeline, column) for column in ("customer_id", "item_id")]
    baskets = purchases.baskets(timeline, *numbers)
    found = purchases.item_weights(baskets, day(20), 10, exponent).order_by("item").to_pyarrow().to_pylist()
    assert [row["weight"] for row in found] == [round(weight * purchases.UNIT) for weight in weights]
