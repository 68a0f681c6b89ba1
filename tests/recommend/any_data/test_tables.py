"""What is read from any table, and which message a wrong table gives."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.recommend.any_data import tables
from perennial.recommend.any_data.column_roles import Role
from perennial.recommend.any_data.columns import Clock
from perennial.recommend.any_data.tables import Purchases, TableError


def read(folder: Path, text: str, **options: object) -> Purchases:
    path = folder / "bought.csv"
    path.write_text(text)
    return tables.purchases(path, **{"named": {}} | options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2024-05-31", datetime(2024, 5, 31, tzinfo=UTC)),
        ("2024-05-31T13:30:00+02:00", datetime(2024, 5, 31, 11, 30, tzinfo=UTC)),
        ("1717155000", datetime(2024, 5, 31, 11, 30, tzinfo=UTC)),
        ("1717155000000", datetime(2024, 5, 31, 11, 30, tzinfo=UTC)),
        ("20240531", datetime(2024, 5, 31, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_every_common_format(tmp_path: Path, written: str, moment: datetime):
    purchases = read(tmp_path, f"user_id;product_id;timestamp\na;b;{written}\n")
    assert purchases.events["occurred_at"].to_pylist() == [moment]
    assert purchases.clock is Clock.TIMES


def test_days_and_orders_may_be_numbers_without_a_date(tmp_path: Path):
    by_day = read(tmp_path, "user,item,day\na,b,3\na,b,10\n")
    by_order = read(tmp_path, "user,item,order_number\na,b,30\na,c,2\nd,b,7\n")
    assert (by_day.clock, by_order.clock) == (Clock.DAYS, Clock.ORDERS)
    days = [
        [time.toordinal() for time in purchases.events["occurred_at"].to_pylist()]
        for purchases in (by_day, by_order)
    ]
    assert days[0][1] - days[0][0] == 7
    assert days[1][0] - days[1][1] == 7
    assert days[1][1] == days[1][2]


def test_columns_are_guessed_named_in_the_notes_and_can_be_chosen(tmp_path: Path):
    text = "Customer ID\tStockCode\tInvoiceDate\tcode\nk1\tx\t01.12.2010 08:26\ty\n"
    purchases = read(tmp_path, text, named={Role.ITEM: "code"}, time_format="%d.%m.%Y %H:%M")
    assert purchases.notes[0] == "customer from Customer ID, item from code, time from InvoiceDate"
    assert purchases.events["item_id"].to_pylist() == ["y"]
    assert purchases.events["occurred_at"].to_pylist() == [datetime(2010, 12, 1, 8, 26, tzinfo=UTC)]


def test_rows_that_are_left_out_are_counted_in_the_notes(tmp_path: Path):
    text = "user,item,rating,day,qty\na,b,5,8,1\n,b,5,8,1\na,c,2,8,1\na,d,4,8,-1\n"
    assert read(tmp_path, text).events["item_id"].to_pylist() == ["b", "c"]
    purchases = read(tmp_path, text, min_rating=4.0)
    assert purchases.events["item_id"].to_pylist() == ["b"]
    assert purchases.notes[1:] == [
        "left out: 1 of 4 rows with no customer",
        "left out: 1 of 4 rows with no rating of 4 or more",
        "left out: 1 of 4 rows with no positive quantity (returns)",
    ]


def test_a_missing_amount_or_price_is_computed_from_the_other(tmp_path: Path):
    events = read(tmp_path, "user,item,day,qty,price,revenue\na,b,1,2,3,\na,b,1,2,,5\na,b,1,,,\n").events
    assert events["revenue"].to_pylist() == [6, 5, None]
    assert events["unit_price"].to_pylist() == [3, 2.5, None]
    assert events["quantity"].to_pylist() == [2, 2, 1]


def test_parquet_columns_of_any_type_are_read(tmp_path: Path):
    times = pa.array(["2024-05-31T11:00"]).cast(pa.timestamp("ns"))
    pq.write_table(pa.table({"user": [7], "item": [8], "time": times, "order": [9]}), tmp_path / "a.parquet")
    row = tables.purchases(tmp_path / "a.parquet", {}).events.to_pylist()[0]
    assert (row["customer_id"], row["item_id"], row["order_id"]) == ("7", "8", "9")
    assert row["occurred_at"] == datetime(2024, 5, 31, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "user,item,ts\na,b,2024-01-01\na,b,soon\n",
            {},
            "row 2, column ts: found 'soon'; allowed are ISO dates",
        ),
        (
            "user,item,ts\na,b,20240101\na,b,20241301\n",
            {},
            "row 2, column ts: found '20241301'; allowed are dates as",
        ),
        ("user,item,order\na,b,A-1\n", {}, "row 1, column order: found 'A-1'; allowed are numbers that grow"),
        (
            "user,item,ts,stars\na,b,1,good\n",
            {"min_rating": 3.0},
            "column stars: found 'good'; allowed are numbers",
        ),
        ("user,item,ts\na,b,1,2\n", {}, "line 2: found 4 values; the header has 3 columns"),
        ("user,what,ts\na,b,1\n", {}, "no column of the item among user, what, ts; name it: ITEM=…"),
        ("user,item\na,b\n", {}, "found neither time nor order among user, item; name one: TIME=…, ORDER=…"),
        ("user,item,ts\na,b,1\n", {"min_rating": 3.0}, "no column of the rating among user, item, ts"),
        (
            "user,item,ts\na,b,1\n",
            {"named": {Role.TIME: "when"}},
            "found no column 'when' (TIME=); allowed are user",
        ),
        ("user,item,ts\n,b,1\n", {}, "no row can be used: left out: 1 of 1 rows with no customer"),
        ("", {}, "found no first line"),
    ],
)
def test_a_wrong_table_is_refused_with_file_place_what_was_found_and_what_is_allowed(
    tmp_path: Path, text: str, options: dict[str, object], message: str
):
    with pytest.raises(TableError) as error:
        read(tmp_path, text, **options)
    assert str(error.value).startswith(str(tmp_path / "bought.csv"))
    assert message in str(error.value)


def test_unreadable_and_absent_files_are_refused(tmp_path: Path):
    (tmp_path / "a.parquet").write_text("no")
    for name, message in {
        "a.parquet": "cannot be read as Parquet",
        "b.csv": "there is no such file",
    }.items():
        with pytest.raises(TableError, match=message):
            tables.purchases(tmp_path / name, {})


def test_a_category_may_be_several_columns_and_the_first_row_of_an_item_counts(tmp_path: Path):
    table = pd.DataFrame(
        {
            "product_id": [1, 1, 2],
            "name": ["Milk", "Milch", None],
            "department": ["food", "x", "wear"],
            "aisle": ["dairy", "x", None],
        }
    )
    table.to_csv(tmp_path / "items.csv", index=False)
    items, notes = tables.items(
        tmp_path / "items.csv", {Role.CATEGORY: "department,aisle", Role.ITEM: "code"}
    )
    assert items.to_pydict() == {
        "item_id": ["1", "2"],
        "title": ["Milk", ""],
        "category": ["food > dairy", "wear"],
        "brand": [None, None],
    }
    assert notes[1] == "left out: 1 rows without an item, or of an item with an earlier row"
