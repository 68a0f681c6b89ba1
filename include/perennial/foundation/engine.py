"""Where tables are computed: DuckDB in the process, or Spark for a shop that has outgrown one machine.

Capabilities write Ibis expressions and never ask which of the two runs them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends import BaseBackend

from perennial.foundation.settings import EngineName, Settings, settings

INDEX = "_file_index"
"""Column of `files`: which of the paths a row came from, from 0."""
ROW = "_file_row"
"""Column of `files`: the row's place in its file, from 0."""


_VIEWED: dict[str, ir.Table] = {}


@cache
def connect() -> BaseBackend:
    """The backend of this process, in UTC, with the cores the task owns."""
    wanted = settings()
    return _spark() if wanted.engine is EngineName.SPARK else _duckdb(wanted)


def _duckdb(wanted: Settings) -> BaseBackend:
    wanted.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    backend = ibis.duckdb.connect(threads=wanted.threads)
    backend.raw_sql(f"SET memory_limit = '{wanted.memory_mb}MiB'")
    backend.raw_sql(f"SET temp_directory = {_quoted(str(wanted.staging / 'spill'))}")
    backend.raw_sql("SET TimeZone = 'UTC'")
    backend.raw_sql("SET enable_progress_bar = false")
    return backend


def _spark() -> BaseBackend:
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("perennial").config("spark.sql.session.timeZone", "UTC")
    return ibis.pyspark.connect(session.getOrCreate())


def files(paths: Sequence[str]) -> ir.Table:
    """The rows of Parquet files that have the same columns, with `INDEX` and `ROW`."""
    listed = ", ".join(map(_quoted, paths))
    return _view(
        f"SELECT *, CAST(file_index AS BIGINT) AS {INDEX}, file_row_number AS {ROW} "  # noqa: S608 - quoted
        f"FROM read_parquet([{listed}], hive_partitioning = false)"
    )


def evaluate(rows: ir.Table, expressions: Mapping[str, str]) -> ir.Table:
    """The rows with further columns: name → SQL expression (as DuckDB writes it) over their columns."""
    backend = connect()
    backend._register_in_memory_tables(rows)
    added = ", ".join(f'({text}) AS "{name}"' for name, text in expressions.items())
    view = _view(f"SELECT *, {added} FROM ({backend.compile(rows)}) AS source")  # noqa: S608 - checked
    # Ibis drops a memtable as soon as nobody holds it: for as long as the view is there, we do.
    _VIEWED[view.get_name()] = rows
    return view


def parse_time(text: ir.StringValue, form: str) -> ir.TimestampValue:
    """A text as a time without zone, by a format of strftime; null where it is none."""
    return _try_strptime(text, form)


@ibis.udf.scalar.builtin(name="try_strptime")
def _try_strptime(text: str, form: str) -> dt.timestamp:
    """DuckDB's own function."""


def _view(query: str) -> ir.Table:
    backend = connect()
    name = ibis.util.gen_name("view")
    backend.raw_sql(f'CREATE TEMPORARY VIEW "{name}" AS {query}')
    return backend.table(name)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def stream(rows: ir.Table, batch_rows: int = 100_000) -> pa.RecordBatchReader:
    """The rows of an expression as Arrow batches, so that memory stays bounded."""
    backend = connect()
    if backend.name == "duckdb":
        # Ibis 12's to_pyarrow_batches calls a cursor method that DuckDB 2 dropped; a relation still streams.
        return backend._to_duckdb_relation(rows).to_arrow_reader(batch_rows)
    return backend.to_pyarrow_batches(rows, chunk_size=batch_rows)


@contextmanager
def gathered(parts: Iterable[ir.Table]) -> Iterator[ir.Table]:
    """As `kept`, of the rows of all parts together; each is computed before the next is asked for."""
    pieces = iter(parts)
    with kept(next(pieces)) as table:
        if connect().name != "duckdb":
            yield ibis.union(table, *pieces)
            return
        for part in pieces:
            _add(part, table.op().name)
        yield table


def _add(rows: ir.Table, name: str) -> None:
    # Not Ibis 12's insert: it does not find temporary tables.
    backend = connect()
    backend._register_in_memory_tables(rows)
    backend.raw_sql(f'INSERT INTO "{name}" BY NAME {backend.compile(rows)}')


@contextmanager
def kept(rows: ir.Table) -> Iterator[ir.Table]:
    """The rows of an expression, computed once and held by the engine for as long as the block runs."""
    backend = connect()
    if backend.name != "duckdb":
        with rows.cache() as held:
            yield held
        return
    name = ibis.util.gen_name("kept")
    table = backend.create_table(name, rows, temp=True)
    try:
        yield table
    finally:
        # Not Ibis 12's drop_table: from sqlglot 30.18 on it forgets the table's name.
        backend.raw_sql(f'DROP TABLE "{name}"')
