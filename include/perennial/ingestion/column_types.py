"""The types that columns come in, by kind, and which of them can become what a contract wants."""

import re

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.ingestion.source_settings import Source

TEXT_ONLY = ""
"""The type of every column of a file that has texts only: CSV, JSON lines, the answer of a database."""
_UNTYPED = ("untyped", "empty")
"""A text file's columns, and a column of which a typed file says only that it holds nothing."""
_STARTS = {
    "text": r"string|large_string|utf8|str\b|varchar",
    "integer": r"u?int\d*|bigint|integer",
    "floating": r"float\d*|double|half",
    "decimal": "decimal",
    "date": "date",
    "timestamp": "timestamp",
    "boolean": "bool",
    "empty": "null",
}
"""Kind of type → how its names begin in Arrow and Ibis."""
_FROM = {
    contracts.TEXT: ("text", "integer"),
    contracts.INT: ("integer", "floating", "decimal"),
    contracts.MONEY: ("integer", "floating", "decimal"),
    contracts.REAL: ("integer", "floating", "decimal"),
    contracts.DAY: ("date", "timestamp"),
    contracts.INSTANT: ("timestamp",),
    contracts.FLAG: ("boolean",),
    contracts.TEXTS: ("list of text", "list of empty", "text"),
}
"""Type of a contract column → the kinds of type that can become it."""


def allowed(contract: Contract, source: Source) -> dict[str, tuple[str, ...]]:
    """Source column → the kinds of type that can become what the contract wants of it.

    A column that a SQL expression reads may have any type, as far as it is not also taken as it is.
    """
    found = {}
    for name, column in source.reads(contract).items():
        if isinstance(column, str):
            told = ("text",) if column in source.types else ()
            kinds = _FROM[contract.schema.field(name).type]
            found[column] = tuple(dict.fromkeys((*kinds, *told, *_UNTYPED)))
    return found


def kind(name: str) -> str:
    """The kind of type, from what Arrow or Ibis calls it; the name itself where it is none of them."""
    if name == TEXT_ONLY:
        return _UNTYPED[0]
    plain = name.lower().removeprefix("!")
    inner = re.sub(r"^(dictionary<values=|(large_|fixed_size_)?(list|array)(_view)?<(\w+: )?)!?", "", plain)
    found = next((each for each, start in _STARTS.items() if re.match(start, inner)), name)
    return f"list of {found}" if re.match(r"\w*(list|array)", plain) else found
