"""A contract describes a table, column by column: name, type, meaning, unit, allowed values."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

DAY = pa.date32()
INSTANT = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(14, 4)
TEXT = pa.string()
INT = pa.int64()
REAL = pa.float64()
FLAG = pa.bool_()
TEXTS = pa.list_(TEXT)
VECTOR = pa.list_(pa.float32())
WEIGHTS = pa.list_(pa.struct([("name", TEXT), ("weight", REAL)]))
ORDERS = pa.list_(pa.struct([("gap_days", INT), ("value", REAL), ("quantity", INT)]))
MESSAGES = pa.list_(
    pa.struct([("channel", TEXT), ("delivered", INT), ("opened", INT), ("clicked", INT), ("response", REAL)])
)

EVENT_TYPES = (
    *("impression", "view", "add_to_cart", "purchase", "return", "redeem"),
    *("delivered", "open", "click", "unsubscribe", "bounce", "complaint"),
)
LIFE_CYCLES = ("new", "active", "lapsing", "lapsed", "returned")
RHYTHMS = ("regular", "random", "bursty")
DRIFT_LEVELS = ("steady", "shifting", "shifted")
ARMS = ("treatment", "holdout", "none")
CHANNELS = ("email", "sms", "push")
SOURCES = (
    *("repeat", "item_neighbours", "customer_neighbours", "content", "kind", "sequence", "popularity"),
    "new_item",
)


@dataclass(frozen=True)
class Contract:
    """A table: its columns, the key of a row, and the column by which its files are split."""

    name: str
    description: str
    key: tuple[str, ...]
    partition: str | None
    fields: tuple[pa.Field, ...]

    @property
    def schema(self) -> pa.Schema:
        """Names, types and nullability, without the documentation."""
        return pa.schema([field.remove_metadata() for field in self.fields])

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that are never null."""
        return tuple(field.name for field in self.fields if not field.nullable)

    def allowed(self, column: str) -> tuple[str, ...]:
        """The allowed values of a column; empty if any value is allowed."""
        values = (self._field(column).metadata or {}).get(b"allowed", b"")
        return tuple(values.decode().split("|")) if values else ()

    @property
    def earliest(self) -> tuple[str, ...]:
        """The columns whose earliest value counts, whatever later versions of the row have."""
        return tuple(field.name for field in self.fields if b"earliest" in (field.metadata or {}))

    def describe(self, column: str) -> str:
        """The meaning of the column, with its unit."""
        metadata = self._field(column).metadata
        unit = metadata.get(b"unit", b"").decode()
        return metadata[b"description"].decode() + (f" ({unit})" if unit else "")

    def _field(self, column: str) -> pa.Field:
        return next(field for field in self.fields if field.name == column)


def column(
    name: str,
    kind: pa.DataType,
    description: str,
    *,
    unit: str = "",
    allowed: Iterable[str] = (),
    earliest: bool = False,
) -> pa.Field:
    """A column; with a trailing `?` in the name it may be null."""
    metadata = {
        "description": description,
        "unit": unit,
        "allowed": "|".join(allowed),
        "earliest": "yes" * earliest,
    }
    given = {key: value for key, value in metadata.items() if value}
    return pa.field(name.rstrip("?"), kind, nullable=name.endswith("?"), metadata=given)


def contract(name: str, description: str, key: str, partition: str | None, *fields: pa.Field) -> Contract:
    """A contract; `key` names its columns, separated by blanks."""
    return Contract(name, description, tuple(key.split()), partition, fields)


CUSTOMER_ID = column("customer_id", TEXT, "who")
ITEM_ID = column("item_id", TEXT, "which item")
DAY_COLUMN = column("day", DAY, "the day it was made for")
LANDED_ON = column("landed_on", DAY, "the day the file came")
KNOWN_ON = column("known_on", DAY, "the day from which the row counts as known")
VALID_FROM = column("valid_from", DAY, "the day from which this version holds")
