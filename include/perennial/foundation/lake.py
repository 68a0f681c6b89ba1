"""The tables: Delta Lake underneath, versions in, versions out.

The lake commits and the engine computes: a table is read as the file list of one version, handed to Ibis.
There are two ways to write, and both may be repeated: `replace` what a day (or a stretch of days) held, or
`add` the rows whose key is not there yet. Either is one atomic commit; a writer who lost a race against
another tries again.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from ibis.backends import BaseBackend

from perennial.foundation import contracts, engine
from perennial.foundation.contracts import Contract
from perennial.foundation.settings import settings

Rows: TypeAlias = ir.Table | pa.Table
_ATTEMPTS = 12


class LakeError(RuntimeError):
    """A table could not be read or written; the message says which, what was found and what was expected."""


@dataclass(frozen=True)
class Lake:
    """All tables under one folder or URL. `pins` fixes tables to versions, so that a run reads one state."""

    uri: str
    pins: Mapping[str, int] | None = None

    @cached_property
    def engine(self) -> BaseBackend:
        """Where expressions over these tables run."""
        return engine.connect()

    def version(self, name: str) -> int | None:
        """The version that `read` sees; None for a table that nobody has written yet."""
        if self.pins is not None and name in self.pins:
            return self.pins[name]
        found = self._open(name)
        return None if found is None else found.version()

    def pinned(self, *names: str) -> "Lake":
        """The same lake with these tables held at their present version."""
        versions = {name: self.version(name) for name in names}
        return Lake(self.uri, {name: found for name, found in versions.items() if found is not None})

    def read(self, name: str) -> ir.Table:
        """The whole table, exactly the contract's columns; no rows if it was never written."""
        contract = contracts.CONTRACTS[name]
        found = self._open(name, self.version(name))
        files = found.file_uris() if found is not None else []
        if not files:
            return ibis.memtable(contract.schema.empty_table())
        return conform(self.engine.read_parquet(files, hive_partitioning=True), contract)

    def known(self, name: str, day: date) -> ir.Table:
        """The table as known at the end of `day`: of each id the newest version that counts as known by then.

        Raises:
            LakeError: the table has no `known_on`; only landed tables have.
        """
        contract = contracts.CONTRACTS[name]
        if "known_on" not in contract.schema.names:
            raise LakeError(
                f"{name}: has no known_on; `known` reads landed tables: {contracts.LANDED_TABLES}"
            )
        rows = self.read(name)
        rows = rows.filter(rows.known_on <= day)
        if "occurred_at" in contract.schema.names:
            rows = rows.filter(rows.occurred_at < end_of(day))
        *identity, version = contract.key
        return _newest(rows, identity, version)

    def days(self, name: str) -> set[date]:
        """The days (values of the partition column) that the table holds, from the log alone."""
        found = self._open(name, self.version(name))
        column = contracts.CONTRACTS[name].partition
        if found is None or column is None:
            return set()
        return {date.fromisoformat(partition[column]) for partition in found.partitions()}

    def replace(self, name: str, rows: Rows, first: date, last: date | None = None) -> int:
        """Make `rows` all that the table holds for the days from `first` to `last`; the new version.

        Raises:
            LakeError: a column is missing or of another type, or a required value is null.
        """
        contract = contracts.CONTRACTS[name]
        last = last or first
        stretch = f"{contract.partition} >= '{first}' AND {contract.partition} <= '{last}'"
        return self._commit(name, lambda: self._overwrite(contract, rows, stretch))

    def create(self, name: str, rows: Rows, day: date) -> bool:
        """Write a day's record unless it is there already; whether it was written. The first write wins."""
        if day in self.days(name):
            return False
        self.replace(name, rows, day)
        return True

    def add(self, name: str, rows: Rows) -> int:
        """Add the rows whose key is not in the table yet; the new version. Existing rows stay as they are."""
        contract = contracts.CONTRACTS[name]
        same = " AND ".join(f'held."{column}" = new."{column}"' for column in contract.key)

        def merge() -> None:
            table = self._open(name) or self._create_table(contract)
            fresh = _to_arrow(rows, contract)
            merger = table.merge(fresh, same, source_alias="new", target_alias="held")
            merger.when_not_matched_insert_all().execute()

        return self._commit(name, merge)

    def _overwrite(self, contract: Contract, rows: Rows, stretch: str) -> None:
        if self._open(contract.name) is None:
            self._create_table(contract)
        write_deltalake(
            self._path(contract.name),
            _to_batches(rows, contract),
            mode="overwrite",
            predicate=stretch,
            partition_by=[contract.partition] if contract.partition else None,
        )

    def _create_table(self, contract: Contract) -> DeltaTable:
        return DeltaTable.create(
            self._path(contract.name),
            contract.schema,
            mode="ignore",
            partition_by=[contract.partition] if contract.partition else None,
            description=contract.description,
        )

    def _commit(self, name: str, write: Callable[[], None]) -> int:
        """Run a write; try again with a little more patience whenever another writer was faster."""
        for attempt in range(_ATTEMPTS):
            try:
                write()
            except (CommitFailedError, DeltaError) as error:
                if not _is_conflict(error) or attempt == _ATTEMPTS - 1:
                    raise LakeError(f"{name}: the write failed: {error}") from error
                time.sleep(0.05 * 2 ** min(attempt, 6))
            else:
                break
        return DeltaTable(self._path(name)).version()

    def _open(self, name: str, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(self._path(name), version=version)
        except TableNotFoundError:
            return None

    def _path(self, name: str) -> str:
        if name not in contracts.CONTRACTS:
            raise LakeError(f"no table {name!r}; the lake has {', '.join(contracts.CONTRACTS)}")
        return f"{self.uri.rstrip('/')}/{name}"


def open_lake() -> Lake:
    """The lake of the settings."""
    return Lake(settings().lake)


def end_of(day: date) -> datetime:
    """The first instant (UTC) after `day` in the shop's time zone."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), settings().zone)


def conform(rows: ir.Table, contract: Contract) -> ir.Table:
    """Exactly the contract's columns, in its order and types.

    Raises:
        LakeError: a column of the contract is missing.
    """
    missing = [name for name in contract.schema.names if name not in rows.columns]
    if missing:
        raise LakeError(f"{contract.name}: missing {missing}; found {list(rows.columns)}")
    wanted = ibis.Schema.from_pyarrow(contract.schema)
    return rows.select(**{name: rows[name].cast(kind.copy(nullable=True)) for name, kind in wanted.items()})


def _newest(rows: ir.Table, identity: list[str], version: str) -> ir.Table:
    order = ibis.window(group_by=identity, order_by=ibis.desc(version))
    ranked = rows.mutate(_rank=ibis.row_number().over(order))
    return ranked.filter(ranked._rank == 0).drop("_rank")


def _to_batches(rows: Rows, contract: Contract) -> pa.RecordBatchReader:
    """A stream of record batches in the contract's schema, so that memory stays bounded."""
    if isinstance(rows, pa.Table):
        return _to_arrow(rows, contract).to_reader()
    batches = (_checked(batch, contract) for batch in engine.stream(conform(rows, contract)))
    return pa.RecordBatchReader.from_batches(contract.schema, batches)


def _to_arrow(rows: Rows, contract: Contract) -> pa.Table:
    if isinstance(rows, ir.Table):
        return _to_batches(rows, contract).read_all()
    missing = [name for name in contract.schema.names if name not in rows.column_names]
    if missing:
        raise LakeError(f"{contract.name}: missing {missing}; found {rows.column_names}")
    plain = rows.select(contract.schema.names).cast(_loosened(contract.schema))
    return pa.Table.from_batches([_checked(b, contract) for b in plain.to_batches()], contract.schema)


def _checked(batch: pa.RecordBatch, contract: Contract) -> pa.RecordBatch:
    for name in contract.required:
        if batch.column(name).null_count:
            raise LakeError(
                f"{contract.name}: {name} is null in {batch.column(name).null_count} rows; it is required"
            )
    columns = [batch.column(field.name).cast(field.type) for field in contract.schema]
    return pa.RecordBatch.from_arrays(columns, schema=contract.schema)


def _loosened(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])


def _is_conflict(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, CommitFailedError) or "already exists" in text or "conflict" in text
