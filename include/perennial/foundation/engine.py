"""Where tables are computed: DuckDB in the process, or Spark for a shop that has outgrown one machine.

Capabilities write Ibis expressions and never ask which of the two runs them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends import BaseBackend

from perennial.foundation.settings import EngineName, settings


@cache
def connect() -> BaseBackend:
    """The backend of this process, in UTC, with the cores the task owns."""
    wanted = settings()
    return _spark() if wanted.engine is EngineName.SPARK else _duckdb(wanted.threads)


def _duckdb(threads: int) -> BaseBackend:
    backend = ibis.duckdb.connect(threads=threads)
    backend.raw_sql("SET TimeZone = 'UTC'")
    backend.raw_sql("SET enable_progress_bar = false")
    return backend


def _spark() -> BaseBackend:
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("perennial").config("spark.sql.session.timeZone", "UTC")
    return ibis.pyspark.connect(session.getOrCreate())


def stream(rows: ir.Table, batch_rows: int = 100_000) -> pa.RecordBatchReader:
    """The rows of an expression as Arrow batches, so that memory stays bounded."""
    backend = connect()
    if backend.name == "duckdb":
        # Ibis 12's to_pyarrow_batches calls a cursor method that DuckDB 2 dropped; a relation still streams.
        return backend._to_duckdb_relation(rows).to_arrow_reader(batch_rows)
    return backend.to_pyarrow_batches(rows, chunk_size=batch_rows)


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
