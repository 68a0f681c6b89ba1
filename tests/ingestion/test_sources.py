import gzip
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from perennial.ingestion import sources
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.source_settings import Sources
from perennial.ingestion.sources import AT, DAY, NO_DATABASES
from tests.ingestion.drops import Row, drop, item

FIRST, LAST = date(2024, 5, 2), date(2024, 5, 3)


def landed(shop: Path, /, databases: Mapping[str, str] = NO_DATABASES, **feeds: Row) -> list[Row]:
    """Every row that landed for items, with `from`: its source's name, day, file and line."""
    declared = {"tables": {"items": {"sources": feeds or {"landing": {}}}}}
    landing = Landing(str(shop / "landing"), Sources.model_validate(declared))
    found = []
    with sources.read(landing, "items", FIRST, LAST, databases) as all_of_it:
        for raw in all_of_it.raw():
            for row in raw.rows.to_pyarrow().to_pylist():
                piece, line = all_of_it.place(row.pop(AT))
                assert (row.pop("_file"), row.pop("_line"), row.pop(DAY)) == (piece.name, line, piece.day)
                found.append(row | {"from": (raw.name, piece.day, piece.name.split("/")[-1], line)})
    return sorted(found, key=lambda row: str(row["from"]))


def values(rows: list[Row], column: str) -> list[Any]:
    return [row[column] for row in rows]


def write(shop: Path, name: str, content: bytes) -> None:
    path = drop(shop, "items", [item()], name=".nothing.csv").parent / name
    path.write_bytes(content)


def test_rows_keep_their_place_in_every_format(shop: Path):
    drop(shop, "items", [item("a1"), item("a2")], "2024-05-02", "a.csv")
    drop(shop, "items", [item("b1"), item("b2")], "2024-05-02", "b.parquet")
    drop(shop, "items", [item("c1"), item("c2")], "2024-05-03", "c.csv")
    write(shop, "d.jsonl", b'{"item_id": "d1"}\n\n{"item_id": "d2", "late": 1}\n')
    places = {row["item_id"]: row["from"][2:] for row in landed(shop)}
    ends = {"a": "csv", "b": "parquet", "c": "csv", "d": "jsonl"}
    assert places == {f"{n}{i}": (f"{n}.{end}", i) for n, end in ends.items() for i in (1, 2)}


def test_text_is_read_in_its_encoding_compressed_or_not(shop: Path):
    text = "item_id;Größe\n1;“groß” – 5 €\n2;'x;y'\n"
    feeds = {"delimiter": ";", "quote": "'", "encoding": "windows-1252"}
    write(shop, "a.csv", text.encode("windows-1252"))
    write(shop, "b.csv.gz", gzip.compress(text.encode("windows-1252")))
    write(shop, "c.txt.zst", pa.compress(text.encode("windows-1252"), "zstd", asbytes=True))
    rows = landed(shop, landing=feeds)
    assert values(rows, "Größe") == ["“groß” – 5 €", "x;y"] * 3
    assert set(values(rows, BROKEN)) == {None}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "shift_jis", "cp037"])
def test_a_declared_encoding_reads_csv_and_json_alike(shop: Path, encoding: str):
    write(shop, "a.csv", "item_id,title\r\ni1,ガ ok\r\n".encode(encoding, errors="replace"))
    write(shop, "b.jsonl", '{"item_id": "i1", "title": "ガ ok"}\n'.encode(encoding, errors="replace"))
    rows = landed(shop, landing={"encoding": encoding})
    wanted = "ガ ok".encode(encoding, errors="replace").decode(encoding)
    assert values(rows, "title") == [wanted, wanted]
    assert values(rows, "item_id") == ["i1", "i1"]


def test_a_line_that_is_no_row_affects_no_other_line(shop: Path):
    lines = [b"item_id,title", b'1,"two\nlines"', b"2", b"", b"3,a,b", b"4,\xff\xfe", b"5,ok", b"6,a,b"]
    write(shop, "a.csv", b"\n".join(lines))
    objects = [b'{"item_id": "1"}', b"[1]", b"", b'{"item_id": "2"', b'{"item_id": "3\xff"}', b"nul"]
    write(shop, "b.jsonl", b"\n".join(objects))
    rows = landed(shop)
    found = {row["from"][2:]: (row["item_id"], (row[BROKEN] or "")[:24]) for row in rows}
    assert found == {
        ("a.csv", 1): ("1", ""),
        ("a.csv", 2): (None, "found 1 values; the head"),
        ("a.csv", 3): (None, "found 3 values; the head"),
        ("a.csv", 4): (None, "title is no UTF-8: inval"),
        ("a.csv", 5): ("5", ""),
        ("a.csv", 6): (None, "found 3 values; the head"),
        ("b.jsonl", 1): ("1", ""),
        ("b.jsonl", 2): (None, "found no JSON object"),
        ("b.jsonl", 3): (None, "found no JSON object"),
        ("b.jsonl", 4): (None, "item_id is no text: foun"),
        ("b.jsonl", 5): (None, "found no JSON object"),
    }


def test_files_that_write_a_column_in_two_types_keep_both(shop: Path):
    drop(shop, "items", [item(price=1.5)], name="a.parquet")
    drop(shop, "items", [item(price="two")], name="b.parquet")
    assert values(landed(shop), "price") == [1.5, "two"]


def test_several_sources_of_one_table_are_read_each_with_its_own_settings(shop: Path):
    write(shop, "shop.csv", b"item_id;title\ni1;Tea\n")
    write(shop, "web.csv", b"item_id|title\ni2|Coffee\n")
    feeds = {
        "shop": {"files": "{table}/{day}/shop*", "delimiter": ";"},
        "web": {"files": f"file://{shop}/landing/items/{{day}}/web*", "delimiter": "|"},
    }
    rows = landed(shop, **feeds)
    assert [(row["from"][0], row["title"]) for row in rows] == [("shop", "Tea"), ("web", "Coffee")]


def test_a_database_is_queried_for_each_day_or_for_all_days_at_once(shop: Path):
    with sqlite3.connect(shop / "warehouse.db") as database:
        database.execute("CREATE TABLE goods (id TEXT, day TEXT, price REAL, picture BLOB)")
        days = [f"2024-05-{n:02}" for n in (1, 2, 2, 3, 4)]
        rows = [(f"i{n}", day, 1.5, b"\x00\xff") for n, day in enumerate(days)]
        database.executemany("INSERT INTO goods VALUES (?, ?, ?, ?)", rows)
    warehouse = {"warehouse": f"sqlite:///{shop}/warehouse.db"}
    asked = {"connection": "warehouse", "query": "SELECT * FROM goods WHERE day = '{day}' ORDER BY id"}
    rows = landed(shop, warehouse, daily={"database": asked})
    assert [(row["id"], row["from"][1:]) for row in rows] == [
        ("i1", (FIRST, "daily", 1)),
        ("i2", (FIRST, "daily", 2)),
        ("i3", (LAST, "daily", 1)),
    ]
    assert values(rows, "price") == ["1.5"] * 3
    whole = {"database": {"connection": "warehouse", "table": "goods"}, "day": "day"}
    assert Counter(values(landed(shop, warehouse, whole=whole), "day")) == Counter(days)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM nowhere WHERE day = {day}", "connection w: cannot be asked: .*no such table"),
        ("SELECT {day}, (", "connection w: cannot be asked: "),
        ("SELECT 1 AS a, 2 AS A, {day}", r"connection w: found the columns \['A', 'a'\] more than once"),
    ],
)
def test_a_database_that_cannot_answer_is_named(shop: Path, query: str, said: str):
    with pytest.raises(SourceError, match=said):
        landed(shop, {"w": "sqlite://"}, feed={"database": {"connection": "w", "query": query}})


def test_a_connection_without_a_url_is_named(shop: Path):
    asked = {"connection": "w", "query": "SELECT {day}"}
    with pytest.raises(SourceError, match=r"sources.feed: found no URL for the Airflow connection 'w'"):
        landed(shop, feed={"database": asked})


BAD = {
    "a.csv": (b"a,A\n1,2\n", r"found the columns \['A', 'a'\] more than once"),
    "a.jsonl": (b'{"_line": 1}\n', r"found columns called \['_line'\]; these names are taken"),
    "b.csv": (b"_At,_day\n1,2\n", r"found columns called \['_at', '_day'\]; these names are taken"),
    "a.parquet": (b"PAR1 no parquet PAR1", "cannot be read: "),
    "b.parquet": (b"", "cannot be read: "),
    "a.csv.gz": (gzip.compress(b"a,b\n" * 9999)[:-20], "cannot be read: "),
    "a.csv.zst": (pa.compress(b"a,b\n" * 99, "zstd", asbytes=True)[:-9], "cannot be read: "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_read_is_named(shop: Path, name: str):
    content, said = BAD[name]
    write(shop, name, content)
    with pytest.raises(SourceError, match=f"^items/2024-05-02/{name}: {said}"):
        landed(shop)


def test_staged_files_are_private_and_removed_afterwards_even_after_a_kill(shop: Path):
    code = (
        "import os, signal; from perennial.ingestion.sources import staging\n"
        "with staging() as folder:\n"
        "    (folder / 'half-read').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": "include"}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((shop / "staging").glob("*/half-read"))) == 1
    with sources.staging() as one, sources.staging() as other:
        assert [path.stat().st_mode & 0o077 for path in (one, other)] == [0, 0]
        assert {path for path in (shop / "staging").iterdir() if path.is_dir()} == {one, other}
    assert list((shop / "staging").iterdir()) == []


def test_a_lock_file_that_is_not_a_runs_own_stays_in_the_staging_folder(shop: Path):
    (shop / "staging" / "poetry").mkdir(parents=True)
    mine = [shop / "staging" / name for name in ("poetry.lock", "poetry/notes.txt")]
    for path in mine:
        path.touch()
    with sources.staging():
        pass
    assert all(path.exists() for path in mine)
