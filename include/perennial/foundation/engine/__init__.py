"""Where tabular work runs: DuckDB or Spark behind Ibis."""

from perennial.foundation.engine.engine import (
    INDEX,
    ROW,
    STAMPS,
    composed,
    connect,
    errors,
    evaluate,
    files,
    gathered,
    json_value,
    kept,
    parse_time,
    partitioned,
    stream,
)

__all__ = [
    "INDEX",
    "ROW",
    "STAMPS",
    "composed",
    "connect",
    "errors",
    "evaluate",
    "files",
    "gathered",
    "json_value",
    "kept",
    "parse_time",
    "partitioned",
    "stream",
]
