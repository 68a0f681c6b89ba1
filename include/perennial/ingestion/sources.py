"""The landing files: which there are for a day, what they hold, and their rows with file and line."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from perennial.foundation import contracts, engine
from perennial.foundation.settings import settings
from perennial.ingestion.declarations import Sources, read_sources

AT = "_at"
"""Column: where a row came from, as one number; `place` takes it apart."""
DAY = "_day"
"""Column: the day the row's file landed."""
_LINES = 2**40


class SourceError(ValueError):
    """A landing file cannot be read; the message says which, what was found and what is allowed."""


@dataclass(frozen=True)
class LandingFile:
    """One file of one table and day. `name` is its path below the landing folder."""

    table: str
    day: date
    name: str
    path: Path

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The file's own column names.

        Raises:
            SourceError: the file is broken, or names a column twice.
        """
        try:
            names = pq.read_schema(self.path).names if self.is_parquet else _csv_header(self.path)
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.name}: cannot be read: {error}") from error
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise SourceError(f"{self.name}: found the columns {repeated} more than once; allowed: once")
        return tuple(names)

    @property
    def is_parquet(self) -> bool:
        """Parquet, or else CSV."""
        return self.path.suffix == ".parquet"

    def count(self) -> int:
        """How many rows the file holds, counted without the engine that reads them for publishing."""
        if self.is_parquet:
            return pq.read_metadata(self.path).num_rows
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            return max(0, sum(1 for line in lines if line) - 1)


@dataclass(frozen=True)
class Landing:
    """The folder that the shop's systems drop files in, and what is declared of it."""

    folder: Path
    sources: Sources

    def files(self, table: str, first: date, last: date) -> list[LandingFile]:
        """The table's files of these days, by day and name.

        Raises:
            SourceError: a file is neither Parquet nor CSV, or its place names no day.
        """
        return [file for file in self._found(table) if first <= file.day <= last]

    def days(self, table: str | None = None) -> set[date]:
        """The days that have files, of one table or of any."""
        tables = contracts.LANDED_TABLES if table is None else (table,)
        return {file.day for name in tables for file in self._found(name)}

    def _found(self, table: str) -> list[LandingFile]:
        pattern = self.sources.of(table).files.replace("{table}", table)
        place = _expression(pattern)
        files = []
        for path in self.folder.glob(pattern.replace("{day}", "????-??-??")):
            if path.name.startswith((".", "_")) or not path.is_file():
                continue
            name = path.relative_to(self.folder).as_posix()
            if path.suffix not in (".parquet", ".csv"):
                raise SourceError(
                    f"{name}: found a file of type {path.suffix!r}; allowed are .parquet and .csv"
                )
            files.append(LandingFile(table, _day(name, place), name, path))
        return sorted(files, key=lambda file: (file.day, file.name))


def open_landing() -> Landing:
    """The landing folder of the settings."""
    return Landing(Path(settings().landing), read_sources())


def read(files: Sequence[LandingFile]) -> list[ir.Table]:
    """The rows by the files' own column names, with `_at` and `_day`; one table for each format.

    Raises:
        SourceError: a CSV file is not UTF-8 or has a line of another length than its header.
    """
    numbered = list(enumerate(files))
    parquet = [(number, file) for number, file in numbered if file.is_parquet]
    text = [(number, file) for number, file in numbered if not file.is_parquet]
    return [make(part) for make, part in ((_read_parquet, parquet), (_read_csv, text)) if part]


def place(at: int, files: Sequence[LandingFile]) -> tuple[LandingFile, int]:
    """The file and line (from 1, a header not counted) that `_at` stands for."""
    return files[at // _LINES], at % _LINES + 1


def _read_parquet(files: list[tuple[int, LandingFile]]) -> ir.Table:
    paths = [str(file.path) for _, file in files]
    rows = engine.connect().read_parquet(
        paths, filename="_path", file_row_number=True, union_by_name=True, hive_partitioning=False
    )
    places = {
        "_path": paths,
        "_first": pa.array([number * _LINES for number, _ in files], pa.int64()),
        DAY: pa.array([file.day for _, file in files], pa.date32()),
    }
    placed = rows.join(ibis.memtable(pa.table(places)), "_path")
    return placed.mutate(_at=placed._first + placed.file_row_number).drop(
        "_path", "_first", "file_row_number"
    )


def _read_csv(files: list[tuple[int, LandingFile]]) -> ir.Table:
    """Every value as text: what it means is for `normalise` to say."""
    tables = []
    for number, file in files:
        try:
            rows = pa_csv.read_csv(
                file.path,
                parse_options=pa_csv.ParseOptions(newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(file.columns, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            raise SourceError(f"{file.name}: cannot be read: {error}") from error
        lines = pa.array(range(number * _LINES, number * _LINES + rows.num_rows), pa.int64())
        days = pa.array([file.day] * rows.num_rows, pa.date32())
        tables.append(rows.append_column(AT, lines).append_column(DAY, days))
    return ibis.memtable(pa.concat_tables(tables, promote_options="default"))


def _csv_header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next((line for line in csv.reader(file) if line), [])


def _expression(pattern: str) -> re.Pattern[str]:
    """The glob pattern as an expression that finds the day in a name."""
    parts = {"{day}": r"(?P<day>\d{4}-\d{2}-\d{2})", "*": ".*", "?": "."}
    return re.compile(
        "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\{day\}|\*|\?)", pattern))
    )


def _day(name: str, place: re.Pattern[str]) -> date:
    found = place.fullmatch(name)
    try:
        return date.fromisoformat(found["day"] if found else "")
    except ValueError:
        raise SourceError(f"{name}: its place names no day; allowed is YYYY-MM-DD") from None
