"""The rows of a table's sources, by the sources' own column names, each with the place it came from.

Files that the engine can open itself (Parquet on its own disks) are read where they lie. Everything else
(text, files elsewhere, answers of databases) is first written as Parquet in the staging folder, a batch at a
time.
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
    """One file, or one answer of a database (`asked`), as the engine can open it."""

    source_name: str
    source: Source
    name: str
    day: date | None
    path: str
    columns: Mapping[str, str]
    rows: int
    asked: bool = False

    @property
    def staged(self) -> bool:
        """Whether it was written by `reading`: all text, with line numbers of its own."""
        return LINE in self.columns

    @property
    def own(self) -> dict[str, str]:
        """The file's own columns, without those that staging adds."""
        return {name: kind for name, kind in self.columns.items() if name not in (LINE, BROKEN)}


@dataclass(frozen=True)
class Raw:
    """Rows of one source whose files have the same columns.

    `rows` has these `columns` and `_at`, `_day`, `_file`, `_line`, `_broken`.
    """

    name: str
    source: Source
    rows: ir.Table
    columns: tuple[str, ...]
    staged: bool


@dataclass(frozen=True)
class Landed:
    """What landed for one table."""

    pieces: tuple[Piece, ...]

    def raw(self, only: Sequence[int] | None = None) -> list[Raw]:
        """The rows; with `only`, those of the pieces with these numbers."""
        wanted = range(len(self.pieces)) if only is None else only
        alike: dict[tuple[str, bool, tuple[tuple[str, str], ...]], list[int]] = {}
        for number in wanted:
            piece = self.pieces[number]
            key = (piece.source_name, piece.staged, tuple(piece.columns.items()))
            alike.setdefault(key, []).append(number)
        return [self._together(numbers) for numbers in alike.values()]

    def place(self, at: int) -> tuple[Piece, int]:
        """The piece and line (from 1, a header not counted) that `_at` stands for."""
        return self.pieces[at // _LINES], at % _LINES

    def chunks(self, rows: int) -> list[list[int]]:
        """The numbers of the pieces, in chunks of whole days with about so many rows; at least one chunk.

        What an expression over many rows sees is for no chunk to decide: then there is but one.
        """
        if any(piece.day is None or piece.source.looks_at_other_rows for piece in self.pieces):
            return [list(range(len(self.pieces)))]
        by_day: dict[date | None, list[int]] = {}
        for number, piece in enumerate(self.pieces):
            by_day.setdefault(piece.day, []).append(number)
        chunks: list[list[int]] = [[]]
        size = 0
        for numbers in by_day.values():
            more = sum(self.pieces[number].rows for number in numbers)
            if chunks[-1] and size + more > rows:
                chunks.append([])
                size = 0
            chunks[-1] += numbers
            size += more
        return chunks

    @staticmethod
    def number(at: ir.IntegerValue) -> ir.IntegerValue:
        """The number of the piece that `_at` lies in."""
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
    """What landed for the table on these days; what is staged for it lasts as long as the block.

    Raises:
        SourceError: a source is broken.
    """
    with staging() as folder:
        found = landing.files(table, first, last)
        files = [_piece(file, folder / f"{number}.parquet") for number, file in enumerate(found)]
        answers: list[Piece] = []
        for name, source in landing.sources.of(table).sources.items():
            if source.database is not None:
                answers += _answers(name, source, databases, first, last, folder)
        yield Landed((*files, *answers))


@contextmanager
def staging() -> Iterator[Path]:
    """A folder that nobody else may read, for as long as the block runs; of a killed run, until the next."""
    root = settings().staging.resolve()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(root)
    number, name = mkstemp(suffix=_LOCK, dir=root)
    lock = Path(name)
    with os.fdopen(number) as held:
        flock(held, LOCK_EX)
        folder = lock.with_suffix("")
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    """Remove the folders of runs that were killed: nobody holds their locks any more."""
    for lock in root.glob(f"*{_LOCK}"):
        with suppress(OSError), lock.open() as held:
            flock(held, LOCK_EX | LOCK_NB)
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
    """Where the database is that a source asks.

    Raises:
        SourceError: nobody has said.
    """
    if query.connection not in databases:
        raise SourceError(
            f"sources.{source_name}: no Airflow connection {query.connection!r} was handed over"
        )
    return databases[query.connection]


def _answers(
    name: str, source: Source, databases: Databases, first: date, last: date, folder: Path
) -> Iterator[Piece]:
    """One answer for each day where the query names it, else one for all."""
    query = source.database
    assert query is not None
    url = database_url(name, query, databases)
    days = list(Period(first, last, history=False).days()) if query.names_its_day else [None]
    for day in days:
        target = folder / f"{name}-{day}.parquet"
        columns = reading.ask(url, query, day or last, target)
        rows = pq.read_metadata(target).num_rows
        kinds = {**dict.fromkeys(columns, "string"), LINE: "int64", BROKEN: "string"}
        yield Piece(name, source, f"{query.connection}/{name}", day, str(target), kinds, rows, asked=True)
