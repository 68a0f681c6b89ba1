"""Bad landings, made by a seed: what shops' systems, people and broken disks put where a file is expected."""

import bz2
import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from perennial.foundation import contracts
from tests.ingestion import drops
from tests.ingestion.drops import Row

DAY = "2024-05-03"
SEED = 20240503
Place = Callable[[Path], object]


@dataclass(frozen=True)
class Bad:
    """One landing: files by their path below the landing folder, what no file is, and sources.yaml."""

    name: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    place: Place | None = None
    sources: str | None = None

    def drop(self, landing: Path) -> None:
        """Put it into the landing folder."""
        for name, content in self.files.items():
            path = landing / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if self.place is not None:
            self.place(landing)


def inputs(seed: int = SEED) -> list[Bad]:
    """All of them, in an order of no meaning; the same for the same seed."""
    rng = random.Random(seed)
    found = [*_texts(rng), *_compressed(rng), *_objects(rng), *_parquet(rng), *_places(), *_declared()]
    rng.shuffle(found)
    return found


def rows(table: str, count: int = 3) -> list[Row]:
    """Good rows of a table that refer to what the good day before them knew."""
    makers: dict[str, Callable[[int], Row]] = {
        "items": lambda n: drops.item(f"n{n}"),
        "promotions": lambda n: drops.promotion(store_id=f"s{n}"),
        "users": lambda n: drops.user(f"n{n}"),
        "contacts": lambda n: drops.contact() if n == 0 else drops.contact(f"c{n}"),
        "campaigns": lambda n: drops.campaign(f"n{n}"),
        "assignments": lambda n: drops.assignment() if n == 0 else drops.assignment(customer_id=f"c{n}"),
        "events": lambda n: drops.purchase(f"n{n}"),
    }
    return [makers[table](n) for n in range(count)]


Cells = list[list[str]]


def cells(table: str) -> Cells:
    """The good rows as a text file has them, the header first."""
    found = rows(table)
    header = list(found[0])
    return [header, *([_text(row[name]) for name in header] for row in found)]


def _text(value: Any) -> str:
    return "|".join(value) if isinstance(value, list) else str(value)


def written(lines: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\n") -> str:
    """The cells as CSV."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(lines)
    return out.getvalue()


def _with(lines: Cells, column: int, value: str, row: int = 2) -> Cells:
    return [
        [value if (r, c) == (row, column) else cell for c, cell in enumerate(line)]
        for r, line in enumerate(lines)
    ]


ODD = {
    "formula": "=cmd|' /C calc'!A0",
    "formula with @": '@SUM(1+1)*cmd|"/C calc"!A0',
    "zero width": "i\u200b1\ufeff",
    "right to left": "\u202eevil\u202c 😀👩‍👩‍👧",
    "a path": "../../../../etc/passwd",
    "a url": "s3://bucket/../key?x=%00",
    "sql": "'; DROP TABLE items; --",
    "a template": "{{ 7*7 }}${jndi:ldap://x}",
    "an address": "Call anna.schmidt@example.com or +49 30 1234567",
    "300 letters": "x" * 300,
    "nan": "NaN",
    "inf": "-Infinity",
    "a huge number": "9" * 400,
    "a huge exponent": "1e999999999",
    "negative zero": "-0.00000",
    "too precise": "0.12345678901234567890123456789",
    "hexadecimal": "0x7fffffffffffffff",
    "year 0": "0000-00-00 00:00:00",
    "year 9999": "9999-12-31T23:59:59.999999Z",
    "year 10000": "10000-01-01",
    "before christ": "0044-03-15 (BC)",
    "leap second": "2016-12-31T23:59:60Z",
    "a clock that was not shown": "2024-03-31T02:30:00",
    "an offset of a week": "2024-05-03T00:00:00+168:00",
    "excel's day": "45415.75",
    "a word for nothing": "NULL",
    "quotes": '"""',
    "line breaks": "a\r\nb\rc\n\nd",
    "half a character": "\x00\x1a\x7f\x85\u2028",
}


def _texts(rng: random.Random) -> Iterator[Bad]:
    """CSV: each form of damage on a few tables, all forms on every table."""
    for table in contracts.LANDED_TABLES:
        for name, value in rng.sample(sorted(ODD.items()), 5):
            lines = cells(table)
            column = rng.randrange(len(lines[0]))
            content = written(_with(lines, column, value)).encode("utf-8", "surrogatepass")
            yield _file(f"{name} in {lines[0][column]}", table, "rows.csv", content)
        damaged = list(_damaged(cells(table), rng))
        for name, content in rng.sample(damaged, 8):
            yield _file(name, table, "rows.csv", content)
    for name, content in _damaged(cells("events"), rng):
        yield _file(name, "events", "rows.csv", content)


def _damaged(lines: Cells, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    header, *body = lines
    good = written(lines)
    width = len(header)
    yield "an empty file", b""
    yield "a header alone", written([header]).encode()
    yield "a header without an end", written([header]).rstrip().encode()
    yield "blank lines alone", b"\n\r\n  \n\n"
    yield "one byte", b"\xff"
    yield "commas alone", b",,,\n,,,\n"
    yield "quotes alone", b'""\n""\n'
    yield "blank lines between", good.replace("\n", "\n\n \n").encode()
    yield "columns swapped", written([rng.sample(header, width), *body]).encode()
    yield "types all wrong", written([header, *(rng.sample(row, width) for row in body)]).encode()
    yield "a header twice", written([[*header, header[0]], *([*row, "x"] for row in body)]).encode()
    yield (
        "a header in two cases",
        written([[*header, header[0].upper()], *([*row, ""] for row in body)]).encode(),
    )
    yield "the header again within", (good + good).encode()
    yield "no header", written(body).encode()
    yield "lines before the header", ("Export of 3 May\n\n" + good).encode()
    yield "a line of totals", (good + "Total: 3 rows\n").encode()
    yield "null bytes within", good.replace("1", "\x001\x00").encode()
    yield "null bytes at the end", good.encode() + b"\x00" * 5000
    yield "an unclosed quote", (good + '"' + ",".join(body[0])).encode()
    yield "an unclosed quote early", good.replace("\n", '\n"', 1).encode()
    yield "an unclosed quote in the header", ('"' + good).encode()
    yield "quotes in unquoted fields", good.replace("1", '1"1').encode()
    yield (
        "text behind a closing quote",
        written([header, *body]).replace(body[0][0], f'"{body[0][0]}"x', 1).encode(),
    )
    yield "backslashes before quotes", good.replace("1", '"\\"1"').encode()
    yield "semicolons", written(lines, ";").encode()
    yield "tabs", written(lines, "\t").encode()
    yield "a mark at the start", b"\xef\xbb\xbf" + good.encode()
    yield "two marks at the start", b"\xef\xbb\xbf" * 2 + good.encode()
    yield "utf-16", good.encode("utf-16")
    yield "utf-16 without a mark", good.encode("utf-16-le")
    yield "utf-32", good.encode("utf-32")
    yield "latin-1 in one line", good.encode() + written([["ü" * 5] * width]).encode("latin-1")
    yield "half a character at the end", good.encode().rstrip() + b"\xe2\x82"
    yield "a latin-1 header", written([["Größe", *header[1:]], *body]).encode("latin-1")
    yield "windows line ends", written(lines, end="\r\n").encode()
    yield "old line ends", written(lines, end="\r").encode()
    yield "all line ends", (good + written(body, end="\r\n") + written(body, end="\r")).encode()
    yield (
        "ragged lines",
        "\n".join(",".join(row[: n % width + 1]) for n, row in enumerate([header, *body] * 4)).encode(),
    )
    yield "longer lines", (written([header]) + written([[*row, "a", "b"] for row in body])).encode()
    yield "a comma behind each line", good.replace("\n", ",\n").encode()
    yield "ten megabytes in a field", written(_with(lines, 1, "x" * 10_000_000)).encode()
    yield "ten megabytes of digits", written(_with(lines, width - 1, "7" * 10_000_000)).encode()
    yield (
        "a megabyte in a name",
        written([[*header, "n" * 1_000_000], *([*row, "x"] for row in body)]).encode(),
    )
    yield (
        "two thousand columns",
        written(
            [[*header, *(f"c{n}" for n in range(2000))], *([*row, *["x"] * 2000] for row in body)]
        ).encode(),
    )
    yield (
        "names without letters",
        written([["", " ", "\t", *header], *(["a", "b", "c", *row] for row in body)]).encode(),
    )
    for taken in ("_at", "_day", "_line", "_file", "_broken", "_number", "_file_index", "_File_Row"):
        yield f"a column called {taken}", written([[taken, *header], *(["1", *row] for row in body)]).encode()
    ours = [
        "pattern",
        "unique",
        "known_on",
        "landed_on",
        f"{header[0]}_given",
        f"{header[0]}_readable",
        "_rank",
        "in_time",
    ]
    yield (
        "columns called like ours",
        written([[*ours, *header], *(["1"] * len(ours) + row for row in body)]).encode(),
    )
    odd = [
        'x"; DROP TABLE items; --',
        "=cmd|'x'!A0",
        "{day}",
        "SELECT",
        "a.b",
        "a\nb",
        "😀",
        "'",
        "%s",
        "*",
        "a,b",
    ]
    yield (
        "columns called like code",
        written([[*odd, *header], *(["1"] * len(odd) + row for row in body)]).encode(),
    )
    yield "ids of 300 letters", written([header, *(["i" * 300, *row[1:]] for row in body)]).encode()
    yield "a page of the web", b"<!DOCTYPE html>\n<html><body><h1>503, sorry</h1>\n</body></html>\n"
    yield "noise", rng.randbytes(20_000)
    yield "noise behind a header", written([header]).encode() + rng.randbytes(20_000)
    yield "a workbook", b"PK\x03\x04" + rng.randbytes(3000)
    yield (
        "every row wrong",
        written([header, *([*row[:1], *["?"] * (width - 1)] for row in body * 20)]).encode(),
    )
    for position in rng.sample(range(1, len(good)), 3):
        yield f"cut off at byte {position}", good.encode()[:position]
    for _ in range(4):
        yield "bytes flipped", _flipped(good.encode(), rng)


def _flipped(content: bytes, rng: random.Random, share: float = 0.02) -> bytes:
    changed = bytearray(content)
    for _ in range(max(1, int(len(changed) * share))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _compressed(rng: random.Random) -> Iterator[Bad]:
    good = written(cells("items")).encode() * 200
    zstd = pa.compress(good, "zstd", asbytes=True)
    forms = {"gz": gzip.compress(good), "bz2": bz2.compress(good), "zst": zstd}
    for ending, content in forms.items():
        yield _file(f"cut off {ending}", "items", f"rows.csv.{ending}", content[: len(content) // 2])
        yield _file(f"{ending} without its end", "items", f"rows.csv.{ending}", content[:-6])
        yield _file(f"{ending} with noise within", "items", f"rows.csv.{ending}", _flipped(content, rng))
        yield _file(f"{ending} with noise behind", "items", f"rows.csv.{ending}", content + b"noise")
        yield _file(f"no {ending} at all", "items", f"rows.csv.{ending}", good)
        yield _file(f"an empty {ending}", "items", f"rows.csv.{ending}", b"")
        yield _file(f"{ending} that does not say so", "items", "rows.csv", content)
        yield _file(f"{ending} of Parquet", "items", f"rows.parquet.{ending}", content)
        objects = b'{"item_id": "i2"}\n' * 5000
        packed = pa.compress(objects, "zstd", asbytes=True) if ending == "zst" else gzip.compress(objects)
        yield _file(f"cut off JSON in {ending}", "items", f"rows.jsonl.{ending}", packed[: len(packed) // 2])
    yield _file("gzip twice", "items", "rows.csv.gz", gzip.compress(forms["gz"]))
    yield _file("two gzips in one", "items", "rows.csv.gz", gzip.compress(b"item_id,title,") + forms["gz"])


def _objects(rng: random.Random) -> Iterator[Bad]:
    """JSON lines."""
    for table in contracts.LANDED_TABLES:
        lines = [
            {name: str(value) if isinstance(value, date) else value for name, value in row.items()}
            for row in rows(table)
        ]
        damaged = list(_damaged_objects(lines, rng))
        for name, content in damaged if table == "events" else rng.sample(damaged, 4):
            yield _file(name, table, "rows.jsonl", content)


def _damaged_objects(lines: list[Row], rng: random.Random) -> Iterator[tuple[str, bytes]]:
    first = next(iter(lines[0]))
    good = "".join(json.dumps(line) + "\n" for line in lines)

    def changed(**values: Any) -> bytes:
        return (good + json.dumps(lines[0] | values) + "\n").encode()

    yield "an empty file of JSON", b""
    yield "one array", json.dumps(lines).encode()
    yield "one object over many lines", json.dumps(lines[0], indent=2).encode()
    yield "arrays, texts and numbers as lines", (good + '[1, 2]\n"text"\n3.5\nnull\ntrue\n').encode()
    yield "a name twice", (good + json.dumps(lines[0])[:-1] + f', "{first}": "again"}}\n').encode()
    yield "names in two cases", changed(**{first.upper(): "x"})
    yield (
        "deep nesting",
        changed(deep=None) + b'{"' + first.encode() + b'": ' + b"[" * 50_000 + b"]" * 50_000 + b"}\n",
    )
    yield "nesting without an end", good.encode() + b'{"a": ' * 20_000
    yield "no UTF-8", good.encode() + b'{"' + first.encode() + b'": "\xff\xfe\xc3"}\n'
    yield "no UTF-8 in a name", good.encode() + b'{"\xff": 1}\n'
    yield "half a pair", (good + '{"' + first + '": "\\ud800", "\\udc00": 1}\n').encode()
    yield "a huge number as JSON", (good + f'{{"{first}": {"9" * 6000}}}\n').encode()
    yield (
        "numbers beyond numbers",
        (good + f'{{"{first}": NaN, "price": Infinity, "quantity": -1e999}}\n').encode(),
    )
    yield (
        "every value an object",
        "".join(json.dumps({k: {"v": v} for k, v in line.items()}) + "\n" for line in lines).encode(),
    )
    yield (
        "every value a list",
        "".join(json.dumps({k: [v, v] for k, v in line.items()}) + "\n" for line in lines).encode(),
    )
    yield "every value nothing", "".join(json.dumps(dict.fromkeys(line)) + "\n" for line in lines).encode()
    yield (
        "every value a boolean",
        "".join(json.dumps(dict.fromkeys(line, True)) + "\n" for line in lines).encode(),
    )
    yield "an empty object", (good + "{}\n").encode()
    yield "an empty name", changed(**{"": "x"})
    yield "names like ours", changed(_at=1, _line=2)
    yield "names like code", changed(**{'x"; DROP TABLE items': 1, "a\x00b": 2, "pattern": 3})
    yield "a name of a megabyte", changed(**{"n" * 1_000_000: 1})
    yield "two thousand names", changed(**{f"c{n}": n for n in range(2000)})
    yield "a name that only the last line has", (good * 600 + json.dumps(lines[0] | {"late": 1})).encode()
    yield "null bytes", good.encode().replace(b": ", b":\x00 ")
    yield "an escaped null byte", changed(**{first: "a\x00b"})
    yield "a mark", b"\xef\xbb\xbf" + good.encode()
    yield "JSON in utf-16", good.encode("utf-16")
    yield "commas behind lines", good.replace("\n", ",\n").encode()
    yield "single quotes", good.replace('"', "'").encode()
    yield "CSV", written([list(lines[0]), *([_text(v) for v in line.values()] for line in lines)]).encode()
    yield "line separators", good.replace("1", "1\\u2028\\u0085").encode() + "\u2028".encode()
    yield "cut off JSON", good.encode()[:-20]
    yield "JSON with bytes flipped", _flipped(good.encode(), rng)
    yield "ten megabytes in a JSON value", changed(**{first: "x" * 10_000_000})


def _parquet(rng: random.Random) -> Iterator[Bad]:
    for table in contracts.LANDED_TABLES:
        frame = pa.Table.from_pylist(rows(table))
        for name, content in rng.sample(list(_damaged_parquet(frame, rng)), 3):
            yield _file(name, table, "rows.parquet", content)
        for name in rng.sample(frame.schema.names, min(3, frame.num_columns)):
            for kind, column in rng.sample(sorted(_odd_columns().items()), 2):
                place = frame.schema.get_field_index(name)
                content = _parquet_bytes(frame.set_column(place, name, column))
                yield _file(f"{name} as {kind}", table, "rows.parquet", content)
    frame = pa.Table.from_pylist(rows("events"))
    for name, content in _damaged_parquet(frame, rng):
        yield _file(name, "events", "rows.parquet", content)
    for kind, column in _odd_columns().items():
        for name in ("event_id", "occurred_at", "revenue"):
            place = frame.schema.get_field_index(name)
            yield _file(
                f"{name} as {kind}",
                "events",
                "rows.parquet",
                _parquet_bytes(frame.set_column(place, name, column)),
            )


def _odd_columns() -> dict[str, pa.Array]:
    """Three values of every type that a Parquet file can hold, as odd as the type allows."""
    far, instant = date(9999, 12, 31), datetime(2024, 5, 2, 9, 30)  # noqa: DTZ001
    return {
        "nanoseconds": pa.array([1, 2**62, -(2**62)], pa.timestamp("ns")),
        "nanoseconds of a zone": pa.array([instant] * 3, pa.timestamp("ns", tz="America/New_York")),
        "naive milliseconds": pa.array([0, -(2**48), 2**48], pa.timestamp("ms")),
        "seconds of an offset": pa.array([0, 1, 2**40], pa.timestamp("ms", tz="+02:00")),
        "microseconds at their end": pa.array([2**63 - 1, -(2**63) + 1, 0], pa.timestamp("us", tz="UTC")),
        "days at their end": pa.array([far, date(1, 1, 1), None], pa.date32()),
        "days beyond": pa.array([2**31 - 1, -(2**31), 0], pa.int32()).cast(pa.date32()),
        "milliseconds of days": pa.array([far] * 3, pa.date64()),
        "wide decimals": pa.array([Decimal("9" * 28 + ".9999999999")] * 3, pa.decimal128(38, 10)),
        "wider decimals": pa.array([Decimal("9" * 60)] * 3, pa.decimal256(76, 10)),
        "dictionaries": pa.array(["i1", "i1", None]).dictionary_encode(),
        "dictionaries of numbers": pa.array([1, 1, None]).dictionary_encode(),
        "lists": pa.array([["a"], [], None]),
        "lists of lists": pa.array([[[1]], [], None]),
        "structs": pa.array([{"a": 1}, {"a": None}, None]),
        "maps": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "bytes": pa.array([b"\x00\xff", b"", None]),
        "fixed bytes": pa.array([b"\xff" * 16] * 3, pa.binary(16)),
        "spans of time": pa.array([timedelta(days=1), None, timedelta(0)], pa.duration("us")),
        "times of day": pa.array([time(9, 30), None, time.max], pa.time64("us")),
        "large texts": pa.array(["i1", "", None], pa.large_string()),
        "views of texts": pa.array(["i1", "", None], pa.string_view()),
        "half floats": pa.array([1.5, float("nan"), None], pa.float16()),
        "floats": pa.array([float("inf"), float("nan"), -0.0]),
        "numbers beyond 63 bits": pa.array([2**64 - 1, 0, None], pa.uint64()),
        "tiny numbers": pa.array([1, -128, None], pa.int8()),
        "nothing": pa.nulls(3),
        "booleans": pa.array([True, False, None]),
        "texts with null bytes": pa.array(["a\x00b", "\x00", "i1"]),
        "texts that are no UTF-8": pa.Array.from_buffers(
            pa.string(), 3, pa.array([b"\xff\xfe", b"a\xc3", b"ok"], pa.binary()).buffers()
        ),
        "zones of texts": pa.array(["x" * 300, "anna@example.com", "i1"]),
    }


def _damaged_parquet(frame: pa.Table, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    good = _parquet_bytes(frame)
    name = frame.schema.names[0]
    some = pa.array(["x"] * len(frame))
    yield "Parquet cut off", good[: len(good) // 2]
    yield "Parquet without its end", good[:-4]
    yield "Parquet of another magic", b"PARE" + good[4:-4] + b"PARE"
    yield "Parquet's marks alone", b"PAR1" * 3
    yield "a footer longer than the file", good[:-8] + b"\xff\xff\xff\x7fPAR1"
    yield "pages of noise", b"PAR1" + _flipped(good[4:400], rng, 0.3) + good[400:]
    yield "a footer of noise", good[:-300] + _flipped(good[-300:-8], rng, 0.05) + good[-8:]
    yield "CSV called Parquet", b"a,b\n1,2\n"
    yield "no bytes of Parquet", b""
    yield "Parquet without rows", _parquet_bytes(frame.slice(0, 0))
    yield "Parquet without columns", _parquet_bytes(pa.table({}))
    yield "a Parquet column in two cases", _parquet_bytes(frame.append_column(name.upper(), some))
    yield "a Parquet column twice", _parquet_bytes(frame.append_column(name, some))
    yield "a Parquet column without a name", _parquet_bytes(frame.append_column("", some))
    for taken in ("_at", "_DAY", "_line", "_file_row", "file_row_number", "file_index", "filename"):
        yield f"a Parquet column called {taken}", _parquet_bytes(frame.append_column(taken, some))
    odd = frame
    for called in (
        'x"; DROP TABLE items',
        "a\x00b",
        "=unread",
        f"{name}=unread",
        "pattern",
        "known_on",
        "n" * 100_000,
    ):
        odd = odd.append_column(called, some)
    yield "Parquet columns called like code", _parquet_bytes(odd)
    wide = pa.table({**{c: frame[c] for c in frame.schema.names}, **{f"c{n}": some for n in range(2000)}})
    yield "two thousand Parquet columns", _parquet_bytes(wide)
    yield (
        "ten megabytes in a Parquet value",
        _parquet_bytes(frame.set_column(0, name, pa.array(["x" * 10_000_000, *["y"] * (len(frame) - 1)]))),
    )
    yield "a column missing", _parquet_bytes(frame.drop_columns([name]))
    yield "a row group a row", _parquet_bytes(frame, row_group_size=1)
    for codec in ("brotli", "lz4", "zstd"):
        yield f"Parquet in {codec}", _parquet_bytes(frame, compression=codec)
    yield (
        "every Parquet value missing",
        _parquet_bytes(pa.table({c: pa.nulls(3) for c in frame.schema.names})),
    )


def _parquet_bytes(frame: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(frame, out, **options)
    return out.getvalue()


def _places() -> Iterator[Bad]:
    """What lies where files are expected."""
    good = written(cells("items")).encode()
    folder = f"items/{DAY}"

    def place(name: str, do: Place, **files: bytes) -> Bad:
        return Bad(name, {f"{folder}/{file}": content for file, content in files.items()}, do)

    def inside(landing: Path) -> Path:
        (landing / folder).mkdir(parents=True, exist_ok=True)
        return landing / folder

    yield place("a folder called like a file", lambda at: (inside(at) / "rows.csv").mkdir())
    yield place("a folder within", lambda at: Bad("", {f"{folder}/deep/rows.csv": good}).drop(at))
    yield place("a link to itself", lambda at: (inside(at) / "a.csv").symlink_to("a.csv"))
    yield place("a folder that links to its parent", lambda at: (inside(at) / "up").symlink_to(".."))
    yield place("a link to nowhere", lambda at: (inside(at) / "a.csv").symlink_to("/no/where.csv"))
    yield place(
        "a link to a good file",
        lambda at: (inside(at) / "a.csv").symlink_to(at / "outside.csv"),
        **{"../../outside.csv": good},
    )
    for name in (
        "with space.csv",
        "it's.csv",
        'say "x".csv',
        "100%25 ü 😀.csv",
        "a[1]*.csv",
        "line\nbreak.csv",
        "a;b,c.csv",
        "$(x).csv",
        "-rf.csv",
        "x" * 240 + ".csv",
        "anna@example.com.csv",
        "UPPER.CSV",
        "{day}.csv",
        "?.csv",
        "back\\slash.csv",
    ):
        yield Bad(f"a file called {name[:30]!r}", {f"{folder}/{name}": good})
        yield Bad(
            f"Parquet called {name[:30]!r}",
            {f"{folder}/{name[:-4]}.parquet": _parquet_bytes(pa.Table.from_pylist(rows("items")))},
        )
    for name in ("rows.xlsx", "rows.csv.zip", "rows", "rows.csv.bak", "rows.parquet.crc", "rows.json", ".gz"):
        yield Bad(f"a file of no known type: {name}", {f"{folder}/{name}": good})
    for name in (
        "2024-05-3",
        "20240503",
        "today",
        "2024-13-45",
        "2024-02-30",
        "0000-00-00",
        "9999-12-31",
        "2024-05-03 ",
        "２０２４-05-03",
    ):
        yield Bad(f"a day called {name!r}", {f"items/{name}/rows.csv": good})
    yield Bad("a good file and a bad one", {f"{folder}/a.csv": good, f"{folder}/b.parquet": b"x"})
    yield Bad("bad files of two tables", {f"{folder}/a.csv": b"", f"users/{DAY}/a.parquet": b"x"})
    yield Bad(
        "files that differ in everything",
        {
            f"{folder}/a.csv": good,
            f"{folder}/b.jsonl": b'{"item_id": "j", "title": "t", "available": true}\n',
            f"{folder}/c.parquet": _parquet_bytes(
                pa.Table.from_pylist([drops.item("p", price="12", extra=1)])
            ),
            f"{folder}/d.csv": b"title,available,item_id,more\nt,true,d,x\n",
        },
    )


DECLARED: Mapping[str, dict[str, object]] = {
    "another encoding": {"encoding": "utf-16"},
    "an encoding that reads everything": {"encoding": "cp437"},
    "an encoding of bytes": {"encoding": "base64"},
    "an encoding of letters": {"encoding": "rot13"},
    "an encoding of domains": {"encoding": "idna"},
    "utf-7": {"encoding": "utf-7"},
    "another delimiter": {"delimiter": ";"},
    "a delimiter that is a quote": {"delimiter": '"'},
    "a delimiter that ends lines": {"delimiter": "\n"},
    "a delimiter beyond ASCII": {"delimiter": "¦"},
    "a quote beyond ASCII": {"quote": "«"},
    "a quote that is a letter": {"quote": "e"},
    "a decimal that is a digit": {"decimal": "1"},
    "thousands that are signs": {"thousands": "-"},
    "the format of another": {"format": "parquet"},
    "the format of objects": {"format": "jsonl"},
    "a format of dates that is none": {"dates": ["%Q%%%"]},
    "many formats of dates": {"dates": ["%d", "%H", "%s", "%Y-%m-%dT%H:%M:%S%z", "%-d/%-m/%y"]},
    "SQL that divides by nothing": {"columns": {"price": {"sql": "1 / 0"}}},
    "SQL that cannot cast": {"columns": {"price": {"sql": "CAST(title AS INTEGER)"}}},
    "SQL of an unknown function": {"columns": {"title": {"sql": "nonsense(title)"}}},
    "SQL of another column": {"columns": {"title": {"sql": "nowhere || 'x'"}}},
    "SQL of another type": {"columns": {"title": {"sql": "[title, title]"}}},
    "SQL of a structure": {"columns": {"available": {"sql": "{'a': available}"}}},
    "SQL of an interval": {"columns": {"title": {"sql": "INTERVAL 1 DAY"}}},
    "SQL that counts": {"columns": {"title": {"sql": "count(*)"}}},
    "SQL that is random": {"columns": {"title": {"sql": "random()::text"}}},
    "SQL that reads files": {"columns": {"title": {"sql": "read_text('/etc/passwd')"}}},
    "SQL that makes rows": {"columns": {"title": {"sql": "unnest([1, 2, 3])"}}},
    "SQL that overflows": {"columns": {"price": {"sql": "repeat('9', 1000)::hugeint"}}},
    "SQL that fails": {"columns": {"price": {"sql": "error('no')"}}},
    "SQL with a window that fails": {
        "columns": {"price": {"sql": "CAST(lag(title) OVER (ORDER BY item_id) AS INT)"}}
    },
    "SQL with a comment": {"columns": {"title": {"sql": "title -- as it is"}}},
    "SQL with a placeholder": {"columns": {"title": {"sql": "$1"}}},
    "a condition that is no boolean": {"where": "title"},
    "a condition that fails": {"where": "CAST(title AS INTEGER) = 1"},
    "a condition that nothing meets": {"where": "1 = 0"},
    "a condition of the future": {"where": "current_timestamp > '2024-01-01'"},
    "a column that is not there": {"columns": {"brand": "Marke"}},
    "a type for a column that is not there": {"types": {"Marke": "number"}},
    "types that do not fit": {"types": {"title": "timestamp", "item_id": "boolean", "available": "integer"}},
    "a value of another type": {"columns": {"price": {"value": "free"}, "available": {"value": 7}}},
    "a value that is a date": {"columns": {"title": {"value": date(2024, 5, 1)}}},
    "the last of each": {"keep": "last"},
    "the last of each of nothing": {"keep": "last", "columns": {"item_id": {"sql": "NULL"}}},
    "a day in a row": {"files": "{table}/2024-05-03/*", "day": "title"},
    "a day that fails": {"files": "{table}/2024-05-03/*", "day": "CAST(title AS DATE)"},
    "a day that is a number": {"files": "{table}/2024-05-03/*", "day": "7"},
    "a day that is an instant": {"files": "{table}/2024-05-03/*", "day": "TIMESTAMP '2024-05-03 23:59:59'"},
    "a day that is endless": {"files": "{table}/2024-05-03/*", "day": "'infinity'::date"},
    "a place that is nowhere": {"files": "nothing/{day}/*"},
    "a place of an unknown kind": {"files": "gopher://x/{day}/*"},
    "a place that is no URL": {"files": "s3:/{day}/*"},
    "a place above": {"files": "../landing/{table}/{day}/*"},
    "a database that nobody knows": {"database": {"connection": "warehouse", "query": "SELECT {day}"}},
    "an unknown key": {"colour": "red"},
    "a key of another type": {"types": ["title"]},
    "history without days": {"history": {"lag_days": 10**9}},
}


def _declared() -> Iterator[Bad]:
    """Good files that sources.yaml speaks of wrongly, or oddly."""
    good = {f"items/{DAY}/rows.csv": written(cells("items")).encode()}
    for name, source in DECLARED.items():
        text = yaml.safe_dump({"tables": {"items": {"sources": {"feed": source}}}}, allow_unicode=True)
        yield Bad(f"declared: {name}", good, sources=text)
    for name, text in {
        "no YAML": "tables: [",
        "tabs": "tables:\n\titems: {}\n",
        "a list": "- tables\n",
        "a text": "tables\n",
        "a table that is none": "tables: {orders: {}}",
        "personal ids without a key": "customer_ids: personal\n",
        "noise": "\x00\x01",
        "no UTF-8": "\udcff",
    }.items():
        yield Bad(f"sources.yaml: {name}", good, sources=text)


def _file(name: str, table: str, file: str, content: bytes) -> Bad:
    return Bad(f"{table}: {name}", {f"{table}/{DAY}/{file}": content})
