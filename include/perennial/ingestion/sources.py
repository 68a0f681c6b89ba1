"""The rows of a table's sources, in the sources' own columns, each with its file and line.

The engine reads local Parquet files directly. Everything else (text, files on other servers, results of
queries) is first written as Parquet to the staging folder, in batches.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from tempfile import mkstemp

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.foundation import engine
from perennial.foundation.settings import settings
from perennial.foundation.staging import is_made
from perennial.ingestion import reading
from perennial.ingestion.days import Period
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing, LandingFile
from perennial.ingestion.reading import BROKEN
from perennial.ingestion.source_settings import AT, DAY, FILE, LINE, NUMBER, Format, Query, Source

_LINES = 2**40
_LOCK = ".lock"
Databases = Mapping[str, str]
"""Connection id → SQLAlchemy URL."""
NO_DATABASES: Databases = {}


@dataclass(frozen=True)
class Piece:
    """One file, or one result of a query, as a Parquet file that the engine can open.

    day: the day in the path; None where the rows name their own day.
    columns: column → type.
    rows: number of rows.
    is_query_result: whether it comes from a database.
    """

    source_name: str
    source: Source
    name: str
    day: date | None
    path: str
    columns: Mapping[str, str]
    rows: int
    is_query_result: bool = False

    @property
    def staged(self) -> bool:
        """Whether `reading` wrote it: all columns are text, and it has line numbers."""
        return LINE in self.columns

    @property
    def own(self) -> dict[str, str]:
        """The source's own columns, without those that staging adds."""
        return {name: kind for name, kind in self.columns.items() if name not in (LINE, BROKEN)}


@dataclass(frozen=True)
class Raw:
    """Rows of one source from files with the same columns.

    `rows` has the source's `columns` and `_at`, `_day`, `_file`, `_line`, `_broken`.
    """

    name: str
    source: Source
    rows: ir.Table
    columns: tuple[str, ...]
    staged: bool


@dataclass(frozen=True)
class Landed:
    """Everything that landed for one table."""

    pieces: tuple[Piece, ...]

    def raw(self, only: Sequence[int] | None = None) -> list[Raw]:
        """The rows; with `only`, those of the pieces with these numbers."""
        selected = range(len(self.pieces)) if only is None else only
        alike: dict[tuple[str, bool, tuple[tuple[str, str], ...]], list[int]] = {}
        for number in selected:
            piece = self.pieces[number]
            key = (piece.source_name, piece.staged, tuple(piece.columns.items()))
            alike.setdefault(key, []).append(number)
        return [self._together(numbers) for numbers in alike.values()]

    def place(self, at: int) -> tuple[Piece, int]:
        """The piece and the line (from 1, without the header) that `_at` encodes."""
        return self.pieces[at // _LINES], at % _LINES

    def chunks(self, rows: int) -> list[list[int]]:
        """The numbers of the pieces, in chunks of whole days with about `rows` rows; at least one chunk.

        There is only one chunk if a window function needs all rows, or if rows name their own day.
        """
        if any(piece.day is None or piece.source.looks_at_other_rows for piece in self.pieces):
            return [list(range(len(self.pieces)))]
        by_day: dict[date | None, list[int]] = {}
        for number, piece in enumerate(self.pieces):
            by_day.setdefault(piece.day, []).append(number)
        chunks: list[list[int]] = [[]]
        size = 0
        for numbers in by_day.values():
            rows_of_day = sum(self.pieces[number].rows for number in numbers)
            if chunks[-1] and size + rows_of_day > rows:
                chunks.append([])
                size = 0
            chunks[-1] += numbers
            size += rows_of_day
        return chunks

    @staticmethod
    def number(at: ir.IntegerValue) -> ir.IntegerValue:
        """The number of the piece that `_at` encodes."""
        return (at // _LINES).cast("int64")

    def _together(self, numbers: Sequence[int]) -> Raw:
        pieces = [self.pieces[number] for number in numbers]
        first = pieces[0]
        rows = engine.files([piece.path for piece in pieces])
        own = tuple(first.own)
        places = pa.table(
            {
                engine.INDEX: pa.array(range(len(pieces)), pa.int64()),
                NUMBER: pa.array(numbers, pa.int64()),
                DAY: pa.array([piece.day for piece in pieces], pa.date32()),
                FILE: pa.array([piece.name for piece in pieces], pa.string()),
            }
        )
        placed = rows.inner_join(ibis.memtable(places), engine.INDEX)
        line = placed[LINE] if first.staged else placed[engine.ROW] + 1
        stamped = {
            AT: placed[NUMBER] * _LINES + line,
            DAY: placed[DAY],
            FILE: placed[FILE],
            LINE: line,
            BROKEN: placed[BROKEN] if first.staged else ibis.null("string"),
        }
        return Raw(first.source_name, first.source, placed.select(*own, **stamped), own, first.staged)


@contextmanager
def read(landing: Landing, table: str, first: date, last: date, databases: Databases) -> Iterator[Landed]:
    """What landed for the table on these days. Its staged files are removed at the end of the block.

    Raises:
        SourceError: a source is broken.
    """
    with staging() as folder:
        landing_files = landing.files(table, first, last)
        files = [_piece(file, folder / f"{number}.parquet") for number, file in enumerate(landing_files)]
        results: list[Piece] = []
        for name, source in landing.sources.of(table).sources.items():
            if source.database is not None:
                results += _query_results(name, source, databases, first, last, folder)
        yield Landed((*files, *results))


@contextmanager
def staging() -> Iterator[Path]:
    """A folder that only this user may read; it is removed at the end, or after a kill by the next run."""
    root = settings().staging.resolve()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(root)
    number, name = mkstemp(suffix=_LOCK, dir=root)
    lock = Path(name)
    with os.fdopen(number) as lock_file:
        flock(lock_file, LOCK_EX)
        folder = lock.with_suffix("")
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    """Remove the folders of killed runs: no process holds their locks."""
    for lock in (path for path in root.glob(f"*{_LOCK}") if is_made(path.name)):
        with suppress(OSError), lock.open() as lock_file:
            flock(lock_file, LOCK_EX | LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)


def _piece(file: LandingFile, target: Path) -> Piece:
    columns = reading.columns_of(file)
    path = file.local_path
    if file.format is not Format.PARQUET:
        names = reading.stage(file, list(columns), target)
        path, columns = str(target), {**dict.fromkeys(names, "string"), LINE: "int64", BROKEN: "string"}
    elif path is None:
        with file.bytes() as stream, target.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        path = str(target)
    rows = pq.read_metadata(path).num_rows
    return Piece(file.source_name, file.source, file.name, file.day, path, columns, rows)


def database_url(source_name: str, query: Query, databases: Databases) -> str:
    """The URL of the source's database.

    Raises:
        SourceError: the connection's URL was not given.
    """
    if query.connection not in databases:
        raise SourceError(
            f"sources.{source_name}: found no URL for the Airflow connection {query.connection!r}"
        )
    return databases[query.connection]


def _query_results(
    name: str, source: Source, databases: Databases, first: date, last: date, folder: Path
) -> Iterator[Piece]:
    """One result for each day if the query contains `{day}`, else one for all days."""
    query = source.database
    assert query is not None
    url = database_url(name, query, databases)
    days = list(Period(first, last, history=False).days()) if query.names_its_day else [None]
    for day in days:
        target = folder / f"{name}-{day}.parquet"
        columns = reading.ask(url, query, day or last, target)
        rows = pq.read_metadata(target).num_rows
        types = {**dict.fromkeys(columns, "string"), LINE: "int64", BROKEN: "string"}
        yield Piece(
            name, source, f"{query.connection}/{name}", day, str(target), types, rows, is_query_result=True
        )
