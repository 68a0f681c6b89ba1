"""Spark behind Ibis, so that an expression has the same rows as with DuckDB. Imported by `engine` alone.

What people write in DuckDB's dialect (SQL expressions and formats of times in sources.yaml), and every
conversion of a text, is computed by DuckDB on Spark's executors, a batch at a time: a date or a number is
read the same way on both. The executors need `duckdb` and `pyarrow`, and must see the landing and staging
folders as the driver does.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import sqlglot
from ibis import util
from ibis.backends.pyspark import Backend
from ibis.backends.pyspark.datatypes import PySparkSchema, PySparkType
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.backends.sql.datatypes import DuckDBType
from ibis.common.exceptions import IbisError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as all of Spark's documentation has it
from pyspark.sql.types import LongType, StructField, TimestampType, TimeType
from sqlglot import expressions as sql

from perennial.foundation.engine.sql_expressions import looks_at_other_rows

ERRORS: tuple[type[Exception], ...] = (PySparkException, IbisError, duckdb.Error)
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # A failed computation is an error, as in DuckDB, and not null.
    "spark.sql.ansi.enabled": "true",
    # Files as others write them: times of day, nanoseconds, days before 1582.
    "spark.sql.timeType.enabled": "true",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # A plan that is kept gets a name, which is its text.
    "spark.sql.maxPlanStringLength": "8000",
}
_URI = "_file_uri"
_TRY_STRPTIME, _COMPOSED = "try_strptime", "nfc_normalize"
_JSON_VALID, _JSON_EXTRACT = "json_valid", "json_extract_string"
_INSTANT = dt.Timestamp(timezone="UTC", scale=6)
_Compute = Callable[[pa.Table], pa.Table]


class _Compiler(PySparkCompiler):
    """Ibis's compiler, with changes where it or Spark differs from DuckDB."""

    __slots__ = ()
    # Of 64 bits, as Ibis documents a hash. Not a method: Ibis would replace it with its own.
    SIMPLE_OPS: ClassVar = {ops.Hash: "xxhash64"}

    def visit_TryCast(self, op: ops.TryCast, *, arg: Any, to: dt.DataType) -> Any:  # noqa: N802 - Ibis's
        """A text is read as DuckDB reads it."""
        if op.arg.dtype.is_string() and not to.is_string():
            return self.f.anon[_reader(to)](arg)
        return super().visit_TryCast(op, arg=arg, to=to)

    def visit_ScalarUDF(self, op: ops.ScalarUDF, **arguments: Any) -> Any:  # noqa: N802
        """DuckDB needs the format of a time when it plans, so each format has a function of its own.

        Spark's function for JSON is null for invalid JSON, where DuckDB's fails.
        """
        if op.__func_name__ == _TRY_STRPTIME:
            return self.f.anon[_time_reader(op.form.value)](arguments["text"])
        if op.__func_name__ == _JSON_VALID:
            return arguments["objects"].is_(sqlglot.not_(sql.null()))
        if op.__func_name__ == _JSON_EXTRACT:
            return self.f.anon.get_json_object(*arguments.values())
        return super().visit_ScalarUDF(op, **arguments)

    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: dt.DataType) -> Any:  # noqa: N802
        """A float, which Spark would take for a decimal: a quotient by it would have few digits."""
        literal = super().visit_NonNullLiteral(op, value=value, dtype=dtype)
        return self.cast(literal, dtype) if dtype.is_floating() else literal

    def visit_IsNull(self, op: ops.IsNull, *, arg: Any) -> Any:  # noqa: N802
        """Null, and not NaN."""
        return arg.is_(sql.null())

    def visit_NotNull(self, op: ops.NotNull, *, arg: Any) -> Any:  # noqa: N802
        """Not null; NaN is not null either."""
        return arg.is_(sqlglot.not_(sql.null()))

    def visit_IsInf(self, op: ops.IsInf, *, arg: Any) -> Any:  # noqa: N802
        """By value: Ibis 12 compares the expressions instead, and the result is always false."""
        return sqlglot.or_(arg.eq(self.POS_INF), arg.eq(self.NEG_INF))

    def visit_StringSplit(self, op: ops.StringSplit, *, arg: Any, delimiter: Any) -> Any:  # noqa: N802
        """By a text; Spark would take it for a pattern."""
        return self.f.anon.split(arg, self.f.anon.concat(r"\Q", delimiter, r"\E"))


class Spark(Backend):
    """The rows of tables in Spark, and what `engine` needs beyond Ibis."""

    compiler = _Compiler()

    def files(self, paths: Sequence[str], index: str, row: str) -> ir.Table:
        """The rows of Parquet files with the same columns, the number of their path and their place in it."""
        whole = [str(Path(path).resolve()) for path in paths]
        parquet = self._session.read.parquet(*map(_unmagic, whole))
        listed = parquet.inputFiles()
        number_of = {path: number for number, path in enumerate(whole)}
        numbers = [number_of[unquote(urlsplit(uri).path)] for uri in listed]
        places = self._session.createDataFrame(
            pa.table({_URI: [_plain(uri) for uri in listed], index: numbers})
        )
        written = pq.read_schema(paths[0])
        own = [_readable(field, written.field(field.name).type) for field in parquet.schema.fields]
        uri = F.regexp_replace("_metadata.file_path", "^file:/+", "file:/").alias(_URI)
        placed = parquet.select(*own, uri, F.col("_metadata.row_index").alias(row))
        frame = placed.join(F.broadcast(places), _URI).drop(_URI)
        local = [f.name for f in written if pa.types.is_timestamp(f.type) and f.type.tz is None]
        return self._view(frame, sch.Schema({**self._types(frame), **dict.fromkeys(local, dt.timestamp)}))

    def partitioned(self, paths: Sequence[str], root: str, *, mixed: bool) -> ir.Table:
        """The rows of Parquet files below a folder, with the columns that their folders name."""
        reader = self._session.read.option("basePath", root).option("mergeSchema", str(mixed).lower())
        return self._view(reader.parquet(*map(_unmagic, paths)))

    def evaluate(self, rows: ir.Table, expressions: Mapping[str, str]) -> ir.Table:
        """The rows with further columns: name → expression as DuckDB writes it.

        A window is translated to Spark's dialect, because it needs all rows; DuckDB computes the others.
        """
        windows = {name: text for name, text in expressions.items() if looks_at_other_rows(text)}
        single = {name: text for name, text in expressions.items() if name not in windows}
        frame, schema = self._frame(rows), rows.schema()
        if windows:
            translated = [
                f"{sqlglot.transpile(text, 'duckdb', 'spark')[0]} AS `{n}`" for n, text in windows.items()
            ]
            frame = frame.selectExpr("*", *translated)
            added = self._types(frame)
            schema = sch.Schema({**schema, **{name: added[name] for name in windows}})
        if single:
            columns = ", ".join(f'({text}\n) AS "{name}"' for name, text in single.items())
            query = f"SELECT *, {columns} FROM rows"  # noqa: S608 - checked by whoever declares them
            empty = schema.to_pyarrow().empty_table()
            schema = sch.Schema.from_pyarrow(_duckdb(query)(empty).schema)
            compute = _duckdb(query, empty.schema, _in_spark(schema))

            def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
                for batch in batches:
                    yield from compute(pa.Table.from_batches([batch])).to_batches()

            frame = frame.mapInArrow(each, PySparkSchema.from_ibis(schema))
        return self._view(frame, schema)

    @contextmanager
    def kept(self, rows: ir.Table) -> Iterator[ir.Table]:
        """The rows, computed once and held by the executors (in memory, else on their disks).

        How they came about is forgotten, unlike with `persist`: plans of many steps would grow beyond what
        Spark can analyse. So an executor that is lost takes them with it, and the task must be run again.
        """
        frame = self._frame(rows).localCheckpoint()
        table = self._view(frame, rows.schema())
        try:
            yield table
        finally:
            self._session.catalog.dropTempView(table.get_name())
            frame._jdf.logicalPlan().rdd().unpersist(False)

    def to_pyarrow(self, expr: ir.Expr, /, **kwargs: Any) -> Any:
        """As Ibis, but not by way of pandas, which turns integers that may be null into floats."""
        table = expr.as_table()
        return expr.__pyarrow_result__(
            _as(self._frame(table, **kwargs).toArrow(), table.schema().to_pyarrow())
        )

    def stream(self, rows: ir.Table, batch_rows: int, staging: Path) -> pa.RecordBatchReader:
        """The rows in batches, by way of the staging folder, so that no process has all of them in memory."""
        schema = rows.schema().to_pyarrow()

        def batches() -> Iterator[pa.RecordBatch]:
            staging.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryDirectory(dir=staging) as folder:
                # Numbered, because Spark's files do not allow every name of a column.
                frame = self._frame(rows).toDF(*(f"c{n}" for n in range(len(schema))))
                frame.write.parquet(f"{Path(folder).resolve()}/rows")
                for batch in pads.dataset(f"{folder}/rows", format="parquet").to_batches(
                    batch_size=batch_rows
                ):
                    named = pa.Table.from_batches([batch]).rename_columns(schema.names)
                    yield from _as(named, schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def compile(self, expr: ir.Expr, /, **kwargs: Any) -> str:
        """As Ibis, but SELECTs are not merged: they would become too large for Spark to plan."""
        fused = ibis.options.sql.fuse_selects
        ibis.options.sql.fuse_selects = False
        try:
            text: str = super().compile(expr, **kwargs)
        finally:
            ibis.options.sql.fuse_selects = fused
        return text

    def get_schema(self, table_name: str, **kwargs: Any) -> sch.Schema:
        """As Ibis, but timestamps have their time zone."""
        return self._types(self._session.table(table_name))

    def _frame(self, rows: ir.Table, **kwargs: Any) -> DataFrame:
        self._run_pre_execute_hooks(rows)
        return self._session.sql(self.compile(rows, **kwargs))

    def _view(self, frame: DataFrame, schema: sch.Schema | None = None) -> ir.Table:
        name = util.gen_name("view")
        frame.createTempView(name)
        return ops.DatabaseTable(name, schema or self._types(frame), self).to_expr()

    @staticmethod
    def _types(frame: DataFrame) -> sch.Schema:
        return sch.Schema(
            {
                field.name: _INSTANT
                if isinstance(field.dataType, TimestampType)
                else PySparkType.to_ibis(field.dataType)
                for field in frame.schema.fields
            }
        )

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        self._session.createDataFrame(op.data.to_pyarrow(op.schema)).createOrReplaceTempView(op.name)

    def _register_udfs(self, expr: ir.Expr) -> None:
        super()._register_udfs(expr)
        casts = {op.to for op in expr.op().find(ops.TryCast) if op.arg.dtype.is_string()}
        for kind in casts:
            if not kind.is_string():
                self._register(_reader(kind), f"TRY_CAST(text AS {DuckDBType.to_string(kind)})", kind)
        for op in expr.op().find(ops.ScalarUDF):
            if op.__func_name__ == _TRY_STRPTIME:
                form = op.form.value.replace("'", "''")
                self._register(_time_reader(op.form.value), f"try_strptime(text, '{form}')", dt.timestamp)
            if op.__func_name__ == _COMPOSED:
                self._register(_COMPOSED, f"{_COMPOSED}(text)", dt.string)

    def _register(self, name: str, text: str, kind: dt.DataType) -> None:
        """Register a function for Spark's SQL that DuckDB computes."""
        returned = PySparkType.from_ibis(kind)
        wanted = _in_spark(sch.Schema({"found": kind}))
        compute = _duckdb(f"SELECT {text} AS found FROM rows", None, wanted)  # noqa: S608 - no text of others

        def function(texts: pa.Array) -> pa.Array:
            return compute(pa.table({"text": texts}))["found"].combine_chunks()

        self._session.udf.register(name, F.arrow_udf(function, returned))


def connect() -> Spark:
    """The session of this process: the running one, or a new one by Spark's own configuration."""
    # In a cluster, its administrator sets which Python the executors use.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = SparkSession.builder.appName("perennial")
    for name, value in _SETTINGS.items():
        session = session.config(name, value)
    Spark.register_options()
    backend: Spark = Spark().connect(session.getOrCreate())
    return backend


def _duckdb(query: str, given: pa.Schema | None = None, wanted: pa.Schema | None = None) -> _Compute:
    """The answer of DuckDB to a query over `rows` (of the schema `given`), in the schema `wanted`.

    The function is sent to the executors.
    """

    def compute(rows: pa.Table) -> pa.Table:
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("rows", rows.cast(given) if given else rows)
            answer = connection.sql(query).to_arrow_table()
        return answer.cast(wanted, safe=False) if wanted else answer

    return compute


def _reader(kind: dt.DataType) -> str:
    """Name of the function that reads a text as a type."""
    return "read_as_" + re.sub(r"\W+", "_", DuckDBType.to_string(kind)).strip("_").lower()


def _time_reader(form: str) -> str:
    """Name of the function that reads a text as a time by a format of strftime."""
    return "read_time_" + form.encode().hex()


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.cast(schema)


def _readable(field: StructField, written: pa.DataType) -> Column:
    """A file's column in a type that Ibis knows."""
    name = f"`{field.name.replace('`', '``')}`"
    if pa.types.is_timestamp(written) and isinstance(field.dataType, LongType):
        return F.expr(f"timestamp_micros({name} DIV 1000)").alias(field.name)
    return F.col(name).cast("string") if isinstance(field.dataType, TimeType) else F.col(name)


def _in_spark(schema: sch.Schema) -> pa.Schema:
    """The schema of Spark's Arrow tables, where every timestamp has a time zone."""
    return sch.Schema({name: _zoned(kind) for name, kind in schema.items()}).to_pyarrow()


def _zoned(kind: dt.DataType) -> dt.DataType:
    if kind.is_array():
        return dt.Array(_zoned(kind.value_type))
    if kind.is_struct():
        return dt.Struct({name: _zoned(part) for name, part in kind.fields.items()})
    return _INSTANT if kind.is_timestamp() else kind


def _plain(uri: str) -> str:
    return re.sub("^file:/+", "file:/", uri)


def _unmagic(path: str) -> str:
    """A path without wildcards: special characters are escaped."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", path)
