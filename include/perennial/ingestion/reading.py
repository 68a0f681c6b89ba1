"""Text and databases → Parquet, one pass each, in batches: all values as text, each row with its line.

A line that cannot be split into the header's columns, or is not in the declared encoding, is no reason to
lose the others: it becomes a row of its own, with nothing but its line and the column `_broken`, which says
why.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import sqlalchemy as sa

from perennial.foundation import engine
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import LandingFile, as_text, csv_rows, json_lines, plain
from perennial.ingestion.source_settings import AT, DAY, FILE, LINE, NUMBER, Format, Query

BROKEN = "_broken"
"""Column: why a line is no row; null for rows."""
TAKEN = frozenset({AT, DAY, FILE, LINE, NUMBER, BROKEN, *engine.STAMPS})
"""Columns that every source has beside its own, or has for a while."""
BATCH_ROWS = 50_000
_BLOCK_BYTES = 16 * 2**20
_LOOKED_AT = 1000
"""So many lines of JSON say which columns a file has; if later ones name more, it is read again."""


def columns_of(file: LandingFile) -> dict[str, str]:
    """A file's own columns, each with its Arrow type; those of a text file are all `string`.

    Raises:
        SourceError: the file is broken, or names a column twice.
    """
    if file.format is Format.PARQUET:
        try:
            with file.filesystem.open_input_file(file.path) as source:
                schema = pq.read_schema(source)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(f"{file.name}: cannot be read: {plain(error)}") from error
        pairs = [(field.name, str(field.type)) for field in schema]
    else:
        names = _csv_header(file) if file.format is Format.CSV else _json_header(file)
        pairs = [(name, "string") for name in names]
    return _distinct(file.name, dict(pairs), [name for name, _ in pairs])


def stage(file: LandingFile, columns: Sequence[str], target: Path) -> Sequence[str]:
    """Write a text file as Parquet: its columns as text, `_line` and `_broken`; the columns.

    Those are `columns` and, of JSON, what only later lines name.

    Raises:
        SourceError: the file is broken.
    """
    if file.format is Format.CSV:
        _write(target, columns, _csv_batches(file, columns))
        return columns
    late: dict[str, str] = {}
    _write(target, columns, _json_batches(file, columns, late))
    if late:
        columns = [*columns, *late]
        _distinct(file.name, late, columns)
        _write(target, columns, _json_batches(file, columns, {}))
    return columns


def ask(url: str, query: Query, day: date, target: Path, most: int | None = None) -> tuple[str, ...]:
    """Write what a database answers as Parquet, like `stage`; the columns it has.

    A query that names its day is asked for this one. With `most`, no more rows than that are fetched.

    Raises:
        SourceError: the database cannot be reached, does not understand the query or names a column twice.
    """
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect().execution_options(stream_results=True) as connection:
            answer = connection.execute(sa.text(query.statement), {"day": day} if query.names_its_day else {})
            columns = tuple(answer.keys())
            _distinct(f"connection {query.connection}", dict.fromkeys(columns, ""), columns)
            _write(target, columns, _answered(columns, answer, most))
        return columns
    except sa.exc.SQLAlchemyError as error:
        raise SourceError(f"connection {query.connection}: cannot be asked: {plain(error)}") from error


def _distinct(name: str, columns: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """The columns, if engines can tell them apart (to them `Price` and `price` are one)."""
    folded = [found.casefold() for found in names]
    repeated = sorted({found for found in names if folded.count(found.casefold()) > 1})
    if repeated:
        raise SourceError(f"{name}: found the columns {repeated} more than once; allowed: once")
    if "" in names:
        raise SourceError(f"{name}: found a column without a name; allowed are names")
    taken = sorted(TAKEN.intersection(folded))
    if taken:
        raise SourceError(f"{name}: found columns called {taken}; these names are taken")
    return columns


def _write(target: Path, columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> None:
    fields = [pa.field(name, pa.string()) for name in columns]
    schema = pa.schema([*fields, pa.field(LINE, pa.int64()), pa.field(BROKEN, pa.string())])
    with pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for batch in batches:
            writer.write_batch(batch.select(schema.names).cast(schema))


def _csv_header(file: LandingFile) -> list[str]:
    with file.text(errors="replace") as lines:
        header = next((row for row in csv_rows(lines, file.source) if row), [])
        return [name.strip() or f"column {place}" for place, name in enumerate(header, start=1)]


def _has_rows(file: LandingFile) -> bool:
    with file.text(errors="replace") as lines:
        return sum(1 for _ in islice((line for line in lines if line.strip()), 2)) == 2


def _json_header(file: LandingFile) -> list[str]:
    with file.text(errors="replace") as lines:
        objects = islice(json_lines(lines), _LOOKED_AT)
        return list(dict.fromkeys(key for found in objects if found for key in found if _is_whole(key)))


def _csv_batches(file: LandingFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    broken: list[tuple[int, str]] = []

    def note(row: pa_csv.InvalidRow) -> str:
        found = f"{row.actual_columns} values; the header has {row.expected_columns} columns"
        broken.append((row.number - 1, f"found {found}"))
        return "skip"

    if not _has_rows(file):
        return
    line = 1
    with file.bytes() as stream:
        reader = pa_csv.open_csv(
            stream,
            pa_csv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                encoding=file.source.encoding,
                column_names=list(columns),
                skip_rows_after_names=1,
            ),
            pa_csv.ParseOptions(
                delimiter=file.source.delimiter,
                quote_char=file.source.quote,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.binary()), null_values=[""], strings_can_be_null=True
            ),
        )
        for batch in reader:
            lines, skipped = _lines(line, batch.num_rows, broken)
            yield _decoded(batch, lines)
            yield from _broken_lines(columns, broken[:skipped])
            del broken[:skipped]
            line = lines[-1] + 1 if lines else line
    yield from _broken_lines(columns, broken)


def _lines(first: int, rows: int, broken: Sequence[tuple[int, str]]) -> tuple[list[int], int]:
    """The lines of the next `rows` good rows, where the broken ones are left out; how many of those."""
    if not broken:
        return list(range(first, first + rows)), 0
    lines: list[int] = []
    skipped, line = 0, first
    while len(lines) < rows:
        if skipped < len(broken) and broken[skipped][0] == line:
            skipped += 1
        else:
            lines.append(line)
        line += 1
    return lines, skipped


def _decoded(batch: pa.RecordBatch, lines: Sequence[int]) -> pa.RecordBatch:
    """The batch as text; a row that is no UTF-8 is broken."""
    wrong: dict[int, str] = {}
    texts = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            texts.append(column.cast(pa.string()))
        except pa.ArrowInvalid:
            texts.append(pa.array(_each_decoded(name, column, wrong), pa.string()))
    reasons = pa.array([wrong.get(row) for row in range(len(lines))], pa.string()) if wrong else None
    if wrong:
        keep = pa.array([row not in wrong for row in range(len(lines))])
        empty = pa.scalar(None, pa.string())
        texts = [pa.compute.if_else(keep, text, empty) for text in texts]
    return pa.RecordBatch.from_arrays(
        [*texts, pa.array(lines, pa.int64()), reasons or pa.nulls(len(lines), pa.string())],
        [*batch.schema.names, LINE, BROKEN],
    )


def _each_decoded(name: str, column: pa.Array, wrong: dict[int, str]) -> list[str | None]:
    found: list[str | None] = []
    for row, value in enumerate(column.to_pylist()):
        try:
            found.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            found.append(None)
            wrong[row] = f"{name} is no UTF-8: {error.reason} at byte {error.start}"
    return found


def _json_batches(
    file: LandingFile, columns: Sequence[str], late: dict[str, str]
) -> Iterator[pa.RecordBatch]:
    """The file's rows; the names that are not among the columns are added to `late`."""
    known = set(columns)
    with file.text(errors="surrogateescape") as lines:
        numbered = enumerate(json_lines(lines), start=1)
        while chunk := list(islice(numbered, BATCH_ROWS)):
            broken = [_why_broken(found) for _, found in chunk]
            rows = [{} if why else found or {} for (_, found), why in zip(chunk, broken, strict=True)]
            late.update({key: "string" for row in rows for key in row if key not in known})
            yield _batch(columns, rows, [line for line, _ in chunk], broken)


def _why_broken(found: Mapping[str, str | None] | None) -> str | None:
    """Why a line of JSON is no row; what could not be decoded is in it as half a character."""
    if found is None:
        return "found no JSON object"
    if not all(map(_is_whole, found)):
        return "found a name that is no text"
    halves = (name for name, value in found.items() if value and not _is_whole(value))
    return next((f"{name} is no text: found bytes that are no character" for name in halves), None)


def _is_whole(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _answered(
    columns: Sequence[str], answer: sa.CursorResult[sa.Row], most: int | None
) -> Iterator[pa.RecordBatch]:
    line = 1
    for chunk in islice(answer.partitions(most or BATCH_ROWS), None if most is None else 1):
        rows = [{name: as_text(value) for name, value in row._mapping.items()} for row in chunk]
        yield _batch(columns, rows, range(line, line + len(rows)), [None] * len(rows))
        line += len(rows)


def _broken_lines(columns: Sequence[str], broken: Sequence[tuple[int, str]]) -> Iterator[pa.RecordBatch]:
    if broken:
        lines, reasons = zip(*broken, strict=True)
        yield _batch(columns, [{}] * len(broken), lines, reasons)


def _batch(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str | None]],
    lines: Sequence[int],
    broken: Sequence[str | None],
) -> pa.RecordBatch:
    values = [pa.array([row.get(name) for row in rows], pa.string()) for name in columns]
    stamps = [pa.array(lines, pa.int64()), pa.array(broken, pa.string())]
    return pa.RecordBatch.from_arrays([*values, *stamps], [*columns, LINE, BROKEN])
