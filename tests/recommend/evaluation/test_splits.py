"""Where the past ends, for all at once or for each customer."""

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


def known(cut: Cutoff) -> set[tuple[str, str, int]]:
    rows = cut.order_lines().to_pylist()
    return {(row["customer_id"], row["item_id"], row["age"]) for row in rows}


def foreseen(cut: Cutoff, length: timedelta | None = None) -> set[tuple[str, str]]:
    found = cut.purchases_after(pa.array(["a", "b", "c", "d"]), length)
    return set(zip(found.customer_ids[found.rows], found.item_ids.to_pylist(), strict=True))


BEGIN = date(2024, 1, 1)
YEAR = [("x", "a", None, on(BEGIN + timedelta(days=day))) for day in range(200)]


def test_a_temporal_cut_knows_what_came_before_and_foresees_what_came_after():
    found = splits.temporal(events(YEAR), windows=2, every_days=28)
    ends = [cut.day - BEGIN for cut in (found.test, *found.past)]
    assert [end.days for end in ends] == [171, 143, 115]
    assert found.test_length.days == 28
    assert sorted(age for _, _, age in known(found.past[0])) == list(range(144))
    assert foreseen(found.test) == {("x", "a")}


def test_the_first_day_may_be_said_and_the_foreseen_time_is_all_that_follows():
    first = BEGIN + timedelta(days=150)
    found = splits.temporal(events(YEAR), windows=2, every_days=14, first=first)
    assert found.test.day == first - timedelta(days=1)
    assert found.test_length.days == 50
    assert found.test.window.days == 28
    assert [(found.test.day - cut.day).days for cut in found.past] == [28, 42]


def test_short_pasts_get_short_windows_and_too_short_ones_are_refused():
    found = splits.temporal(events(YEAR[:20]), windows=2, every_days=28)
    assert (found.test_length.days, found.test.window.days) == (5, 5)
    with pytest.raises(TooShortError, match="at least 3 days before it"):
        splits.temporal(events(YEAR[:20]), windows=2, every_days=28, first=BEGIN + timedelta(days=1))


def test_leave_last_foresees_the_last_order_of_each_customer_by_a_clock_of_their_own():
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
    found = splits.leave_last(events(rows), windows=2)
    assert foreseen(found.test) == {("x", "d"), ("y", "b"), ("y", "c")}
    assert known(found.test) == {("x", "a", 9), ("x", "b", 9), ("x", "c", 6), ("y", "a", 1), ("z", "d", 0)}
    assert foreseen(found.past[0]) == {("x", "c"), ("y", "a")}
    assert known(found.past[0]) == {("x", "a", 2), ("x", "b", 2), ("z", "d", 0)}
    assert foreseen(found.past[1]) == {("x", "a"), ("x", "b")}
    with pytest.raises(TooShortError, match="no customer with two orders"):
        splits.leave_last(events(rows[-1:]), windows=2)


def test_two_orders_of_one_moment_are_two_orders():
    rows: list[Row] = [("x", "a", "1", on(BEGIN)), ("x", "b", "2", on(BEGIN))]
    found = splits.leave_last(events(rows), windows=1)
    assert known(found.test) == {("x", "a", 0)}
    assert foreseen(found.test) == {("x", "b")}
