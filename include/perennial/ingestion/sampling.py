"""The first rows of a source, for a dry run. Of a large file, only these rows are read."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from perennial.ingestion import reading
from perennial.ingestion.landing import Landing, LandingFile
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.source_settings import LINE, Format, Source
from perennial.ingestion.sources import Databases, Piece, database_url


def sample(
    landing: Landing, databases: Databases, table: str, name: str, day: date, rows: int, folder: Path
) -> Iterator[Piece]:
    """The source's first `rows` rows of a day, as pieces. No more files are opened than are needed.

    Raises:
        SourceError: the source is broken.
    """
    source = landing.sources.of(table).sources[name]
    if source.database is not None:
        target = folder / f"{table}-{name}.parquet"
        columns = reading.ask(
            database_url(name, source.database, databases), source.database, day, target, rows
        )
        landed_on = day if source.day is None else None
        yield _piece(name, source, f"{source.database.connection}/{name}", landed_on, target, columns)
        return
    files = [file for file in landing.files(table, day, day) if file.source_name == name]
    for number, file in enumerate(files):
        if rows > 0:
            piece = _first_rows(file, rows, folder / f"{table}-{name}-{number}")
            rows -= piece.rows
            yield piece


def _first_rows(file: LandingFile, rows: int, place: Path) -> Piece:
    """A piece with the file's first rows, read like the whole file."""
    part, target = place.with_suffix(".part"), place.with_suffix(".parquet")
    if file.format is Format.PARQUET:
        columns = reading.columns_of(file)
        with file.filesystem.open_input_file(file.path) as stream:
            parquet = pq.ParquetFile(stream)
            batches = list(islice(parquet.iter_batches(batch_size=rows), 1))
            pq.write_table(pa.Table.from_batches(batches, parquet.schema_arrow), target)
        return Piece(file.source_name, file.source, file.name, file.day, str(target), columns, _rows(target))
    with (
        file.text(errors="surrogateescape") as lines,
        part.open("w", encoding=file.source.encoding, errors="surrogateescape", newline="") as copy,
    ):
        copy.writelines(_lines(lines, file, rows))
    short = replace(file, path=str(part), filesystem=fs.LocalFileSystem())
    names = reading.stage(short, list(reading.columns_of(short)), target)
    return _piece(file.source_name, file.source, file.name, file.day, target, names)


def _lines(lines: Iterator[str], file: LandingFile, rows: int) -> list[str]:
    """The lines of the first rows and, of CSV, of the header. A row may have several lines."""
    taken: list[str] = []

    def recorded() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    if file.format is Format.JSON_LINES:
        return list(islice(recorded(), rows))
    reader = csv.reader(recorded(), delimiter=file.source.delimiter, quotechar=file.source.quote)
    for _ in islice((row for row in reader if row), rows + 1):
        pass
    return taken


def _piece(
    name: str, source: Source, place: str, day: date | None, target: Path, columns: Sequence[str]
) -> Piece:
    types = {**dict.fromkeys(columns, "string"), LINE: "int64", BROKEN: "string"}
    return Piece(name, source, place, day, str(target), types, _rows(target))


def _rows(path: Path) -> int:
    count: int = pq.read_metadata(path).num_rows
    return count
