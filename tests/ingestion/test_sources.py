from datetime import date
from pathlib import Path

import pytest

from perennial.foundation import engine
from perennial.foundation.config import ConfigError, load
from perennial.ingestion import sources
from perennial.ingestion.declarations import Sources, read_sources
from perennial.ingestion.sources import Landing, SourceError
from tests.ingestion.drops import drop, item


def landing(shop: Path, **items: object) -> Landing:
    return Landing(shop / "landing", Sources.model_validate({"tables": {"items": items}}))


def test_files_come_by_day_and_name_and_only_those_of_the_stretch(shop: Path):
    for day, name in (("2024-05-03", "a.csv"), ("2024-05-02", "b.csv"), ("2024-05-02", "a.parquet")):
        drop(shop, "items", [item()], day, name)
    drop(shop, "users", [item()], "2024-05-07")
    files = landing(shop).files("items", date(2024, 5, 2), date(2024, 5, 2))
    assert [file.name for file in files] == ["items/2024-05-02/a.parquet", "items/2024-05-02/b.csv"]
    assert landing(shop).days("items") == {date(2024, 5, 2), date(2024, 5, 3)}
    assert landing(shop).days() == {date(2024, 5, 2), date(2024, 5, 3), date(2024, 5, 7)}


def test_files_that_are_being_written_are_passed_over(shop: Path):
    drop(shop, "items", [item()], name=".rows.parquet.17")
    drop(shop, "items", [item()], name="_rows.csv")
    assert landing(shop).days() == set()


def test_the_day_may_stand_anywhere_in_the_name(shop: Path):
    path = shop / "landing" / "export" / "x-2024-05-02-items.csv"
    path.parent.mkdir()
    path.write_text("item_id\ni1\n")
    assert landing(shop, files="export/*-{day}-{table}.csv").days("items") == {date(2024, 5, 2)}


def test_a_place_that_names_no_day_is_an_error(shop: Path):
    drop(shop, "items", [item()], day="2024-13-45")
    with pytest.raises(SourceError, match=r"items/2024-13-45/rows.parquet: its place names no day"):
        landing(shop).days()


def test_rows_keep_their_place_in_every_format(shop: Path):
    drop(shop, "items", [item("a1"), item("a2")], "2024-05-02", "a.csv")
    drop(shop, "items", [item("b1"), item("b2")], "2024-05-02", "b.parquet")
    drop(shop, "items", [item("c1"), item("c2")], "2024-05-03", "c.csv")
    files = landing(shop).files("items", date(2024, 5, 2), date(2024, 5, 3))
    found = {}
    for part in sources.read(files):
        for row in engine.connect().to_pyarrow(part).to_pylist():
            file, line = sources.place(row["_at"], files)
            assert row["_day"] == file.day
            found[row["item_id"]] = (file.path.name, line)
    assert found == {
        f"{n}{i}": (f"{n}.{end}", i)
        for n, end in zip("abc", ("csv", "parquet", "csv"), strict=True)
        for i in (1, 2)
    }


def test_a_line_break_inside_quotes_is_one_row(shop: Path):
    path = drop(shop, "items", [item()], name="rows.csv")
    path.write_text('item_id,title\ni1,"two\nlines"\ni2,one\n')
    (file,) = landing(shop).files("items", date(2024, 5, 2), date(2024, 5, 2))
    (rows,) = sources.read([file])
    assert engine.connect().to_pyarrow(rows.count()).as_py() == file.count() == 2


def test_files_that_write_a_column_in_two_types_are_read_together(shop: Path):
    drop(shop, "items", [item(price=1.5)], name="a.parquet")
    drop(shop, "items", [item(price="two")], name="b.parquet")
    files = landing(shop).files("items", date(2024, 5, 2), date(2024, 5, 2))
    (rows,) = sources.read(files)
    assert sorted(engine.connect().to_pyarrow(rows)["price"].to_pylist()) == ["1.5", "two"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tables: {orders: {}}", "tables.orders: no such table"),
        ("tables: {items: {columns: {colour: c}}}", r"tables.items.columns: no column \['colour'\]"),
        ("tables: {items: {columns: {known_on: c}}}", r"no column \['known_on'\]"),
        ("tables: {items: {files: 'items/*.csv'}}", "must name the day once"),
        ("tables: {items: {history: {lag_days: 1}}}", "do not say when they happened"),
        ("tables: {events: {history: {lag_days: -1}}}", "tables.events.history.lag_days"),
        ("tables: {events: {format: csv}}", "tables.events.format"),
    ],
)
def test_nonsense_in_sources_yaml_is_named(tmp_path: Path, text: str, said: str):
    (tmp_path / "sources.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load("sources", Sources, tmp_path)


def test_the_shipped_sources_yaml_is_sound():
    assert set(read_sources().tables) == {"events", "users", "campaigns", "assignments"}
