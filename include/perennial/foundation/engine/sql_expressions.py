"""SQL expressions that people write into YAML, in DuckDB's dialect whatever engine runs them."""

import sqlglot
from sqlglot import expressions as sql

DIALECT = "duckdb"
_ANY_COLUMN = (sql.Star, sql.Columns, sql.PositionalColumn, sql.Query)
_WHOLE_ROW = frozenset(("source", "rows"))
"""What the engines call the table that an expression is computed over."""
_PASSING = (sql.Column, sql.Identifier, sql.Coalesce, sql.Lower, sql.Trim, sql.Paren)


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


def columns_read(text: str) -> frozenset[str] | None:
    """Every column that an expression may read, in lower case; None if it may be any column.

    Names of fields and parameters are among them: rather a name too many than one too few. It may be any
    column if the expression has a star or COLUMNS(…), or cannot be parsed.
    """
    try:
        parsed = sqlglot.parse_one(text, dialect=DIALECT)
    except sqlglot.errors.SqlglotError:
        return None
    columns = {column.name.casefold() for column in parsed.find_all(sql.Column)}
    names = {part.name.casefold() for part in parsed.find_all(sql.Identifier)}
    # `source.to_json()` reads the row as a whole.
    if parsed.find(*_ANY_COLUMN) or (names - columns) & _WHOLE_ROW:
        return None
    return frozenset(names)


def passes_on(text: str) -> bool:
    """Whether the value is that of a column, but for upper case and spaces around it: coalesce(a, b)."""

    def is_passing(node: sql.Expr) -> bool:
        if isinstance(node, sql.Trim) and node.expression:
            return False
        # With a table it is most likely a field of a struct.
        return isinstance(node, _PASSING) and not (isinstance(node, sql.Column) and node.table)

    return all(map(is_passing, sqlglot.parse_one(text, dialect=DIALECT).walk()))
