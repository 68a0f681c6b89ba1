"""Rows of the table `quarantine`, and how they are written to files, to be read like a source."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.foundation import contracts
from perennial.foundation.lake import Lake
from perennial.ingestion import hidden_columns
from perennial.ingestion.days import Period
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing, as_text
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.refusals import BROKEN_LINE
from perennial.ingestion.source_settings import FILE, LINE, Format, Source
from perennial.ingestion.sources import Landed, Piece

Place = tuple[date, str, int]
"""Day of landing, file, line: the key of a refused row within its table."""
REPLAYING = "replaying: marked, and not yet published; if it stays so, replay the day again"
"""The reason of a row while a replay publishes it."""


@dataclass(frozen=True)
class QuarantinedRow:
    """A row of the table `quarantine`."""

    record: Mapping[str, Any]

    @cached_property
    def place(self) -> Place:
        """The row's key within its table."""
        return self.record["landed_on"], self.record["file"], self.record["line"]

    @cached_property
    def values(self) -> dict[str, Any]:
        """The row by the source's own columns, without nulls."""
        values: dict[str, Any] = json.loads(self.record["row"])
        return values

    @property
    def is_replaying(self) -> bool:
        """Whether a replay was killed while it published the row: it is published or not."""
        return REPLAYING in self.record["reasons"]

    @property
    def is_broken(self) -> bool:
        """Whether it is a line that is no row; then none of its values is stored."""
        return self.has(BROKEN_LINE)

    def has(self, code: str) -> bool:
        """Whether one of its reasons has this code."""
        return any(reason.startswith(f"{code}:") for reason in self.record["reasons"])

    def with_reasons(self, reasons: Iterable[str], replayed_on: date | None) -> dict[str, Any]:
        """The record with these reasons and this day of replay."""
        return {**self.record, "reasons": list(reasons), "replayed_on": replayed_on}


def unpublished(lake: Lake, table: str, period: Period) -> Iterator[QuarantinedRow]:
    """The table's rows that no replay has published, or that one may have; sorted by day, file and line."""
    rows = lake.read("quarantine")
    waiting = rows.replayed_on.isnull() | rows.reasons.contains(REPLAYING)
    of_table = rows.filter(
        (rows.table == table) & waiting & rows.landed_on.between(period.first, period.last)
    )
    for row in of_table.order_by("landed_on", "file", "line").to_pyarrow().to_pylist():
        yield QuarantinedRow(row)


def staged(
    landing: Landing,
    table: str,
    rows: Sequence[QuarantinedRow],
    needed: Collection[Place],
    period: Period,
    folder: Path,
) -> Landed:
    """Write the rows as Parquet, one piece for each file and day, with the original line numbers.

    Rows that today's settings cannot read are left out.

    Args:
        landing: the landing folder and the settings of its sources.
        table: the table that the rows were meant for.
        rows: the rows; none of them is broken.
        needed: the places of the rows that must not be left out.
        period: the days on which the rows landed.
        folder: where the pieces are written.

    Raises:
        SourceError: a needed row would be left out; the message says why.
    """
    by_source: dict[str, list[QuarantinedRow]] = {}
    for file, group in groupby(sorted(rows, key=_file), _file):
        of_file = list(group)
        names = landing.sources_of(table, file)
        problem = _problem(landing, table, file, names, [row.values for row in of_file])
        if not problem:
            by_source.setdefault(names[0], []).extend(of_file)
        elif any(row.place in needed for row in of_file):
            raise SourceError(problem)
    types = _types(landing, table, period, {_file(row) for row in rows})
    return Landed(
        tuple(
            piece
            for name, of_source in by_source.items()
            for piece in _pieces(
                name, landing.sources.of(table).sources[name], table, of_source, types, folder
            )
        )
    )


def _file(row: QuarantinedRow) -> str:
    name: str = row.record["file"]
    return name


def _problem(
    landing: Landing, table: str, file: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> str:
    """Why today's settings cannot read the file's rows; empty if they can."""
    if not names:
        return (
            f"{table}: {file} belongs to no source in sources.yaml any more; allowed are rows of "
            f"{', '.join(landing.sources.of(table).sources)}: declare its source again, or choose other days"
        )
    if len(names) > 1:
        return f"{table}: {file} matches the sources {', '.join(names)}; allowed is exactly one source"
    source = landing.sources.of(table).sources[names[0]].model_copy(update={"day": None})
    if source.looks_at_other_rows:
        return (
            f"{table}: {file}: the SQL of source {names[0]} reads several rows, but only the refused "
            "rows are here: ingest the day again"
        )
    if columns := hidden_columns.lost(landing, table, source, file, rows):
        return (
            f"{table}: {file}: SQL in sources.yaml makes contacts or ids of {', '.join(columns)}, and only "
            "pseudonyms of these are kept: ingest the day again"
        )
    return ""


def _types(landing: Landing, table: str, period: Period, files: Collection[str]) -> dict[str, pa.DataType]:
    """Column → its type in the Parquet files that are still there; only columns with a single type."""
    types_of: dict[str, set[pa.DataType]] = {}
    for file in landing.files(table, period.first, period.last):
        if file.name in files and file.format is Format.PARQUET:
            with file.filesystem.open_input_file(file.path) as parquet:
                for field in pq.read_schema(parquet):
                    types_of.setdefault(field.name, set()).add(field.type)
    return {name: next(iter(types)) for name, types in types_of.items() if len(types) == 1}


def _pieces(
    name: str,
    source: Source,
    table: str,
    rows: Sequence[QuarantinedRow],
    types: Mapping[str, pa.DataType],
    folder: Path,
) -> Iterator[Piece]:
    """The pieces of one source's rows. All have the same columns: the stored ones and the ones that are used.

    The rows keep the day on which they landed, even if the source's `day` names another day now.
    """
    source = source.model_copy(update={"day": None})
    used = [column for column in source.used(contracts.CONTRACTS[table]) if column not in (LINE, FILE)]
    stored = (column for row in rows for column in row.values)
    columns = {column.casefold(): column for column in (*stored, *used)}.values()
    all_rows = pa.table(
        {column: _column([row.values.get(column) for row in rows], types.get(column)) for column in columns}
        | {
            LINE: pa.array([row.record["line"] for row in rows], pa.int64()),
            BROKEN: pa.nulls(len(rows), pa.string()),
        }
    )
    types_by_name = {field.name: str(field.type) for field in all_rows.schema}
    start = 0
    for (day, file), group in groupby(rows, lambda row: row.place[:2]):
        size = sum(1 for _ in group)
        target = folder / f"{name}-{start}.parquet"
        pq.write_table(all_rows.slice(start, size), target)
        yield Piece(name, source, file, day, str(target), types_by_name, size)
        start += size


def _column(values: Sequence[object], kind: pa.DataType | None) -> pa.Array:
    """The values in their original type if it is known and fits, else as text."""
    texts = [as_text(value) for value in values]
    is_typed = kind is None and not any(isinstance(value, str) for value in values) and any(texts)
    with suppress(pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        if is_typed or (kind is not None and pa.types.is_nested(kind)):
            return pa.array(values, kind)
        if kind is not None:
            return pa.array(texts, pa.string()).cast(kind)
    return pa.array(texts, pa.string())
