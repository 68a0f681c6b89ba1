"""The landing files: where they may be, which there are for a day, and how each is opened.

A place is a pattern below the landing folder or a whole URL (`s3://`, `gs://`, `file://`); `*` stands for
part of a name, `**` for any number of folders, `{day}` for the day as YYYY-MM-DD.
"""

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from perennial.foundation import contracts
from perennial.foundation.masking import masked
from perennial.foundation.settings import settings
from perennial.ingestion.errors import SourceError
from perennial.ingestion.source_settings import Format, Source, Sources, read_sources

_FORMATS = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".txt": Format.CSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
    ".parquet": Format.PARQUET,
}
_COMPRESSED = (".gz", ".zst", ".bz2")
_OF_NO_ROW = ("Binder Error", "Catalog Error", "IO Error", "Parser Error")
"""How the engine's errors begin that quote names of columns, functions and files."""
_DAY = r"(?P<day>\d{4}-\d{2}-\d{2})"
_MARKS = {"{day}": _DAY, "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class LandingFile:
    """One file of one source. `name` is its path below the landing folder, or its URL; `day` its place's."""

    table: str
    source_name: str
    source: Source
    name: str
    day: date | None
    path: str
    filesystem: fs.FileSystem = field(compare=False, repr=False)

    @property
    def format(self) -> Format:
        """As declared, else by the extension.

        Raises:
            SourceError: neither says.
        """
        if self.source.format:
            return self.source.format
        stem = self.name
        for ending in _COMPRESSED:
            stem = stem.removesuffix(ending)
        for ending, found in _FORMATS.items():
            if stem.endswith(ending):
                return found
        raise SourceError(
            f"{self.name}: found a file of no known type; allowed are {', '.join(_FORMATS)} "
            f"(text also as {', '.join(_COMPRESSED)}), or `format` in sources.yaml"
        )

    @property
    def local_path(self) -> str | None:
        """The path an engine can open itself; None for a file elsewhere."""
        return self.path if isinstance(self.filesystem, fs.LocalFileSystem) else None

    @contextmanager
    def bytes(self) -> Iterator[BinaryIO]:
        """The file's bytes, decompressed.

        Raises:
            SourceError: it is broken or gone; also when that shows while the block reads.
        """
        try:
            with self.filesystem.open_input_stream(self.path, compression="detect") as stream:
                yield stream
        except (pa.ArrowInvalid, OSError, EOFError, UnicodeError, csv.Error) as error:
            raise SourceError(f"{self.name}: cannot be read: {plain(error)}") from error

    @contextmanager
    def text(self, errors: str = "strict") -> Iterator[TextIO]:
        """The file's text, decompressed and decoded."""
        encoding = "utf-8-sig" if self.source.encoding == "utf-8" else self.source.encoding
        with self.bytes() as stream:
            yield io.TextIOWrapper(stream, encoding, errors=errors, newline="")

    def count(self) -> int:
        """How many rows the file holds, counted without the engine that reads them for publishing."""
        if self.format is Format.PARQUET:
            with self.filesystem.open_input_file(self.path) as file:
                return pq.read_metadata(file).num_rows
        with self.text(errors="replace") as lines:
            if self.format is Format.JSON_LINES:
                return sum(1 for line in lines if line.strip())
            return max(0, sum(1 for row in csv_rows(lines, self.source) if row) - 1)


@dataclass(frozen=True)
class Landing:
    """The folder that the shop's systems drop files in, and what is declared of it."""

    folder: str
    sources: Sources

    def files(self, table: str, first: date, last: date) -> list[LandingFile]:
        """The files that may hold rows of these days, by day and name; those that name no day come first."""
        only = first if first == last else None
        found = [file for file in self._found(table, only) if file.day is None or first <= file.day <= last]
        return sorted(found, key=lambda file: (file.day or date.min, file.source_name, file.name))

    def named_days(self, tables: Iterable[str] = contracts.LANDED_TABLES) -> set[date]:
        """The days that the files' places name."""
        return {file.day for table in tables for file in self._found(table) if file.day}

    def has_files(self, day: date) -> bool:
        """Whether any file's place names the day."""
        return any(file.day == day for table in contracts.LANDED_TABLES for file in self._found(table, day))

    def undated(self) -> list[LandingFile]:
        """The files whose rows name their days themselves."""
        return [file for table in contracts.LANDED_TABLES for file in self._found(table) if file.day is None]

    def places(self, table: str, day: date) -> list[str]:
        """Where the table's files of a day would lie."""
        sources = self.sources.of(table).sources.values()
        patterns = [self._pattern(table, source) for source in sources if source.database is None]
        return [pattern.replace("{day}", day.isoformat()) for pattern in patterns]

    def sources_of(self, table: str, name: str) -> list[str]:
        """The sources that rows may be of whose file, or whose database's answer, has this name."""
        place = name if "://" in name else f"{self.folder.rstrip('/')}/{name}"
        return [
            found
            for found, source in self.sources.of(table).sources.items()
            if (
                name == f"{source.database.connection}/{found}"
                if source.database
                else re.fullmatch(_expression(self._pattern(table, source)), place)
            )
        ]

    def _pattern(self, table: str, source: Source) -> str:
        pattern = source.files.replace("{table}", table)
        return pattern if "://" in pattern else f"{self.folder.rstrip('/')}/{pattern}"

    def _found(self, table: str, only: date | None = None) -> Iterator[LandingFile]:
        """The table's files; with `only`, no more of other days than listing gives for free."""
        for name, source in self.sources.of(table).sources.items():
            if source.database is None:
                pattern = self._pattern(table, source)
                if only is not None:
                    pattern = pattern.replace("{day}", only.isoformat())
                for place, path, filesystem in _listed(pattern):
                    found = re.search(_expression(self._pattern(table, source)), place)
                    day = _day(place, found) if found and "day" in found.groupdict() else None
                    shown = place.removeprefix(f"{self.folder.rstrip('/')}/")
                    yield LandingFile(table, name, source, shown, day, path, filesystem)


def open_landing() -> Landing:
    """The landing folder of the settings."""
    return Landing(settings().landing, read_sources())


def csv_rows(lines: TextIO, source: Source) -> Iterator[list[str]]:
    """The rows of a CSV text, the header too; a field may be as long as memory holds."""
    csv.field_size_limit(sys.maxsize)
    return csv.reader(lines, delimiter=source.delimiter, quotechar=source.quote)


def plain(error: BaseException) -> str:
    """An error of a library as one line, without contact data, and not endless."""
    return masked((str(error).splitlines() or [type(error).__name__])[0][:300], settings().key)


def without_values(error: BaseException) -> str:
    """As `plain`; of an error about a row also without what is quoted, for that is a value of the row."""
    text = plain(error)
    return (
        text if text.startswith(_OF_NO_ROW) else re.sub(r"""'[^']*(?:'|$)|"[^"]*(?:"|$)""", "(hidden)", text)
    )


def json_lines(lines: Iterable[str]) -> Iterator[dict[str, str | None] | None]:
    """Each line's object, its values as the text they have in the line; None for a line that is none."""
    for line in lines:
        if line.strip():
            try:
                found = json.loads(line, parse_float=_number, parse_constant=str)
            except (ValueError, RecursionError):
                found = None
            yield {key: as_text(value) for key, value in found.items()} if isinstance(found, dict) else None


class _Number(float):
    """A number that remembers how it was written."""

    written: str

    def __str__(self) -> str:
        return self.written


def _number(written: str) -> _Number | str:
    found = _Number(written)
    found.written = written
    return found if math.isfinite(found) else written


def as_text(value: object) -> str | None:
    """A value as a source of texts has it: lists of texts are joined by `|`, what is nested is JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "|".join(value)
    return (
        json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)
    )


def _listed(pattern: str) -> Iterator[tuple[str, str, fs.FileSystem]]:
    """(place, path, file system) of each file that matches the pattern, by name."""
    fixed = re.split(r"[*?{]", pattern)[0]
    root = fixed if fixed == pattern else fixed.rpartition("/")[0] or "."
    scheme = root.split("://")[0] + "://" if "://" in root else ""
    try:
        filesystem, base = fs.FileSystem.from_uri(root) if scheme else (fs.LocalFileSystem(), root)
        wanted: str | fs.FileSelector = (
            base if root == pattern else fs.FileSelector(base, recursive=True, allow_not_found=True)
        )
        infos = filesystem.get_file_info([wanted] if isinstance(wanted, str) else wanted)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{pattern}: cannot be listed: {plain(error)}") from error
    expression = re.compile(_expression(pattern))
    for info in sorted(infos, key=lambda info: info.path):
        place = f"{root}{info.path.removeprefix(base)}"
        hidden = info.base_name.startswith((".", "_"))
        if info.type == fs.FileType.File and not hidden and expression.fullmatch(place):
            yield place, info.path, filesystem


def _expression(pattern: str) -> str:
    """A place's pattern as a regular expression; every `{day}` in it stands for the same day."""
    parts = re.split(r"(\{day\}|\*\*/|\*|\?)", pattern)
    text = "".join(_MARKS.get(part, re.escape(part)) for part in parts)
    first, *further = text.split(_DAY)
    return first + (_DAY + "(?P=day)".join(further) if further else "")


def _day(place: str, found: re.Match[str]) -> date:
    try:
        return date.fromisoformat(found["day"])
    except ValueError:
        raise SourceError(f"{place}: found the day {found['day']!r}; allowed is YYYY-MM-DD") from None
