"""Where the past ends: at one day for all customers, or before the last order of each customer."""

from datetime import UTC, date, datetime, timedelta

import ibis
import pyarrow as pa
import pytest

from perennial.recommend.evaluation import splits
from perennial.recommend.evaluation.splits import Cutoff, TooShortError

Row = tuple[str, str, str | None, datetime]


def events(rows: list[Row]) -> ibis.Table:
    names = ("customer_id", "item_id", "order_id", "occurred_at")
    types = (pa.string(), pa.string(), pa.string(), pa.timestamp("us", "UTC"))
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
    nothing = pa.nulls(len(rows), pa.float64())
    rest = {"quantity": pa.array([1.0] * len(rows)), "revenue": nothing, "unit_price": nothing}
    return ibis.memtable(
        pa.table(dict(zip(names, columns, strict=True)) | rest | {"event_type": ["purchase"] * len(rows)})
    )


def on(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def known(cutoff: Cutoff) -> set[tuple[str, str, int]]:
    rows = cutoff.order_lines().to_pylist()
    return {(row["customer_id"], row["item_id"], row["age"]) for row in rows}


def predicted(cutoff: Cutoff, length: timedelta | None = None) -> set[tuple[str, str]]:
    purchases = cutoff.purchases_after(pa.array(["a", "b", "c", "d"]), length)
    return set(zip(purchases.customer_ids[purchases.rows], purchases.item_ids.to_pylist(), strict=True))


BEGIN = date(2024, 1, 1)
YEAR = [("x", "a", None, on(BEGIN + timedelta(days=day))) for day in range(200)]


def test_a_temporal_split_knows_what_came_before_and_predicts_what_came_after():
    split = splits.temporal(events(YEAR), windows=2, every_days=28)
    ends = [cutoff.day - BEGIN for cutoff in (split.test, *split.past)]
    assert [end.days for end in ends] == [171, 143, 115]
    assert split.test_length.days == 28
    assert sorted(age for _, _, age in known(split.past[0])) == list(range(144))
    assert predicted(split.test) == {("x", "a")}


def test_the_first_day_can_be_given_and_everything_after_it_is_predicted():
    first = BEGIN + timedelta(days=150)
    split = splits.temporal(events(YEAR), windows=2, every_days=14, first=first)
    assert split.test.day == first - timedelta(days=1)
    assert split.test_length.days == 50
    assert split.test.window.days == 28
    assert [(split.test.day - cutoff.day).days for cutoff in split.past] == [28, 42]


def test_a_short_past_gets_short_windows_and_a_too_short_past_is_refused():
    split = splits.temporal(events(YEAR[:20]), windows=2, every_days=28)
    assert (split.test_length.days, split.test.window.days) == (5, 5)
    with pytest.raises(TooShortError, match="at least 3 days before it"):
        splits.temporal(events(YEAR[:20]), windows=2, every_days=28, first=BEGIN + timedelta(days=1))


def test_leave_last_predicts_the_last_order_of_each_customer_by_a_clock_of_their_own():
    late = on(date(2024, 6, 1))
    rows: list[Row] = [
        *(("x", item, "1", on(BEGIN)) for item in "ab"),
        ("x", "c", "2", on(BEGIN + timedelta(days=3))),
        ("x", "d", "3", on(BEGIN + timedelta(days=10))),
        ("y", "a", None, late - timedelta(days=2)),
        ("y", "b", None, late),
        ("y", "c", None, late),
        ("z", "d", "9", late),
    ]
    split = splits.leave_last(events(rows), windows=2)
    assert predicted(split.test) == {("x", "d"), ("y", "b"), ("y", "c")}
    assert known(split.test) == {("x", "a", 9), ("x", "b", 9), ("x", "c", 6), ("y", "a", 1), ("z", "d", 0)}
    assert predicted(split.past[0]) == {("x", "c"), ("y", "a")}
    assert known(split.past[0]) == {("x", "a", 2), ("x", "b", 2), ("z", "d", 0)}
    assert predicted(split.past[1]) == {("x", "a"), ("x", "b")}
    with pytest.raises(TooShortError, match="no customer with two orders"):
        splits.leave_last(events(rows[-1:]), windows=2)


def test_two_orders_at_the_same_time_are_two_orders():
    rows: list[Row] = [("x", "a", "1", on(BEGIN)), ("x", "b", "2", on(BEGIN))]
    split = splits.leave_last(events(rows), windows=1)
    assert known(split.test) == {("x", "a", 0)}
    assert predicted(split.test) == {("x", "b")}
