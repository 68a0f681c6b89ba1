"""Each measure held against figures that were reckoned by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest

from perennial.foundation import activity, contracts
from perennial.foundation.activity import Unit
from perennial.foundation.measures import DEFINITIONS, RATIOS, Measure, reach, retention, totals
from perennial.foundation.time_zones import local_date

START, END = date(2017, 3, 6), date(2017, 3, 26)
BERLIN = ZoneInfo("Europe/Berlin")


def event(number: int, customer: str, kind: str, at: datetime, **more: object) -> dict:
    row = dict.fromkeys(contracts.EVENTS.schema.names)
    row |= {"event_id": f"e{number}", "landed_on": at.date(), "known_on": at.date(), "customer_id": customer}
    return row | {"event_type": kind, "occurred_at": at} | more


def at(day: int, hour: int = 12, month: int = 3) -> datetime:
    return datetime(2017, month, day, hour, tzinfo=UTC)


def table(rows: list[dict]) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pylist(rows, contracts.EVENTS.schema))


def members(*people: tuple[str, str], since: date = START, until: date = END) -> ibis.Table:
    rows = [
        {"campaign_id": "c", "customer_id": who, "segment": group, "since": since, "until": until}
        for who, group in people
    ]
    return ibis.memtable(pa.Table.from_pylist(rows))


PEOPLE = (("ann", "in"), ("bob", "in"), ("cas", "in"), ("dan", "out"))
EVENTS = [
    # ann: told on the 7th, clicks, orders twice after it (30.00 and 10.00), redeems
    event(1, "ann", "delivered", at(7), campaign_id="c"),
    event(2, "ann", "click", at(7, 13), campaign_id="c"),
    event(3, "ann", "purchase", at(7, 14), order_id="o1", revenue="20.00"),
    event(4, "ann", "purchase", at(7, 14), order_id="o1", revenue="10.00"),
    event(5, "ann", "purchase", at(20), order_id="o2", revenue="10.00"),
    event(6, "ann", "redeem", at(20), campaign_id="c"),
    event(7, "ann", "redeem", at(20), campaign_id="another"),
    # bob: told, clicks after his only order; the order before the window does not count
    event(8, "bob", "purchase", at(1), order_id="o3", revenue="99.00"),
    event(9, "bob", "purchase", at(8), order_id="o4", revenue="50.00"),
    event(10, "bob", "return", at(9), order_id="o4", revenue="-5.00"),
    event(11, "bob", "delivered", at(7), campaign_id="c"),
    event(12, "bob", "click", at(9), campaign_id="c"),
    # cas: told, nothing else. dan: not told, orders once on the last day
    event(13, "cas", "delivered", at(7), campaign_id="c"),
    event(14, "dan", "purchase", at(26, 22), order_id="o5", revenue="7.00"),
]


def decimals(rows: list[dict]) -> list[dict]:
    return [row | {"revenue": Decimal(row["revenue"]) if row["revenue"] else None} for row in rows]


@pytest.fixture(scope="module")
def counted() -> ibis.Table:
    events = table(decimals(EVENTS))
    zone = ZoneInfo("UTC")
    orders = activity.orders(events, zone, START, END)
    return activity.counts(members(*PEOPLE), orders, activity.contacts(events, zone, START, END))


@pytest.mark.parametrize(
    ("measure", "of", "by"),
    [
        (Measure.CTR, 2, 3),  # ann and bob clicked, three were told
        (Measure.CVR, 1, 2),  # of the two who clicked, ann ordered afterwards
        (Measure.CVR_DELIVERED, 2, 3),  # ann and bob ordered after the delivery
        (Measure.REDEMPTION_RATE, 1, 3),
        (Measure.ORDER_RATE, 2, 3),
        (Measure.ORDERS_PER_CUSTOMER, 3, 3),
        (Measure.REVENUE_PER_CUSTOMER, 85, 3),  # 30 + 10 + (50 − 5)
        (Measure.AOV, 85, 3),
        (Measure.REPURCHASE_RATE, 1, 2),  # ann has a further order, bob has not
    ],
)
def test_a_measure_is_what_its_definition_says(counted: ibis.Table, measure: Measure, of: float, by: float):
    found = totals(counted, ["segment"], [measure]).execute().set_index("segment").loc["in"]
    assert (found["of"], found["by"]) == (of, by)


def test_every_measure_has_a_definition_to_quote():
    assert set(DEFINITIONS) == set(Measure)
    assert set(RATIOS) <= set(Measure)
    assert all("÷" in definition.formula for definition in DEFINITIONS.values())


def test_sums_carry_weights_and_squares():
    rows = [
        {"customer_id": "a", "orders": 2, "revenue": 8.0, "weight": 2.0, "who": "all"},
        {"customer_id": "b", "orders": 1, "revenue": 3.0, "weight": 4.0, "who": "all"},
    ]
    found = totals(ibis.memtable(pa.Table.from_pylist(rows)), ["who"], [Measure.AOV]).execute().iloc[0]
    assert (found.n, found.of, found["by"], found.w_of, found.w_by) == (2, 11, 3, 28, 8)
    assert (found.ww_of_of, found.ww_of_by, found.ww_by_by) == (4 * 64 + 16 * 9, 4 * 16 + 16 * 3, 4 * 4 + 16)


def test_reach_is_a_share_of_the_shop():
    found = reach(members(*PEOPLE), 8, ["segment"]).execute().set_index("segment")
    assert found.loc["in", "reach"] == 3 / 8


def shares(unit: Unit, days: list[tuple[str, int]], until: date = END) -> dict[int, tuple[int, int, int]]:
    """size, active and active later by unit, for ann and bob who order on these days of March."""
    rows = [event(n, who, "purchase", at(day), order_id=f"o{n}") for n, (who, day) in enumerate(days)]
    orders = activity.orders(table(rows), ZoneInfo("UTC"), START, END)
    found = retention(members(("ann", "in"), ("bob", "in"), until=until), orders, unit, ["segment"]).execute()
    return {row.n: (row["size"], row.active, row.active_later) for _, row in found.iterrows()}


def test_weekly_retention_exact_and_unbounded():
    # weeks of 6, 13 and 20 March; ann orders in the first and (twice) in the third, bob in the first
    found = shares(Unit.WEEK, [("ann", 6), ("ann", 20), ("ann", 26), ("bob", 12)])
    assert found == {0: (2, 2, 2), 1: (2, 0, 1), 2: (2, 1, 1)}


def test_daily_retention_exact_and_unbounded():
    found = shares(Unit.DAY, [("ann", 6), ("bob", 7)], until=date(2017, 3, 8))
    assert found == {0: (2, 1, 2), 1: (2, 1, 1), 2: (2, 0, 0)}


def test_a_week_that_has_not_ended_is_not_counted():
    found = shares(Unit.WEEK, [("ann", 6), ("ann", 14)], until=date(2017, 3, 14))
    assert found == {0: (2, 1, 1)}


def test_units_before_the_beginning_are_numbered_below_zero():
    orders = activity.orders(
        table([event(1, "ann", "purchase", at(5), order_id="o")]), ZoneInfo("UTC"), START, END
    )
    found = activity.per_unit(members(("ann", "in")), orders, Unit.WEEK, ["segment"], -2).execute()
    assert dict(zip(found.n, found.orders, strict=True)) == {-2: 0, -1: 1, 0: 0, 1: 0, 2: 0}


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (at(1, 22, month=1), date(2017, 1, 1)),
        (at(1, 23, month=1), date(2017, 1, 2)),  # winter: one hour ahead
        (at(1, 21, month=7), date(2017, 7, 1)),
        (at(1, 22, month=7), date(2017, 7, 2)),  # summer: two
    ],
)
def test_a_day_is_a_day_of_the_shop(instant: datetime, day: date):
    rows = ibis.memtable(pa.table({"at": pa.array([instant], contracts.INSTANT)}))
    found = rows.select(on=local_date(rows["at"], BERLIN, date(2017, 1, 1), date(2017, 12, 31)))
    assert found.to_pyarrow()["on"].to_pylist() == [day]


def test_all_of_it_compiles_for_spark(monkeypatch: pytest.MonkeyPatch):
    # Ibis registers this option with its PySpark backend, which is not installed here.
    options = SimpleNamespace(pyspark=SimpleNamespace(treat_nan_as_null=False))
    monkeypatch.setattr("ibis.backends.sql.compilers.pyspark.options", options)
    events = ibis.table(ibis.Schema.from_pyarrow(contracts.EVENTS.schema), name="events")
    orders = activity.orders(events, BERLIN, START, END)
    texts = dict.fromkeys(("campaign_id", "customer_id", "segment"), "string")
    people = ibis.table({**texts, "since": "date", "until": "date"}, name="people")
    counted = activity.counts(people, orders, activity.contacts(events, BERLIN, START, END))
    for expression in (totals(counted, ["segment"]), retention(people, orders, Unit.WEEK, ["segment"])):
        assert "SELECT" in ibis.to_sql(expression, dialect="pyspark")
