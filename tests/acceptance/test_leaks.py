import base64
import bz2
import gzip
import html
import json
import lzma
import os
import sqlite3
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.demo import fictitious_contacts
from perennial.foundation.masking import masked, pseudonym
from tests.acceptance.leaks import Leak, Needles, leaks

EMAIL, PHONE, TOKEN = (fictitious_contacts.contact("2500")[name] for name in ("email", "phone", "push_token"))
CONTACTS = [
    contact
    for household in range(1, 2501)
    for contact in fictitious_contacts.contact(str(household)).values()
    if contact
]
FEW = CONTACTS[-200:]
KEY = b"k" * 32


def parquet(path: Path, text: str) -> None:
    """The text in a plain column, in a list, in a struct in a list, and as a dictionary's value."""
    columns = {
        "plain": ["x", None, text],
        "listed": [[], ["y", text], None],
        "deep": [[{"a": text, "b": 1}], [], None],
        "dictionary": pa.array([text, "z", text]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def database(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute('CREATE TABLE "x com" (id INTEGER, value TEXT, packed BLOB)')
        made.execute('INSERT INTO "x com" VALUES (1, ?, NULL)', (json.dumps({"return_value": [text]}),))


def packed_cell(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE dags (data_compressed BLOB)")
        made.execute("INSERT INTO dags VALUES (?)", (zlib.compress(text.encode()),))


def zipped(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/log.txt.gz", gzip.compress(text.encode()))


def compressed(path: Path, text: str) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(text.encode())


def letters(text: str, form: str) -> str:
    return "".join(form.format(ord(letter)) for letter in text)


HIDDEN: dict[str, Callable[[Path, str], object]] = {
    "plain": lambda path, text: path.write_text(f"Could not convert string '{text}' to INT32"),
    "between letters": lambda path, text: path.write_text(f"17-{text}x"),
    "binary": lambda path, text: path.write_bytes(
        os.urandom(5000) + b" " + text.encode() + b" " + os.urandom(5000)
    ),
    "upper case": lambda path, text: path.write_text(text.upper()),
    "utf-16": lambda path, text: path.write_bytes(text.encode("utf-16")),
    "json, escaped": lambda path, text: path.write_text(f'{{"a": "{letters(text, chr(92) + "u{:04x}")}"}}'),
    "json in json": lambda path, text: path.write_text(
        json.dumps(json.dumps(text.replace("@", "ä")).replace("\\u00e4", "\\u0040"))
    ),
    "address": lambda path, text: path.write_text(f"/?q={quote(text, safe='')}"),
    "address in an address": lambda path, text: path.write_text(quote(quote(text, safe=""), safe="")),
    "html": lambda path, text: path.write_text(f"<td>{letters(text, '&#{};')}</td>"),
    "html, named": lambda path, text: path.write_text(
        html.escape(text).replace("@", "&commat;").replace("+", "&plus;")
    ),
    "html, hexadecimal": lambda path, text: path.write_text(letters(text, "&#x{:X};")),
    "base64": lambda path, text: path.write_bytes(base64.b64encode(b"x: " + text.encode() + b"!")),
    "base64, in an address": lambda path, text: path.write_bytes(
        base64.urlsafe_b64encode(b"\xff" + text.encode())
    ),
    "gzip": lambda path, text: path.write_bytes(gzip.compress(text.encode())),
    "bzip2": lambda path, text: path.write_bytes(bz2.compress(text.encode())),
    "xz": lambda path, text: path.write_bytes(lzma.compress(text.encode())),
    "zstd": compressed,
    "gzip in zip": zipped,
    "parquet": parquet,
    "sqlite": database,
    "packed in sqlite": packed_cell,
    "sqlite in gzip": lambda path, text: (
        database(path, text),
        path.write_bytes(gzip.compress(path.read_bytes())),
    ),
}


@pytest.mark.parametrize("contact", [EMAIL, PHONE, TOKEN], ids=["email", "phone", "token"])
@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
def test_a_leak_is_found_in(tmp_path: Path, hide: Callable[[Path, str], object], contact: str):
    hide(tmp_path / "planted", contact)
    assert contact in {leak.contact for leak in leaks(FEW, {"here": tmp_path})}


@pytest.mark.parametrize(
    "written",
    [
        "12025550118",
        "+1 (202) 555-0118",
        "1-202-555-0118",
        "202.555.0118",
        "(202) 555 0118",
        "2025550118",
        "+1 202\u00a0555\u20110118",
    ],
)
def test_a_number_is_found_however_it_is_written(tmp_path: Path, written: str):
    (tmp_path / "log").write_text(f"call {written}, or write")
    assert leaks(["+12025550118"], {"logs": tmp_path}) == [
        Leak("logs", tmp_path / "log", "plain bytes", "+12025550118")
    ]


def test_a_number_among_whole_numbers_is_found(tmp_path: Path):
    pq.write_table(pa.table({"customer_id": [1, 12025550118]}), tmp_path / "a.parquet")
    (leak,) = leaks(["+12025550118"], {"lake": tmp_path})
    assert leak.where == "column customer_id"


def test_a_file_s_name_is_searched_and_a_leak_says_where_it_is(tmp_path: Path):
    parquet(tmp_path / f"{EMAIL}.parquet", PHONE)
    told = {(leak.where, leak.contact) for leak in leaks(CONTACTS, {"lake": tmp_path})}
    columns = {(f"column {name}", PHONE) for name in ("plain", "listed", "deep", "dictionary")}
    # The statistics in a Parquet footer quote the least and the greatest value.
    assert told - {("plain bytes", PHONE)} == {("its name", EMAIL), *columns}


def test_rows_that_wait_in_a_write_ahead_log_are_found(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "live.db")) as live:
        live.execute("PRAGMA journal_mode = WAL")
        live.execute("CREATE TABLE t (x)")
        live.execute("INSERT INTO t VALUES (?)", (f"to {EMAIL}",))
        live.commit()
        assert {leak.where for leak in leaks([EMAIL], {"airflow": tmp_path / "live.db"})} == {"table t"}


def test_a_clean_tree_has_no_leak(tmp_path: Path):
    noise = np.random.default_rng(0)
    lines = [
        *(masked(contact, KEY) for contact in CONTACTS),
        *(
            f"household.{n}@example.edu 31198459904-{n} 2017-12-01T10:{n % 60:02}:00+00:00"
            for n in range(3000)
        ),
        "household.@example.com 99120255501189 1202555011",
        pseudonym(KEY, EMAIL),
        noise.bytes(2_000_000).hex(),
    ]
    text = "\n".join(lines)
    (tmp_path / "log").write_text(text)
    (tmp_path / "noise").write_bytes(noise.bytes(3_000_000))
    for name, hide in HIDDEN.items():
        hide(tmp_path / name, "nobody")
    assert leaks(CONTACTS, {"state": tmp_path}) == []


def test_what_cannot_be_looked_into_is_no_proof(tmp_path: Path):
    whole = gzip.compress(EMAIL.encode())
    (tmp_path / "log.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RuntimeError, match=r"log\.gz: cannot be searched"):
        leaks(FEW, {"logs": tmp_path})
    with pytest.raises(RuntimeError, match="is not there"):
        leaks(FEW, {"logs": tmp_path / "nowhere"})


def test_a_leak_across_two_pieces_of_a_long_text_is_found():
    wanted = Needles.of(CONTACTS)
    for start in (16 * 1024**2 - 5, 16 * 1024**2):
        text = bytearray(b"x" * (17 * 1024**2))
        text[start : start + len(EMAIL)] = EMAIL.encode()
        assert wanted.within(bytes(text)) == {EMAIL}


def test_thousands_of_contacts_are_looked_for_in_one_pass():
    wanted = Needles.of(CONTACTS)
    text = np.random.default_rng(0).bytes(30_000_000)
    start = time.process_time()
    assert wanted.within(text) == set()
    assert time.process_time() - start < 15
