"""Where tables are computed: DuckDB in the process, or Spark for a shop too large for one machine.

Capabilities write Ibis expressions and do not know which of the two runs them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends import BaseBackend

from perennial.foundation.settings import EngineName, Settings, settings

if TYPE_CHECKING:
    from perennial.foundation.engine.spark import Spark

INDEX = "_file_index"
"""Column of `files`: which of the paths a row came from, from 0."""
ROW = "_file_row"
"""Column of `files`: the row's place in its file, from 0."""
STAMPS = (INDEX, ROW, "file_index", "file_row_number")
"""Names of columns that no file of `files` may have."""


_VIEWED: dict[str, ir.Table] = {}


@cache
def connect() -> BaseBackend:
    """The backend of this process, in UTC, with the cores the task owns."""
    limits = settings()
    return _spark() if limits.engine is EngineName.SPARK else _duckdb(limits)


def _duckdb(limits: Settings) -> BaseBackend:
    limits.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    backend = ibis.duckdb.connect(threads=limits.threads)
    backend.raw_sql(f"SET memory_limit = '{limits.memory_mb}MiB'")
    backend.raw_sql(f"SET temp_directory = {_quoted(str(limits.staging / 'spill'))}")
    backend.raw_sql("SET TimeZone = 'UTC'")
    backend.raw_sql("SET enable_progress_bar = false")
    # A table of many files is scanned more than once, but the footers of its files are read once.
    backend.raw_sql("SET parquet_metadata_cache = true")
    return backend


def _spark() -> BaseBackend:
    from perennial.foundation.engine import spark

    return spark.connect()


@cache
def errors() -> tuple[type[Exception], ...]:
    """The exceptions of the backend if it cannot read a file or compute an expression."""
    if settings().engine is EngineName.SPARK:
        from perennial.foundation.engine import spark

        return spark.ERRORS
    import duckdb

    return (duckdb.Error,)


def files(paths: Sequence[str]) -> ir.Table:
    """The rows of Parquet files that have the same columns, with `INDEX` and `ROW`."""
    if (spark := _on_spark()) is not None:
        return spark.files(paths, INDEX, ROW)
    quoted_paths = ", ".join(map(_quoted, paths))
    return _view(
        f"SELECT *, CAST(file_index AS BIGINT) AS {INDEX}, file_row_number AS {ROW} "  # noqa: S608 - quoted
        f"FROM read_parquet([{quoted_paths}], hive_partitioning = false)"
    )


def partitioned(paths: Sequence[str], root: str, *, mixed: bool) -> ir.Table:
    """The rows of Parquet files below a folder, with the columns from the names of their folders.

    `mixed`: files may lack columns that other files have; these are null there.
    """
    if (spark := _on_spark()) is not None:
        return spark.partitioned(paths, root, mixed=mixed)
    return connect().read_parquet(list(paths), hive_partitioning=True, union_by_name=mixed)


def evaluate(rows: ir.Table, expressions: Mapping[str, str]) -> ir.Table:
    """The rows with further columns: name → SQL expression (as DuckDB writes it) over their columns."""
    if (spark := _on_spark()) is not None:
        return spark.evaluate(rows, expressions)
    backend = connect()
    backend._register_in_memory_tables(rows)
    added = ", ".join(f'({text}) AS "{name}"' for name, text in expressions.items())
    view = _view(f"SELECT *, {added} FROM ({backend.compile(rows)}) AS source")  # noqa: S608 - checked
    # Ibis drops a memtable without references: the view needs it as long as the view is there.
    _VIEWED[view.get_name()] = rows
    return view


def parse_time(text: ir.StringValue, form: str) -> ir.TimestampValue:
    """A text as a time without zone, by a format of strftime; null if it does not have that format."""
    return _try_strptime(text, form)


@ibis.udf.scalar.builtin(name="try_strptime")
def _try_strptime(text: str, form: str) -> dt.timestamp:
    """DuckDB's own function, which `spark` has as well."""


def composed(text: ir.StringValue) -> ir.StringValue:
    """The text with its letters composed: Unicode's normal form C."""
    return _nfc_normalize(text)


def json_value(objects: ir.StringValue, key: str) -> ir.StringValue:
    """The value of a key in a JSON object, a text or a number as text; null if there is none."""
    return ibis.ifelse(_json_valid(objects), _json_extract_string(objects, f"$.{key}"), ibis.null("string"))


@ibis.udf.scalar.builtin(name="nfc_normalize")
def _nfc_normalize(text: str) -> dt.string:
    """DuckDB's own function, which `spark` has as well."""


@ibis.udf.scalar.builtin(name="json_valid")
def _json_valid(objects: str) -> dt.boolean:
    """DuckDB's own function; `spark` does not need it."""


@ibis.udf.scalar.builtin(name="json_extract_string")
def _json_extract_string(objects: str, path: str) -> dt.string:
    """DuckDB's own function, and Spark's `get_json_object`."""


def _on_spark() -> "Spark | None":
    """Spark if this process computes with it, else None."""
    return None if settings().engine is EngineName.DUCKDB else connect()


def _view(query: str) -> ir.Table:
    backend = connect()
    name = ibis.util.gen_name("view")
    backend.raw_sql(f'CREATE TEMPORARY VIEW "{name}" AS {query}')
    return backend.table(name)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def stream(rows: ir.Table, batch_rows: int = 100_000) -> pa.RecordBatchReader:
    """The rows of an expression as Arrow batches, so that memory stays bounded."""
    if (spark := _on_spark()) is not None:
        return spark.stream(rows, batch_rows, settings().staging)
    # Ibis 12's to_pyarrow_batches calls a cursor method that DuckDB 2 dropped; a relation still streams.
    return connect()._to_duckdb_relation(rows).to_arrow_reader(batch_rows)


@contextmanager
def gathered(parts: Iterable[ir.Table]) -> Iterator[ir.Table]:
    """As `kept`, for the rows of all parts together; each part is computed before the next one is made."""
    if _on_spark() is not None:
        with ExitStack() as stack:
            yield ibis.union(*(stack.enter_context(kept(part)) for part in parts))
            return
    pieces = iter(parts)
    with kept(next(pieces)) as table:
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
    """The rows of an expression, computed once and kept by the engine as long as the block runs."""
    if (spark := _on_spark()) is not None:
        with spark.kept(rows) as table:
            yield table
        return
    backend = connect()
    name = ibis.util.gen_name("kept")
    # Ibis 12 would copy the whole query to create the table from it.
    columns = {column: kind.copy(nullable=True) for column, kind in rows.schema().items()}
    table = backend.create_table(name, schema=ibis.schema(columns), temp=True)
    try:
        _add(rows, name)
        yield table
    finally:
        # Not Ibis 12's drop_table: from sqlglot 30.18 on it forgets the table's name.
        backend.raw_sql(f'DROP TABLE "{name}"')
