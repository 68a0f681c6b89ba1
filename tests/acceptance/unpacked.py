"""What a file holds, taken apart: Parquet, SQLite, gzip, zlib, bzip2, xz, zstd, zip, one inside the other."""

import bz2
import gzip
import io
import lzma
import os
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

_SQLITE = b"SQLite format 3\0"
_DEEPEST = 4
_CELLS = 20_000
_TROUBLE = (
    OSError,
    EOFError,
    sqlite3.Error,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    pa.ArrowException,
)


def files(root: Path) -> Iterator[Path]:
    """The file itself, or all regular files below a folder, in order; links are not followed.

    Raises:
        RuntimeError: there is nothing at all.
    """
    if not root.exists():
        raise RuntimeError(f"{root}: is not there to be searched")
    if root.is_file():
        yield root
    for folder, names, found in os.walk(root):
        names.sort()
        for name in sorted(found):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield path


def parts(file: Path) -> Iterator[tuple[str, bytes]]:
    """Where in the file, and what: its bytes first, then what they hold.

    Raises:
        RuntimeError: it looks like one of the known kinds and cannot be read as one.
    """
    try:
        data = file.read_bytes()
        yield "plain bytes", data
        if data.startswith(_SQLITE):
            # By its name: what is not yet written back lies in a file beside it.
            with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
                yield from _inner(_tables(database), 1)
        else:
            yield from _inner(_opened(data), 1)
    except _TROUBLE as error:
        raise RuntimeError(f"{file}: cannot be searched: {error}") from error


def _inner(held: Iterator[tuple[str, bytes]], depth: int) -> Iterator[tuple[str, bytes]]:
    for where, data in held:
        yield where, data
        if depth < _DEEPEST:
            for deeper, inner in _inner(_opened(data), depth + 1):
                yield f"{where}, {deeper}", inner


def _opened(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What the bytes hold, by their first letters; nothing where these are not known."""
    for magic, kind in _KINDS.items():
        if data.startswith(magic):
            yield from kind(data)
            return


def _parquet(data: bytes) -> Iterator[tuple[str, bytes]]:
    with pq.ParquetFile(io.BytesIO(data)) as file:
        for batch in file.iter_batches(batch_size=_CELLS * 4):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                yield from ((f"column {name}", text) for text in _texts(column))


def _texts(column: pa.Array) -> Iterator[bytes]:
    """The different texts, bytes and whole numbers of a column, a line each, however deep they lie."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _texts(column.dictionary)
    elif pa.types.is_map(kind):
        yield from _texts(column.keys)
        yield from _texts(column.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _texts(column.flatten())
    elif pa.types.is_struct(kind):
        for inner in column.flatten():
            yield from _texts(inner)
    elif pa.types.is_integer(kind):
        yield "\n".join(map(str, column.unique().drop_null().to_pylist())).encode()
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield "\n".join(column.unique().drop_null().to_pylist()).encode()
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield b"\n".join(column.unique().drop_null().to_pylist())


def _tables(database: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Every cell of every table: texts and numbers of some rows together, each blob by itself."""
    database.text_factory = bytes
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        table = name.decode()
        rows = database.execute(f'SELECT * FROM "{table.replace(chr(34), chr(34) * 2)}"')
        while some := rows.fetchmany(_CELLS):
            lines = []
            for cell in (cell for row in some for cell in row):
                if isinstance(cell, bytes):
                    lines.append(cell)
                    yield from ((f"table {table}, {where}", inner) for where, inner in _opened(cell))
                elif isinstance(cell, int):
                    lines.append(str(cell).encode())
            yield f"table {table}", b"\n".join(lines)


def _sqlite(data: bytes) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(data)
        yield from _tables(database)


def _zip(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            yield f"name of {name}", name.encode()
            yield f"member {name}", archive.read(name)


def _zlib(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Two letters are a weak sign: what is no zlib after all is nothing to look into."""
    try:
        yield "zlib", zlib.decompress(data)
    except zlib.error:
        return


def _zstd(data: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return stream.read()


def _whole(name: str, unpack: Callable[[bytes], bytes]) -> Callable[[bytes], Iterator[tuple[str, bytes]]]:
    return lambda data: iter([(name, unpack(data))])


_KINDS: dict[bytes, Callable[[bytes], Iterator[tuple[str, bytes]]]] = {
    b"PAR1": _parquet,
    _SQLITE: _sqlite,
    b"PK\x03\x04": _zip,
    b"\x1f\x8b\x08": _whole("gzip", gzip.decompress),
    b"BZh": _whole("bzip2", bz2.decompress),
    b"\xfd7zXZ\0": _whole("xz", lzma.decompress),
    b"\x28\xb5\x2f\xfd": _whole("zstd", _zstd),
    b"\x78\x01": _zlib,
    b"\x78\x5e": _zlib,
    b"\x78\x9c": _zlib,
    b"\x78\xda": _zlib,
}
"""How the bytes begin → what takes them apart."""
