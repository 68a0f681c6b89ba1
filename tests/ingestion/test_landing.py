import bz2
import gzip
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing, as_text, json_lines
from perennial.ingestion.source_settings import Format, Sources
from tests.ingestion.drops import drop, item

DAY = date(2024, 5, 2)


def landing(shop: Path, **source: object) -> Landing:
    declared = {"tables": {"items": {"sources": {"feed": source}}}}
    return Landing(str(shop / "landing"), Sources.model_validate(declared))


def test_files_come_by_day_and_name_and_only_those_of_the_period(shop: Path):
    for day, name in (("2024-05-03", "a.csv"), ("2024-05-02", "b.csv"), ("2024-05-02", "a.parquet")):
        drop(shop, "items", [item()], day, name)
    drop(shop, "users", [item()], "2024-05-07")
    files = landing(shop).files("items", DAY, DAY)
    assert [file.name for file in files] == ["items/2024-05-02/a.parquet", "items/2024-05-02/b.csv"]
    assert [file.day for file in landing(shop).files("items", date.min, date.max)] == [
        DAY,
        DAY,
        date(2024, 5, 3),
    ]
    assert landing(shop).named_days() == {DAY, date(2024, 5, 3), date(2024, 5, 7)}
    assert landing(shop).has_files(date(2024, 5, 7))
    assert not landing(shop).has_files(date(2024, 5, 4))


def test_files_that_are_being_written_are_ignored(shop: Path):
    drop(shop, "items", [item()], name=".rows.parquet.17")
    drop(shop, "items", [item()], name="_rows.csv")
    assert landing(shop).named_days() == set()


def test_the_day_may_be_anywhere_in_a_place(shop: Path):
    path = shop / "landing" / "export" / "deep" / "er" / "x-2024-05-02-items.csv"
    path.parent.mkdir(parents=True)
    path.write_text("item_id\ni1\n")
    (path.parent / "x-2024-05-02-users.csv").write_text("customer_id\nc1\n")
    assert landing(shop, files="export/**/*-{day}-{table}.csv").named_days(["items"]) == {DAY}
    assert landing(shop, files="export/*/*-{day}-{table}.csv").named_days(["items"]) == set()
    odd = shop / "landing" / "a [b] 100% 'c' (d)" / "ü 2024-05-02.csv"
    odd.parent.mkdir()
    odd.write_text("item_id\ni1\n")
    (found,) = landing(shop, files="a [b] 100% 'c' (d)/ü {day}.csv").files("items", DAY, DAY)
    assert (found.name, found.day, found.count()) == ("a [b] 100% 'c' (d)/ü 2024-05-02.csv", DAY, 1)


def test_a_url_is_a_place_like_any_other(shop: Path):
    path = drop(shop, "items", [item()], name="rows.csv")
    url = f"file://{shop}/landing/items"
    (file,) = landing(shop, files=url + "/{day}/*.csv").files("items", DAY, DAY)
    assert (file.name, file.day) == (f"file://{path}", DAY)
    assert landing(shop, files=url + "/{day}/*.csv").places("items", DAY) == [url + "/2024-05-02/*.csv"]
    with pytest.raises(SourceError, match=r"^nowhere://x/\{day\}: cannot be listed: "):
        landing(shop, files="nowhere://x/{day}").files("items", date(2024, 5, 1), DAY)


def test_a_place_that_names_no_day_is_an_error(shop: Path):
    drop(shop, "items", [item()], day="2024-13-45")
    said = r"items/2024-13-45/rows.parquet: found the day '2024-13-45'; allowed is YYYY-MM-DD"
    with pytest.raises(SourceError, match=said):
        landing(shop).named_days()


def test_rows_are_counted_in_every_format_without_the_engine(shop: Path):
    lines = b'item_id,title\r\ni1,"two\nlines"\n\ni2,"a ""b"" c"\n'
    objects = b'{"item_id": "i1"}\n\n{"item_id": "i2"}'
    folder = drop(shop, "items", [item(), item("i2")]).parent
    for name, content in {
        "a.csv": lines,
        "a.csv.gz": gzip.compress(lines),
        "a.csv.bz2": bz2.compress(lines),
        "a.csv.zst": pa.compress(lines, "zstd", asbytes=True),
        "a.jsonl": objects,
        "a.ndjson.gz": gzip.compress(objects),
    }.items():
        (folder / name).write_bytes(content)
    counts = {file.name.split("/")[-1]: file.count() for file in landing(shop).files("items", DAY, DAY)}
    assert counts == dict.fromkeys(counts, 2)
    assert len(counts) == 7


def test_a_files_format_is_declared_or_its_extension(shop: Path):
    path = drop(shop, "items", [item()], name="export.dat")
    (declared,) = landing(shop, format="csv").files("items", DAY, DAY)
    assert declared.format is Format.CSV
    (unknown,) = landing(shop).files("items", DAY, DAY)
    with pytest.raises(SourceError, match=f"items/2024-05-02/{path.name}: found a file of no known type"):
        _ = unknown.format


def test_json_values_keep_the_text_they_have_in_the_line():
    lines = [
        '{"a": 1.10, "b": 12345678901234567890, "c": true, "d": ["x", "y"], '
        '"e": {"f": [1, 2.50, 1e999]}, "g": null}'
    ]
    (found,) = json_lines(lines)
    expected = {"a": "1.10", "b": "12345678901234567890", "c": "true", "d": "x|y", "g": None}
    assert found == expected | {"e": '{"f": [1, 2.5, "1e999"]}'}
    assert list(json_lines(["[1]", '"x"', "{", "", "NaN", "[" * 100_000])) == [None] * 5
    assert as_text(b"x") == "b'x'"
