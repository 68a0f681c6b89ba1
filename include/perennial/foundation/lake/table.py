"""One Delta table under its contract: read as today's contract has it, written in atomic commits.

If another writer was faster, the write is tried again, with the rows computed anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias
from urllib.parse import unquote

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.table import TableMerger
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from perennial.foundation import engine
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import migrations
from perennial.foundation.lake.migrations import Step

Rows: TypeAlias = ir.Table | pa.Table
_ATTEMPTS = 12
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.05, 3.2
_CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}
"""By default Delta removes a version by its age, even if it was the newest one until now."""


class LakeError(RuntimeError):
    """A table could not be read or written; the message says which, what was found, what was expected."""


@dataclass(frozen=True)
class Stretch:
    """Rows by the values of a text column: from `start` on, and before `end`; None: no limit."""

    column: str
    start: str | None
    end: str | None

    def of(self, rows: ir.Table) -> ir.Table:
        """The rows that lie in the stretch."""
        if self.start is not None:
            rows = rows.filter(rows[self.column] >= self.start)
        return rows if self.end is None else rows.filter(rows[self.column] < self.end)

    @property
    def predicate(self) -> str:
        """The same as a condition for Delta; empty without limits."""
        ends = {">=": self.start, "<": self.end}
        quoted = {sign: end.replace("'", "''") for sign, end in ends.items() if end is not None}
        return " AND ".join(f"\"{self.column}\" {sign} '{end}'" for sign, end in quoted.items())


@dataclass(frozen=True)
class Table:
    """A table at a path; it need not exist yet."""

    path: str
    contract: Contract

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The Delta table, by default its newest version; None if it was never written.

        Raises:
            LakeError: there is no such version, or not any more.
        """
        try:
            return DeltaTable(self.path, version=version)
        except DeltaError as error:
            if version is not None:
                raise LakeError(
                    f"{self.contract.name}: no version {version}; lake.yaml says how long one is kept"
                ) from error
            if isinstance(error, TableNotFoundError):
                return None
            raise

    def rows(self, version: int | None = None) -> ir.Table:
        """All rows of a version, as today's contract has them; no rows if the table was never written.

        Raises:
            LakeError: there is no such version, or it differs from the contract and no migration fits.
        """
        table = self.open(version)
        if table is None or not table.file_uris():
            return ibis.memtable(self.contract.schema.empty_table())
        schema, steps = table.schema(), self._steps(table)
        rows = engine.partitioned(self._files(table), self.path, mixed=migrations.is_mixed(schema))
        for step in steps:
            rows = step.rows(rows)
        if not steps:
            self._refuse(migrations.drift(schema, self.contract).broken)
        kinds = ibis.Schema.from_pyarrow(self.contract.schema)
        lacking = set(kinds.names) - set(rows.columns) - set(self.contract.required)
        return conform(rows.mutate(**{name: ibis.null(kinds[name]) for name in lacking}), self.contract)

    def _files(self, table: DeltaTable) -> list[str]:
        """The files as engines open them: Delta writes blanks in names of folders as %20."""
        uris = table.file_uris()
        return uris if "://" in self.path else [unquote(uri) for uri in uris]

    def replace(self, rows: Rows, first: date, last: date, only: Stretch | None = None) -> int:
        """Put `rows` in place of the rows of these days, or of a stretch on them; the new version."""
        parts = [self._days(first, last), "" if only is None else only.predicate]
        predicate = " AND ".join(filter(None, parts))
        return self.commit(lambda: self._overwrite(self._ready(), rows, predicate=predicate))

    def add(self, rows: Rows) -> int:
        """Add the rows whose key is not there yet; the new version."""
        return self.commit(lambda: self._merger(rows).when_not_matched_insert_all().execute())

    def amend(self, rows: Rows) -> int:
        """Put the rows whose key is there in place of the rows with that key; the new version."""
        return self.commit(lambda: self._merger(rows).when_matched_update_all().execute())

    def keep(self, wanted: Callable[[ir.Table], ir.Table]) -> int:
        """Keep only the rows that `wanted` returns; the new version."""

        def write() -> None:
            table = self._ready()
            self._overwrite(table, wanted(self.rows(table.version())), properties=_alone())

        return self.commit(write)

    def rewrite(self, day: date | None = None) -> int:
        """Write the rows of a day (None: all) again, in as few files as possible; the new version.

        Delta's own `optimize` is not used: two at the same time double the rows (deltalake 1.6.6).
        """

        def write() -> None:
            table = self._ready()
            rows, predicate = self.rows(table.version()), None
            if day is not None:
                rows = rows.filter(rows[self.contract.partition] == day)
                predicate = self._days(day, day)
            self._overwrite(table, rows, predicate=predicate, properties=_alone())

        return self.commit(write)

    def commit(self, write: Callable[[], object]) -> int:
        """Run a write, again and with longer and longer waits while other writers are faster.

        Raises:
            LakeError: the write failed, or other writers were faster in every attempt.
        """
        again = Retrying(
            retry=retry_if_exception(_is_conflict),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
            reraise=True,
        )
        try:
            again(write)
        except DeltaError as error:
            raise LakeError(f"{self.contract.name}: the write failed: {error}") from error
        return DeltaTable(self.path).version()

    def _ready(self) -> DeltaTable:
        """The table with today's schema, so that it can be written; created if it is not there."""
        table = self.open()
        if table is None:
            return self._create()
        if self._steps(table):
            rows = self.rows(table.version())
            self._overwrite(table, rows, schema_mode="overwrite", properties=_alone(self._record))
            return self._ready()
        drift = migrations.drift(table.schema(), self.contract)
        self._refuse(drift.broken + drift.unknown)
        if drift.gained:
            table.alter.add_columns(list(drift.gained))
        for column in drift.loosened:
            table.alter.drop_column_not_null(column)
        return self._ready() if drift.gained or drift.loosened else table

    def _steps(self, table: DeltaTable) -> list[Step]:
        """The migrations that this version of the table has not seen."""
        name, done = self.contract.name, migrations.done(table)
        last = migrations.last(name)
        if done > last:
            self._refuse([f"found migration {done}, expected at most {last}: newer code wrote it"])
        return migrations.after(name, done)

    def _refuse(self, problems: Sequence[str]) -> None:
        """Raise an error if there are problems that keep today's code from using the table."""
        if problems:
            raise LakeError(f"{self.contract.name}: {'; '.join(problems)}")

    def _create(self) -> DeltaTable:
        return DeltaTable.create(
            self.path,
            self.contract.schema,
            mode="ignore",
            partition_by=self._split,
            description=self.contract.description,
            configuration=_CONFIGURATION,
            commit_properties=CommitProperties(app_transactions=[self._record]),
        )

    def _overwrite(
        self,
        table: DeltaTable,
        rows: Rows,
        *,
        predicate: str | None = None,
        schema_mode: Literal["overwrite"] | None = None,
        properties: CommitProperties | None = None,
    ) -> None:
        write_deltalake(
            table,
            to_batches(rows, self.contract),
            mode="overwrite",
            predicate=predicate,
            schema_mode=schema_mode,
            partition_by=self._split,
            commit_properties=properties,
        )

    def _merger(self, rows: Rows) -> TableMerger:
        """A merge of the rows with the table's rows of the same key; two nulls in a key are equal."""
        required = self.contract.required
        equals = {key: "=" if key in required else "IS NOT DISTINCT FROM" for key in self.contract.key}
        same = " AND ".join(f'(held."{key}" {sign} new."{key}")' for key, sign in equals.items())
        new_rows = to_arrow(rows, self.contract)
        return self._ready().merge(new_rows, same, source_alias="new", target_alias="held")

    def _days(self, first: date, last: date) -> str:
        return f"{self.contract.partition} >= '{first}' AND {self.contract.partition} <= '{last}'"

    @property
    def _split(self) -> list[str] | None:
        return [self.contract.partition] if self.contract.partition else None

    @property
    def _record(self) -> Transaction:
        return Transaction(migrations.RECORD, migrations.last(self.contract.name))


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


def to_batches(rows: Rows, contract: Contract) -> pa.RecordBatchReader:
    """A stream of record batches in the contract's schema, so that memory stays bounded."""
    if isinstance(rows, pa.Table):
        return to_arrow(rows, contract).to_reader()
    batches = (_checked(batch, contract) for batch in engine.stream(conform(rows, contract)))
    return pa.RecordBatchReader.from_batches(contract.schema, batches)


def to_arrow(rows: Rows, contract: Contract) -> pa.Table:
    """The rows in the contract's schema."""
    if isinstance(rows, ir.Table):
        return to_batches(rows, contract).read_all()
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


def _alone(*done: Transaction) -> CommitProperties:
    """A commit that fails if there was any other commit since the table was opened."""
    return CommitProperties(max_commit_retries=0, app_transactions=list(done))


def _is_conflict(error: BaseException) -> bool:
    """Was another writer faster?"""
    text = str(error).lower()
    return isinstance(error, CommitFailedError) or (
        isinstance(error, DeltaError) and ("already exists" in text or "conflict" in text)
    )
