"""CSV and Parquet files as a data scientist has them; what cannot be read is refused by its line."""

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
        TableError: there is no such file, or it cannot be read.
    """
    if not path.exists():
        raise TableError(f"{path}: there is no such file")
    with _told(path):
        return list(pq.ParquetDataset(path).schema.names) if _is_parquet(path) else _first_line(path)[0]


def read(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a file, in its order; those of CSV are all text, null where blank.

    Raises:
        TableError: a line has too few or too many values, or the file cannot be read.
    """
    with _told(path):
        return pq.read_table(path, columns=list(columns)) if _is_parquet(path) else _read_csv(path, columns)


def _read_csv(path: Path, columns: Sequence[str]) -> pa.Table:
    names, mark = _first_line(path)
    broken: list[pa_csv.InvalidRow] = []

    def note(row: pa_csv.InvalidRow) -> str:
        broken.append(row)
        return "skip"

    found = pa_csv.read_csv(
        path,
        pa_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
        pa_csv.ParseOptions(delimiter=mark, newlines_in_values=True, invalid_row_handler=note),
        pa_csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    if broken:
        raise TableError(
            f"{path}, line {broken[0].number}: found {broken[0].actual_columns} values; "
            f"the header has {len(names)} columns"
        )
    return found


def _is_parquet(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".parquet"


def _first_line(path: Path) -> tuple[list[str], str]:
    """The columns of a CSV file, and what separates them."""
    with pa.input_stream(str(path)) as stream:
        start = stream.read(1 << 16).decode("utf-8-sig", errors="replace")
    line = start.split("\n", 1)[0].rstrip("\r")
    if not line.strip():
        raise TableError(f"{path}: found no first line; allowed is one with the names of the columns")
    mark = max(",;\t|", key=line.count)
    return [name.strip() for name in next(csv.reader([line], delimiter=mark))], mark


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What a library says of a file that it cannot read, in one line that names it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if _is_parquet(path) else "CSV in UTF-8"
        raise TableError(f"{path}: cannot be read as {kind}: {str(error).splitlines()[0]}") from None
