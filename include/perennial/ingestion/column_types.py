"""The types of source columns, in groups (kinds), and which kinds can be converted to a contract type."""

import re

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.ingestion.source_settings import Source

TEXT_ONLY = ""
"""The type of every column of a source that holds only texts: CSV, JSON lines, the result of a query."""
_UNTYPED = ("untyped", "empty")
"""The kind of a text file's columns, and of a typed file's column that holds only nulls."""
_PATTERNS = {
    "text": r"string|large_string|utf8|str\b|varchar",
    "integer": r"u?int\d*|bigint|integer",
    "floating": r"float\d*|double|half",
    "decimal": "decimal",
    "date": "date",
    "timestamp": "timestamp",
    "boolean": "bool",
    "empty": "null",
}
"""Kind → regular expression that its type names in Arrow and Ibis begin with."""
_CONVERTIBLE = {
    contracts.TEXT: ("text", "integer"),
    contracts.INT: ("integer", "floating", "decimal"),
    contracts.MONEY: ("integer", "floating", "decimal"),
    contracts.REAL: ("integer", "floating", "decimal"),
    contracts.DAY: ("date", "timestamp"),
    contracts.INSTANT: ("timestamp",),
    contracts.FLAG: ("boolean",),
    contracts.TEXTS: ("list of text", "list of empty", "text"),
}
"""Type of a contract column → the kinds that can be converted to it."""


def allowed_kinds(contract: Contract, source: Source) -> dict[str, tuple[str, ...]]:
    """Source column → the kinds that can be converted to the type of its contract column.

    A column that only SQL expressions read may have any type: it is not in the result.
    """
    allowed = {}
    for name, column in source.reads(contract).items():
        if isinstance(column, str):
            declared = ("text",) if column in source.types else ()
            kinds = _CONVERTIBLE[contract.schema.field(name).type]
            allowed[column] = tuple(dict.fromkeys((*kinds, *declared, *_UNTYPED)))
    return allowed


def kind(name: str) -> str:
    """The kind of a type, by its name in Arrow or Ibis; the name itself if it is of no known kind."""
    if name == TEXT_ONLY:
        return _UNTYPED[0]
    plain = name.lower().removeprefix("!")
    inner = re.sub(r"^(dictionary<values=|(large_|fixed_size_)?(list|array)(_view)?<(\w+: )?)!?", "", plain)
    inner_kind = next((each for each, pattern in _PATTERNS.items() if re.match(pattern, inner)), name)
    return f"list of {inner_kind}" if re.match(r"\w*(list|array)", plain) else inner_kind
