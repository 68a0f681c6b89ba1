"""Rows of the table `quarantine`, and how they are read once more: in pieces, as their sources would be."""

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
from perennial.ingestion.days import Stretch
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing, as_text
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.refusals import BROKEN_LINE
from perennial.ingestion.source_settings import FILE, LINE, Format, Source
from perennial.ingestion.sources import Landed, Piece

Place = tuple[date, str, int]
"""Day of landing, file, line: the key of a refused row among those of its table."""
MARK = "replaying: marked, and not yet published; if it stays so, replay the day again"
"""The reason that a row has while it is being published."""


@dataclass(frozen=True)
class Aside:
    """A row of the table `quarantine`."""

    kept: Mapping[str, Any]

    @cached_property
    def place(self) -> Place:
        """Its key among the rows of its table."""
        return self.kept["landed_on"], self.kept["file"], self.kept["line"]

    @cached_property
    def values(self) -> dict[str, Any]:
        """The row, by the source's own columns; what was empty is not there."""
        found: dict[str, Any] = json.loads(self.kept["row"])
        return found

    @property
    def is_marked(self) -> bool:
        """Whether a replay that was killed may or may not have published it."""
        return MARK in self.kept["reasons"]

    @property
    def is_broken(self) -> bool:
        """Whether it was no row at all, so that nothing of it is kept."""
        return self.has(BROKEN_LINE)

    def has(self, code: str) -> bool:
        """Whether it was refused with this code."""
        return any(reason.startswith(f"{code}:") for reason in self.kept["reasons"])

    def changed(self, reasons: Iterable[str], replayed_on: date | None) -> dict[str, Any]:
        """The row with other reasons."""
        return {**self.kept, "reasons": list(reasons), "replayed_on": replayed_on}


def unpublished(lake: Lake, table: str, stretch: Stretch) -> Iterator[Aside]:
    """The rows that are set aside, and those that are marked, by day, file and line."""
    rows = lake.read("quarantine")
    waiting = rows.replayed_on.isnull() | rows.reasons.contains(MARK)
    ours = rows.filter((rows.table == table) & waiting & rows.landed_on.between(stretch.first, stretch.last))
    for row in ours.order_by("landed_on", "file", "line").to_pyarrow().to_pylist():
        yield Aside(row)


def staged(
    landing: Landing,
    table: str,
    rows: Sequence[Aside],
    needed: Collection[Place],
    stretch: Stretch,
    folder: Path,
) -> Landed:
    """The rows as their sources would bring them: a piece for each file and day, with its own lines.

    Rows of which it cannot be told how to read them are left out.

    Args:
        landing: the landing folder and its declarations.
        table: the table that the rows were meant for.
        rows: none of them broken.
        needed: those that must not be left out.
        stretch: the days on which they landed.
        folder: what is staged is written here.

    Raises:
        SourceError: a row that is needed would be left out; the message says why.
    """
    by_source: dict[str, list[Aside]] = {}
    for file, found in groupby(sorted(rows, key=_file), _file):
        ours = list(found)
        names = landing.sources_of(table, file)
        problem = _problem(landing, table, file, names, [row.values for row in ours])
        if not problem:
            by_source.setdefault(names[0], []).extend(ours)
        elif any(row.place in needed for row in ours):
            raise SourceError(problem)
    types = _types(landing, table, stretch, {_file(row) for row in rows})
    return Landed(
        tuple(
            piece
            for name, ours in by_source.items()
            for piece in _pieces(name, landing.sources.of(table).sources[name], table, ours, types, folder)
        )
    )


def _file(row: Aside) -> str:
    name: str = row.kept["file"]
    return name


def _problem(
    landing: Landing, table: str, file: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> str:
    """Why the file's rows cannot be read by today's declarations; empty if they can."""
    if not names:
        return (
            f"{table}: {file} is of no source in sources.yaml by now; allowed are rows of "
            f"{', '.join(landing.sources.of(table).sources)}: declare its source again, or choose other days"
        )
    if len(names) > 1:
        return f"{table}: {file} may be of the sources {', '.join(names)}; allowed is one that fits its name"
    source = landing.sources.of(table).sources[names[0]].model_copy(update={"day": None})
    if source.looks_at_other_rows:
        return (
            f"{table}: {file}: the SQL of source {names[0]} looks at several rows, and here are only "
            "those that were refused: ingest the day again"
        )
    if columns := hidden_columns.lost(landing, table, source, file, rows):
        return (
            f"{table}: {file}: SQL in sources.yaml makes contacts or ids of {', '.join(columns)}, and only "
            "pseudonyms of these are kept: ingest the day again"
        )
    return ""


def _types(landing: Landing, table: str, stretch: Stretch, files: Collection[str]) -> dict[str, pa.DataType]:
    """The types that columns have in the typed files that are still there; those of one type only."""
    found: dict[str, set[pa.DataType]] = {}
    for file in landing.files(table, stretch.first, stretch.last):
        if file.name in files and file.format is Format.PARQUET:
            with file.filesystem.open_input_file(file.path) as opened:
                for field in pq.read_schema(opened):
                    found.setdefault(field.name, set()).add(field.type)
    return {name: next(iter(types)) for name, types in found.items() if len(types) == 1}


def _pieces(
    name: str,
    source: Source,
    table: str,
    rows: Sequence[Aside],
    types: Mapping[str, pa.DataType],
    folder: Path,
) -> Iterator[Piece]:
    """One source's rows, all with the same columns: those that they have, and those that are asked for.

    The day on which they landed stands, whatever the source's `day` would say by now.
    """
    source = source.model_copy(update={"day": None})
    used = [column for column in source.used(contracts.CONTRACTS[table]) if column not in (LINE, FILE)]
    kept = (column for row in rows for column in row.values)
    columns = {column.casefold(): column for column in (*kept, *used)}.values()
    whole = pa.table(
        {column: _column([row.values.get(column) for row in rows], types.get(column)) for column in columns}
        | {
            LINE: pa.array([row.kept["line"] for row in rows], pa.int64()),
            BROKEN: pa.nulls(len(rows), pa.string()),
        }
    )
    kinds = {field.name: str(field.type) for field in whole.schema}
    start = 0
    for (day, file), found in groupby(rows, lambda row: row.place[:2]):
        size = sum(1 for _ in found)
        target = folder / f"{name}-{start}.parquet"
        pq.write_table(whole.slice(start, size), target)
        yield Piece(name, source, file, day, str(target), kinds, size)
        start += size


def _column(values: Sequence[object], kind: pa.DataType | None) -> pa.Array:
    """The values as the type that they had, as far as that is known and fits, else as text."""
    texts = [as_text(value) for value in values]
    is_typed = kind is None and not any(isinstance(value, str) for value in values) and any(texts)
    with suppress(pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        if is_typed or (kind is not None and pa.types.is_nested(kind)):
            return pa.array(values, kind)
        if kind is not None:
            return pa.array(texts, pa.string()).cast(kind)
    return pa.array(texts, pa.string())
