"""CSV and Parquet files in any common form. A line that cannot be read is an error with its number."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq


class TableError(ValueError):
    """A table is wrong: the message says which file, row and column, what was found, what is allowed."""


def header(path: Path) -> list[str]:
    """The names of a file's columns.

    Raises:
        TableError: the file does not exist, or it cannot be read.
    """
    if not path.exists():
        raise TableError(f"{path}: there is no such file")
    with _read_errors(path):
        return list(pq.ParquetDataset(path).schema.names) if _is_parquet(path) else _first_line(path)[0]


def read(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a file, in the order of the file. Columns of a CSV file are all text, null where blank.

    Raises:
        TableError: a line has too few or too many values, or the file cannot be read.
    """
    with _read_errors(path):
        return pq.read_table(path, columns=list(columns)) if _is_parquet(path) else _read_csv(path, columns)


def _read_csv(path: Path, columns: Sequence[str]) -> pa.Table:
    names, delimiter = _first_line(path)
    invalid_rows: list[pa_csv.InvalidRow] = []

    def note(row: pa_csv.InvalidRow) -> str:
        invalid_rows.append(row)
        return "skip"

    table = pa_csv.read_csv(
        path,
        pa_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
        pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note),
        pa_csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    if invalid_rows:
        first = invalid_rows[0]
        raise TableError(
            f"{path}, line {first.number}: found {first.actual_columns} values; "
            f"the header has {len(names)} columns"
        )
    return table


def _is_parquet(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".parquet"


def _first_line(path: Path) -> tuple[list[str], str]:
    """The columns of a CSV file, and its delimiter."""
    with pa.input_stream(str(path)) as stream:
        start = stream.read(1 << 16).decode("utf-8-sig", errors="replace")
    line = start.split("\n", 1)[0].rstrip("\r")
    if not line.strip():
        raise TableError(f"{path}: found no first line; the first line must hold the names of the columns")
    delimiter = max(",;\t|", key=line.count)
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter))], delimiter


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Turn the errors of the library into a `TableError` of one line that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if _is_parquet(path) else "CSV in UTF-8"
        raise TableError(f"{path}: cannot be read as {kind}: {str(error).splitlines()[0]}") from None
