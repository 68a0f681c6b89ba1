"""What `sources.yaml` may say: where each table's rows come from and what they must be."""

import codecs
import re
from datetime import date
from enum import StrEnum
from zoneinfo import available_timezones

from pydantic import Field, field_validator, model_validator

from perennial.foundation import contracts
from perennial.foundation.config import Part, load
from perennial.foundation.contracts import Contract
from perennial.foundation.engine.sql_expressions import columns_of, looks_at_other_rows

OCCURRENCE = {
    "events": "occurred_at",
    "items": "listed_on",
    "promotions": "week",
    "users": "joined_on",
    "campaigns": "starts_on",
    "assignments": "assigned_on",
}
"""The column that says when a row of the table happened; a table without one cannot be declared history."""
AHEAD_DAYS = {"users": 0, "assignments": 0, "events": 0, "promotions": 366, "campaigns": 3 * 366}
"""How many days after its landing a row may happen: what is past not at all, what is announced some."""
AT = "_at"
"""Column: where a row came from, as one number; `Landed.place` takes it apart."""
DAY = "_day"
"""Column: the day that the row's file landed by its place; null where rows name their days themselves."""
NUMBER = "_number"
"""Column: the number of the piece that a row came from."""
LINE = "_line"
"""Column that every source has beside its own: the row's place in its file, from 1."""
FILE = "_file"
"""Column that every source has beside its own: the name of its file."""


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


class Kind(StrEnum):
    """What a text in a source stands for."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


class Keep(StrEnum):
    """Which rows of the same key in one day's landing count."""

    EVERY = "every"
    FIRST = "first"
    LAST = "last"


class CustomerIds(StrEnum):
    """Whether the shop's customer ids are themselves personal (an e-mail address, a telephone number)."""

    OPAQUE = "opaque"
    PERSONAL = "personal"


class History(Part):
    """`load_history` counts a row as known from the day it happened, plus the lag; below 0: announced."""

    lag_days: int = 0


class Constant(Part):
    """The same value in every row."""

    value: str | int | float | bool | date


class Expression(Part):
    """A SQL expression over the source's columns."""

    sql: str

    @field_validator("sql")
    @classmethod
    def _is_one_expression(cls, text: str) -> str:
        columns_of(text)
        return text


class Query(Part):
    """What a database is asked; `{day}` in the query stands for the day, as a bound value."""

    connection: str = Field(description="id of an Airflow connection")
    query: str | None = None
    table: str | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> "Query":
        if (self.query is None) == (self.table is None):
            raise ValueError("must say either `query` or `table`")
        return self

    @property
    def statement(self) -> str:
        """The query, with `:day` where the day is bound."""
        if self.query is None:
            return f"SELECT * FROM {self.table}"  # noqa: S608 - the engineer's own words
        return self.query.replace("'{day}'", ":day").replace("{day}", ":day")

    @property
    def names_its_day(self) -> bool:
        """Whether the query itself asks for one day's rows."""
        return self.query is not None and "{day}" in self.query


class Source(Part):
    """Where rows of one table come from, and how they are read."""

    files: str = Field("{table}/{day}/*", description="below the landing folder, or a whole URL")
    database: Query | None = None
    day: Expression | None = Field(None, description="the day a row lands, where its place names none")
    format: Format | None = Field(None, description="else by the file's extension")
    encoding: str = "utf-8"
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', min_length=1, max_length=1)
    decimal: str = Field(".", min_length=1, max_length=1)
    thousands: str = Field("", max_length=1)
    time_zone: str = Field("UTC", description="of times that name no offset")
    dates: tuple[str, ...] = Field((), description="formats of strftime, tried in turn; else ISO")
    types: dict[str, Kind] = Field(default_factory=dict, description="source column: what its texts are")
    where: Expression | None = Field(None, description="rows of which it is not true are left out")
    columns: dict[str, str | Constant | Expression] = Field(default_factory=dict)
    event_types: dict[str, str] = Field(default_factory=dict, description="the source's word: event_type")
    keep: Keep = Keep.EVERY
    history: History | None = None

    @field_validator("day", "where", mode="before")
    @classmethod
    def _is_sql(cls, found: object) -> object:
        return {"sql": found} if isinstance(found, str) else found

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            # What is no encoding of text (such as base64) is found out only when it is used.
            "a".encode(name)
            return codecs.lookup(name).name
        except (LookupError, UnicodeError):
            raise ValueError("is no encoding; allowed are such as utf-8, windows-1252, utf-16") from None

    @field_validator("delimiter", "quote")
    @classmethod
    def _can_separate(cls, mark: str) -> str:
        if not mark.isascii() or mark.isalnum() or mark in "\r\n\0":
            raise ValueError("can be no letter, digit or line end, and nothing beyond ASCII")
        return mark

    @field_validator("decimal", "thousands")
    @classmethod
    def _can_part_digits(cls, mark: str) -> str:
        if mark.isalnum() or mark in tuple("+-?"):
            raise ValueError("can be no letter, digit or sign")
        return mark

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("is no IANA time zone; allowed are names such as Europe/Berlin")
        return name

    @field_validator("dates")
    @classmethod
    def _are_formats(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for found in formats:
            if not re.search("%[A-Za-z]", found):
                raise ValueError(f"{found!r} is no date format; allowed are such as %d/%m/%Y %H:%M")
        return formats

    @field_validator("event_types")
    @classmethod
    def _are_event_types(cls, words: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(words.values()) - set(contracts.EVENT_TYPES))
        if unknown:
            raise ValueError(f"no event type {unknown}; allowed are {', '.join(contracts.EVENT_TYPES)}")
        return words

    @model_validator(mode="after")
    def _names_its_day(self) -> "Source":
        named = self.database.names_its_day if self.database else "{day}" in self.files
        if named == (self.day is not None):
            raise ValueError(
                "must name the day once: as {day} in `files` or in the query (it stands for YYYY-MM-DD), or "
                "as `day`, an expression over the source's columns"
            )
        for one, other in (("decimal", "thousands"), ("delimiter", "quote")):
            if getattr(self, one) == getattr(self, other):
                raise ValueError(f"`{one}` and `{other}` must differ")
        return self

    @property
    def looks_at_other_rows(self) -> bool:
        """Whether an expression is a window over several rows."""
        texts = [found.sql for found in self.columns.values() if isinstance(found, Expression)]
        texts += [found.sql for found in (self.day, self.where) if found]
        return any(map(looks_at_other_rows, texts))

    def reads(self, contract: Contract) -> dict[str, str | Constant | Expression]:
        """Contract column → what fills it, for every column that a source can bring."""
        return {name: self.columns.get(name, name) for name in delivered(contract)}

    def required(self, contract: Contract) -> tuple[str, ...]:
        """The source columns without which no row could be published."""
        needed: list[str] = []
        for name, filled in self.reads(contract).items():
            if isinstance(filled, Expression) or (name in contract.required and isinstance(filled, str)):
                needed += columns_of(filled.sql) if isinstance(filled, Expression) else [str(filled)]
        for expression in (self.day, self.where):
            needed += columns_of(expression.sql) if expression else []
        needed += [*self.types, *(found for found in self.columns.values() if isinstance(found, str))]
        return tuple(dict.fromkeys(name for name in needed if name not in (LINE, FILE)))

    def used(self, contract: Contract) -> tuple[str, ...]:
        """The source columns that anything is made of."""
        plain = [found for found in self.reads(contract).values() if isinstance(found, str)]
        return tuple(dict.fromkeys([*self.required(contract), *plain]))


class Refused(Part):
    """How much of a day's landing may go to quarantine before the day fails as a whole."""

    share: float = Field(0.1, ge=0, le=1)
    rows: int = Field(20, ge=0, description="so few refused rows never fail a day, whatever their share")


class Usual(Part):
    """How a day's rows compare with the median of the same weekday before it."""

    least: float = Field(0.3, ge=0, description="times that median")
    most: float = Field(3.0, gt=0, description="times that median")
    weeks: int = Field(8, ge=1, le=52)
    known: int = Field(3, ge=1, description="judged only when so many of those weekdays have rows")
    rows: int = Field(500, ge=1, description="judged only where that median is so large: few rows vary much")


class Drift(Part):
    """How far the shares of a column's values may move from those of the days before."""

    columns: tuple[str, ...] = ()
    most: float = Field(0.5, gt=0, description="population stability index")
    days: int = Field(28, ge=1, le=366, description="the days before that it is compared with")
    rows: int = Field(1000, ge=1, description="judged only when both sides have so many rows")


class Rules(Part):
    """What a day's landing of one table must be like as a whole."""

    least_rows: int = Field(1, ge=0, description="a day that has files must bring at least so many rows")
    refused: Refused = Refused()
    usual: Usual | None = None
    nulls: dict[str, float] = Field(default_factory=dict, description="contract column: largest empty share")
    newest_within_days: int | None = Field(None, ge=0, description="between the newest row and its landing")
    drift: Drift | None = None
    accepted_days: tuple[date, ...] = Field((), description="days that may break these rules: a holiday")


class Landed(Part):
    """One table: its sources and its rules."""

    sources: dict[str, Source] = Field(default_factory=lambda: {"landing": Source()}, min_length=1)
    rules: Rules = Rules()


class Sources(Part):
    """All landed tables; one that the file does not name is read by the defaults."""

    customer_ids: CustomerIds = CustomerIds.OPAQUE
    tables: dict[str, Landed] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _speaks_of_known_tables(self) -> "Sources":
        for table, landed in self.tables.items():
            if table not in contracts.LANDED_TABLES:
                raise ValueError(
                    f"tables.{table}: no such table; allowed are {', '.join(contracts.LANDED_TABLES)}"
                )
            contract = contracts.CONTRACTS[table]
            for key, columns in _named_columns(landed):
                unknown = sorted(set(columns) - set(delivered(contract)))
                if unknown:
                    raise ValueError(
                        f"tables.{table}.{key}: no column {unknown}; "
                        f"allowed are {', '.join(delivered(contract))}"
                    )
            for name, source in landed.sources.items():
                if source.history is not None and table not in OCCURRENCE:
                    raise ValueError(
                        f"tables.{table}.sources.{name}.history: its rows do not say when they happened"
                    )
                earliest = -AHEAD_DAYS.get(table, 0)
                if source.history is not None and source.history.lag_days < earliest:
                    raise ValueError(
                        f"tables.{table}.sources.{name}.history.lag_days: found {source.history.lag_days}; "
                        f"allowed are {earliest} and more"
                    )
                if source.event_types and table != "events":
                    raise ValueError(f"tables.{table}.sources.{name}.event_types: only events have a type")
        return self

    def of(self, table: str) -> Landed:
        """What is declared of the table, else the defaults."""
        return self.tables.get(table, Landed())

    @property
    def connections(self) -> tuple[str, ...]:
        """The ids of the Airflow connections that any source asks."""
        asked = [source.database for landed in self.tables.values() for source in landed.sources.values()]
        return tuple(sorted({query.connection for query in asked if query}))


def delivered(contract: Contract) -> tuple[str, ...]:
    """The contract's columns that sources bring; ingestion itself stamps the others."""
    stamped = {"known_on", contract.partition}
    return tuple(name for name in contract.schema.names if name not in stamped)


def read_sources() -> Sources:
    """The declarations of the settings' folder.

    Raises:
        ConfigError: the file is wrong; the message says which key, what was found, what is allowed.
    """
    return load("sources", Sources)


def _named_columns(landed: Landed) -> list[tuple[str, tuple[str, ...]]]:
    """Wherever the declaration names contract columns: (key, columns)."""
    drift = landed.rules.drift.columns if landed.rules.drift else ()
    sources = [(f"sources.{name}.columns", tuple(source.columns)) for name, source in landed.sources.items()]
    return [*sources, ("rules.nulls", tuple(landed.rules.nulls)), ("rules.drift.columns", drift)]
