"""The tables: Delta Lake underneath, versions in, versions out.

The lake commits and the engine computes: a table is read as the file list of one version, handed to Ibis.
There are four ways to write, and each may be repeated: `replace` the rows of a day (or of several days),
`add` the rows whose key is not there yet, `amend` the rows whose key is there, or `keep` a part of all rows.
Each is one atomic commit; if another writer was faster, the write is tried again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import ibis.expr.types as ir
from ibis.backends import BaseBackend

from perennial.foundation import contracts, engine
from perennial.foundation.lake.as_known import known_by
from perennial.foundation.lake.table import LakeError, Rows, Stretch, Table
from perennial.foundation.settings import settings


@dataclass(frozen=True)
class Lake:
    """Tables under one folder or URL. `pins` fixes tables to versions, so that a run reads one state."""

    uri: str
    pins: Mapping[str, int] | None = None
    tables: Sequence[str] = tuple(contracts.CONTRACTS)

    @cached_property
    def engine(self) -> BaseBackend:
        """Where expressions over these tables run."""
        return engine.connect()

    def version(self, name: str) -> int | None:
        """The version that `read` sees; None for a table that nobody has written yet."""
        if self.pins is not None and name in self.pins:
            return self.pins[name]
        opened = self.table(name).open()
        return None if opened is None else opened.version()

    def pinned(self, *names: str) -> "Lake":
        """The same lake with these tables pinned to their present version."""
        versions = {name: self.version(name) for name in names}
        pins = {name: version for name, version in versions.items() if version is not None}
        return replace(self, pins=pins)

    def read(self, name: str) -> ir.Table:
        """The whole table, exactly the contract's columns; no rows if it was never written."""
        return self.table(name).rows(self.version(name))

    def known(self, name: str, day: date) -> ir.Table:
        """The table as known at the end of `day`: of each id the newest version known by then.

        Columns that the contract marks `earliest` have the earliest value of all versions known by then.

        Raises:
            LakeError: the table has no `known_on`; only landed tables have.
        """
        return known_by(self.read(name), contracts.CONTRACTS[name], day)

    def days(self, name: str) -> set[date]:
        """The days (values of the partition column) that the table holds, from the log alone."""
        opened = self.table(name).open(self.version(name))
        column = contracts.CONTRACTS[name].partition
        if opened is None or column is None:
            return set()
        return {date.fromisoformat(partition[column]) for partition in opened.partitions()}

    def replace(
        self, name: str, rows: Rows, first: date, last: date | None = None, only: Stretch | None = None
    ) -> int:
        """Put `rows` in place of all rows of the days from `first` to `last`; the new version.

        With `only`, in place of the rows of a stretch on those days: so tasks can share the work of a day.

        Raises:
            LakeError: a column is missing or of another type, or a required value is null.
        """
        return self.table(name).replace(rows, first, last or first, only)

    def create(self, name: str, rows: Rows, day: date) -> bool:
        """Write a day's rows unless the day has rows already; whether they were written."""
        if day in self.days(name):
            return False
        self.replace(name, rows, day)
        return True

    def add(self, name: str, rows: Rows) -> int:
        """Add the rows whose key is not in the table yet; the new version. Existing rows stay as they are."""
        return self.table(name).add(rows)

    def amend(self, name: str, rows: Rows) -> int:
        """Put `rows` in place of the rows with their keys; the new version. No row is added or removed.

        Raises:
            LakeError: as `replace`, or two of the rows have the same key.
        """
        return self.table(name).amend(rows)

    def keep(self, name: str, wanted: Callable[[ir.Table], ir.Table]) -> int:
        """Keep only the rows of the table that `wanted` returns; the new version."""
        return self.table(name).keep(wanted)

    def table(self, name: str) -> Table:
        """One table, to use its log and its files."""
        return Table(self._path(name), contracts.CONTRACTS[name])

    def _path(self, name: str) -> str:
        if name not in contracts.CONTRACTS:
            raise LakeError(f"no table {name!r}; the lake has {', '.join(contracts.CONTRACTS)}")
        if name not in self.tables:
            place = "vault, which only `open_vault` opens" if name == contracts.CONTACTS.name else "lake"
            raise LakeError(f"{name}: is not here; it is in the {place}")
        return f"{self.uri.rstrip('/')}/{name}"


def open_lake() -> Lake:
    """The lake of the settings: every table but the contacts."""
    others = tuple(name for name in contracts.CONTRACTS if name != contracts.CONTACTS.name)
    return Lake(settings().lake, tables=others)


def open_vault() -> Lake:
    """The vault of the settings: the contacts alone. A folder is made so that only this user can read it."""
    uri = settings().vault
    if "://" not in uri:
        Path(uri).mkdir(mode=0o700, parents=True, exist_ok=True)
    return Lake(uri, tables=(contracts.CONTACTS.name,))
