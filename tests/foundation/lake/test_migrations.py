"""A lake that yesterday's code wrote, opened by today's."""

import multiprocessing
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from perennial.foundation.lake import Lake, LakeError, migrations
from perennial.foundation.lake.migrations import Step

MONDAY = date(2017, 12, 4)
TUESDAY = MONDAY + timedelta(days=1)
MONEY = pa.decimal128(14, 4)
# The columns of `items` before it had `listed_on`, as they were then.
YESTERDAY = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("valid_from", pa.date32(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("attributes", pa.string()),
        pa.field("price", MONEY),
        pa.field("unit_cost", MONEY),
        pa.field("available", pa.bool_(), nullable=False),
        pa.field("known_on", pa.date32(), nullable=False),
    ]
)


def item(name: str, day: date = MONDAY, **more: object) -> dict:
    return {
        "item_id": name,
        "valid_from": day,
        "title": name.upper(),
        "available": True,
        "known_on": day,
    } | more


def write_yesterday(lake: Lake, *rows: dict, schema: pa.Schema = YESTERDAY) -> None:
    """What yesterday's code left: a table created with its columns, and a write into it."""
    path = f"{lake.uri}/items"
    DeltaTable.create(path, schema, mode="ignore", partition_by=["valid_from"])
    write_deltalake(path, pa.Table.from_pylist(list(rows), schema), mode="append")


def changed(schema: pa.Schema, name: str, *fields: pa.Field) -> pa.Schema:
    """The schema with these fields in the place of one."""
    return pa.schema([new for old in schema for new in (fields if old.name == name else (old,))])


def today(*rows: dict) -> pa.Table:
    lacking = dict.fromkeys(("category", "brand", "attributes", "price", "unit_cost", "listed_on"))
    return pa.Table.from_pylist([lacking | row for row in rows])


def listed(rows: ir.Table) -> dict[str, date | None]:
    return {row["item_id"]: row["listed_on"] for row in rows.to_pyarrow().to_pylist()}


def columns(lake: Lake) -> list[str]:
    return [field.name for field in DeltaTable(f"{lake.uri}/items").schema().fields]


def test_a_column_that_the_files_lack_reads_as_null(lake: Lake):
    write_yesterday(lake, item("a"), item("b"))
    assert listed(lake.read("items")) == {"a": None, "b": None}
    assert listed(lake.known("items", MONDAY)) == {"a": None, "b": None}
    assert lake.version("items") == 1, "reading writes nothing"


@pytest.mark.parametrize("write", ["replace", "add", "amend", "rewrite"])
def test_the_first_write_of_today_brings_the_column(lake: Lake, write: str):
    write_yesterday(lake, item("a"), item("b"))
    before = lake.pinned("items")
    fresh = today(item("b", listed_on=MONDAY), item("c", listed_on=MONDAY))
    {
        "replace": lambda: lake.replace("items", fresh, MONDAY),
        "add": lambda: lake.add("items", fresh),
        "amend": lambda: lake.amend("items", fresh),
        "rewrite": lambda: lake.table("items").rewrite(MONDAY),
    }[write]()
    expected = {
        "replace": {"b": MONDAY, "c": MONDAY},
        "add": {"a": None, "b": None, "c": MONDAY},
        "amend": {"a": None, "b": MONDAY},
        "rewrite": {"a": None, "b": None},
    }
    assert listed(lake.read("items")) == expected[write]
    assert "listed_on" in columns(lake)
    assert listed(before.read("items")) == {"a": None, "b": None}


def test_files_of_yesterday_and_of_today_are_read_together(lake: Lake):
    write_yesterday(lake, item("a"))
    lake.replace("items", today(item("a", TUESDAY, listed_on=MONDAY)), TUESDAY)
    lake.add("items", today(item("b", listed_on=TUESDAY)))
    held = {
        (row["item_id"], row["valid_from"]): row["listed_on"]
        for row in lake.read("items").to_pyarrow().to_pylist()
    }
    assert held == {("a", MONDAY): None, ("a", TUESDAY): MONDAY, ("b", MONDAY): TUESDAY}
    assert listed(lake.known("items", TUESDAY)) == {"a": MONDAY, "b": TUESDAY}


def test_a_write_that_was_killed_after_the_column_came_leaves_a_table_that_reads(lake: Lake):
    write_yesterday(lake, item("a"))
    table = lake.table("items").open()
    table.alter.add_columns(list(migrations.drift(table.schema(), lake.table("items").contract).gained))
    assert listed(lake.read("items")) == {"a": None}


def _add_item(uri: str, number: int) -> None:
    Lake(uri).add("items", today(item(f"new {number}", listed_on=MONDAY)))


def test_writers_at_the_same_time_bring_the_column_once(lake: Lake):
    write_yesterday(lake, item("a"))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.starmap(_add_item, [(lake.uri, number) for number in range(3)])
    assert listed(lake.read("items")) == {"a": None} | {f"new {number}": MONDAY for number in range(3)}
    assert columns(lake).count("listed_on") == 1


def test_an_unknown_column_is_ignored_by_readers_and_stops_writers(lake: Lake):
    write_yesterday(lake, item("a", colour="red"), schema=YESTERDAY.append(pa.field("colour", pa.string())))
    assert "colour" not in lake.read("items").columns
    assert listed(lake.read("items")) == {"a": None}
    with pytest.raises(LakeError, match="items: colour: found, expected no such column"):
        lake.replace("items", today(item("a")), MONDAY)


def test_a_column_may_become_nullable(lake: Lake):
    write_yesterday(
        lake, item("a", price=1), schema=changed(YESTERDAY, "price", pa.field("price", MONEY, False))
    )
    lake.replace("items", today(item("b", TUESDAY)), TUESDAY)
    assert lake.read("items").price.to_pyarrow().null_count == 1


RENAMED = changed(YESTERDAY, "title", pa.field("name", pa.string(), nullable=False))
RETYPED = changed(YESTERDAY, "available", pa.field("available", pa.string(), nullable=False))
NEWLY_REQUIRED = changed(YESTERDAY, "title", pa.field("title", pa.string()))


@pytest.mark.parametrize(
    ("schema", "row", "sentence"),
    [
        (RENAMED, {"name": "A"}, "items: title: found no such column, expected string"),
        (RETYPED, {"available": "yes"}, "items: available: found string, expected boolean"),
        (NEWLY_REQUIRED, {}, "items: title: found string or null, expected string"),
    ],
)
def test_a_change_that_needs_a_step_and_has_none_is_refused_by_name(
    lake: Lake, schema: pa.Schema, row: dict, sentence: str
):
    old = {name: value for name, value in (item("a") | row).items() if name in schema.names}
    write_yesterday(lake, old, schema=schema)
    for use in (lambda: lake.read("items"), lambda: lake.replace("items", today(item("a")), MONDAY)):
        with pytest.raises(LakeError) as refused:
            use()
        assert str(refused.value).startswith(sentence)


def _name_to_title(rows: ir.Table) -> ir.Table:
    return rows.rename(title="name")


def _stars_off(rows: ir.Table) -> ir.Table:
    return rows.mutate(title=rows.title.replace("*", ""))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make these the steps of `items`."""

    def put(*functions: Callable[[ir.Table], ir.Table]) -> None:
        numbered = tuple(Step("items", number, rows) for number, rows in enumerate(functions, start=1))
        monkeypatch.setattr(migrations, "STEPS", numbered)

    return put


def titles(lake: Lake) -> dict[str, str]:
    return {row["item_id"]: row["title"] for row in lake.read("items").to_pyarrow().to_pylist()}


def renamed(name: str, title: str) -> dict:
    row = item(name) | {"name": title}
    del row["title"]
    return row


def test_steps_are_applied_in_order_by_readers_and_once_by_the_first_writer(lake: Lake, steps: Callable):
    write_yesterday(lake, renamed("a", "*A"), renamed("b", "**B"), schema=RENAMED)
    yesterday = lake.pinned("items")
    steps(_name_to_title, _stars_off)
    assert titles(lake) == {"a": "A", "b": "B"}
    assert lake.version("items") == 1, "reading writes nothing"
    lake.add("items", today(item("c", title="*C")))
    assert titles(lake) == {"a": "A", "b": "B", "c": "*C"}, "today's rows are not migrated again"
    assert migrations.done(lake.table("items").open()) == 2
    assert set(columns(lake)) == set(lake.table("items").contract.schema.names)
    assert titles(yesterday) == {"a": "A", "b": "B"}


def test_a_step_that_came_later_is_applied_alone(lake: Lake, steps: Callable):
    steps(_name_to_title)
    write_yesterday(lake, renamed("a", "*A"), schema=RENAMED)
    lake.add("items", today(item("b", title="B")))
    steps(_name_to_title, _stars_off)
    assert titles(lake) == {"a": "A", "b": "B"}


def test_a_table_created_by_todays_code_has_all_steps_behind_it(lake: Lake, steps: Callable):
    steps(_name_to_title)
    lake.add("items", today(item("a")))
    assert titles(lake) == {"a": "A"}
    assert migrations.done(lake.table("items").open()) == 1


def test_a_table_that_newer_code_wrote_is_refused(lake: Lake, steps: Callable):
    steps(_name_to_title, _stars_off)
    lake.add("items", today(item("a")))
    steps(_name_to_title)
    for use in (lambda: lake.read("items"), lambda: lake.add("items", today(item("b")))):
        with pytest.raises(
            LakeError, match="items: found migration 2, expected at most 1: newer code wrote it"
        ):
            use()


def test_a_migration_that_met_another_writer_is_made_again(lake: Lake, steps: Callable):
    write_yesterday(lake, renamed("a", "A"), schema=RENAMED)
    met: list[str] = []

    def meanwhile_yesterdays_code_writes(rows: ir.Table) -> ir.Table:
        if not met:
            met.append("once")
            write_yesterday(lake, renamed("b", "B"), schema=RENAMED)
        return _name_to_title(rows)

    steps(meanwhile_yesterdays_code_writes)
    lake.add("items", today(item("c")))
    assert titles(lake) == {"a": "A", "b": "B", "c": "C"}


def test_the_steps_of_each_table_are_numbered_from_one():
    for table in {step.table for step in migrations.STEPS}:
        numbers = [step.number for step in migrations.after(table, 0)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_version_that_is_gone_is_an_error_and_not_an_empty_table(lake: Lake, shop: Path):
    write_yesterday(lake, item("a"))
    with pytest.raises(LakeError, match="items: no version 7"):
        Lake(lake.uri, {"items": 7}).read("items")
