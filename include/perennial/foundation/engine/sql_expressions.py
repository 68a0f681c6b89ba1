"""SQL expressions that people write into YAML, in DuckDB's dialect whatever engine runs them."""

import sqlglot
from sqlglot import expressions as sql

DIALECT = "duckdb"


def columns_of(text: str) -> tuple[str, ...]:
    """The columns that an expression names.

    Raises:
        ValueError: it is not one expression.
    """
    try:
        expression = sqlglot.parse_one(text, dialect=DIALECT)
    except sqlglot.errors.SqlglotError as error:
        raise ValueError(f"is no SQL expression: {str(error).splitlines()[0]}") from None
    if not isinstance(expression, sql.Condition) or expression.find(sql.Query):
        raise ValueError("must be one expression over the source's columns, not a statement or a subquery")
    return tuple(dict.fromkeys(column.name for column in expression.find_all(sql.Column)))


def looks_at_other_rows(text: str) -> bool:
    """Whether an expression is a window over several rows."""
    return sqlglot.parse_one(text, dialect=DIALECT).find(sql.Window) is not None
