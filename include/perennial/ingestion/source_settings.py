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
"""The column that says when a row of the table happened. A table without one cannot have `history`."""
AHEAD_DAYS = {"users": 0, "assignments": 0, "events": 0, "promotions": 366, "campaigns": 3 * 366}
"""The most days between the landing of a row and its own day: 0 for the past, more for what is announced."""
AT = "_at"
"""Column: the piece and the line of a row as one number; `Landed.place` decodes it."""
DAY = "_day"
"""Column: the day in the path of the row's file; null where the rows name their own day."""
NUMBER = "_number"
"""Column: the number of the piece that a row came from."""
LINE = "_line"
"""Column that is added to every source: the row's number in its file, from 1."""
FILE = "_file"
"""Column that is added to every source: the name of its file."""


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


class Kind(StrEnum):
    """The type that the texts of a source column are read as."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


class Keep(StrEnum):
    """Which of the rows with the same key in one day's landing are kept."""

    EVERY = "every"
    FIRST = "first"
    LAST = "last"


class CustomerIds(StrEnum):
    """Whether the shop's customer ids are personal (an e-mail address, a telephone number)."""

    OPAQUE = "opaque"
    PERSONAL = "personal"


class History(Part):
    """`load_history` counts a row as known from its own day plus the lag; a lag below 0: announced before."""

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
    """A query or a table of a database. `{day}` in the query stands for the day, as a bound value."""

    connection: str = Field(description="id of an Airflow connection")
    query: str | None = None
    table: str | None = None

    @model_validator(mode="after")
    def _has_query_or_table(self) -> "Query":
        if (self.query is None) == (self.table is None):
            raise ValueError("must say either `query` or `table`")
        return self

    @property
    def statement(self) -> str:
        """The query, with `:day` where the day is bound."""
        if self.query is None:
            return f"SELECT * FROM {self.table}"  # noqa: S608 - from the shop's own settings
        return self.query.replace("'{day}'", ":day").replace("{day}", ":day")

    @property
    def names_its_day(self) -> bool:
        """Whether the query contains `{day}`."""
        return self.query is not None and "{day}" in self.query


class Source(Part):
    """Where rows of a table come from, and how they are read."""

    files: str = Field("{table}/{day}/*", description="in the landing folder, or a whole URL")
    database: Query | None = None
    day: Expression | None = Field(None, description="the day a row lands, if the path names none")
    format: Format | None = Field(None, description="default: by the file's extension")
    encoding: str = "utf-8"
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', min_length=1, max_length=1)
    decimal: str = Field(".", min_length=1, max_length=1)
    thousands: str = Field("", max_length=1)
    time_zone: str = Field("UTC", description="of times without an offset")
    dates: tuple[str, ...] = Field((), description="strftime formats, tried in order, then ISO")
    types: dict[str, Kind] = Field(default_factory=dict, description="source column: the type of its texts")
    where: Expression | None = Field(None, description="rows for which it is not true are left out")
    columns: dict[str, str | Constant | Expression] = Field(default_factory=dict)
    event_types: dict[str, str] = Field(default_factory=dict, description="the source's value: event_type")
    keep: Keep = Keep.EVERY
    history: History | None = None

    @field_validator("day", "where", mode="before")
    @classmethod
    def _is_sql(cls, value: object) -> object:
        return {"sql": value} if isinstance(value, str) else value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            # An encoding that is not for text (such as base64) fails only when it is used.
            "a".encode(name)
            return codecs.lookup(name).name
        except (LookupError, UnicodeError):
            raise ValueError(
                "is no encoding; allowed are names such as utf-8, windows-1252, utf-16"
            ) from None

    @field_validator("delimiter", "quote")
    @classmethod
    def _can_separate(cls, mark: str) -> str:
        if not mark.isascii() or mark.isalnum() or mark in "\r\n\0":
            raise ValueError("must be an ASCII character, and no letter, digit or line end")
        return mark

    @field_validator("decimal", "thousands")
    @classmethod
    def _can_part_digits(cls, mark: str) -> str:
        if mark.isalnum() or mark in tuple("+-?"):
            raise ValueError("must be no letter, digit, sign or question mark")
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
        for date_format in formats:
            if not re.search("%[A-Za-z]", date_format):
                raise ValueError(
                    f"{date_format!r} is no date format; allowed are formats such as %d/%m/%Y %H:%M"
                )
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
        for first, second in (("decimal", "thousands"), ("delimiter", "quote")):
            if getattr(self, first) == getattr(self, second):
                raise ValueError(f"`{first}` and `{second}` must differ")
        return self

    @property
    def looks_at_other_rows(self) -> bool:
        """Whether an expression reads several rows (a window function)."""
        texts = [origin.sql for origin in self.columns.values() if isinstance(origin, Expression)]
        texts += [expression.sql for expression in (self.day, self.where) if expression]
        return any(map(looks_at_other_rows, texts))

    def reads(self, contract: Contract) -> dict[str, str | Constant | Expression]:
        """Contract column → the source column, constant or expression that fills it."""
        return {name: self.columns.get(name, name) for name in delivered(contract)}

    def required(self, contract: Contract) -> tuple[str, ...]:
        """The source columns without which no row could be published."""
        needed: list[str] = []
        for name, origin in self.reads(contract).items():
            if isinstance(origin, Expression) or (name in contract.required and isinstance(origin, str)):
                needed += columns_of(origin.sql) if isinstance(origin, Expression) else [str(origin)]
        for expression in (self.day, self.where):
            needed += columns_of(expression.sql) if expression else []
        needed += [*self.types, *(origin for origin in self.columns.values() if isinstance(origin, str))]
        return tuple(dict.fromkeys(name for name in needed if name not in (LINE, FILE)))

    def used(self, contract: Contract) -> tuple[str, ...]:
        """The source columns that contract columns are made of."""
        by_name = [origin for origin in self.reads(contract).values() if isinstance(origin, str)]
        return tuple(dict.fromkeys([*self.required(contract), *by_name]))


class Refused(Part):
    """How many rows of a day's landing may go to quarantine before the whole day fails."""

    share: float = Field(0.1, ge=0, le=1)
    rows: int = Field(20, ge=0, description="this many refused rows never fail a day, whatever their share")


class Usual(Part):
    """The allowed number of rows of a day, in multiples of the median of earlier same weekdays."""

    least: float = Field(0.3, ge=0, description="multiple of the median")
    most: float = Field(3.0, gt=0, description="multiple of the median")
    weeks: int = Field(8, ge=1, le=52)
    known: int = Field(3, ge=1, description="checked only if at least this many of these weekdays have rows")
    rows: int = Field(
        500, ge=1, description="checked only if the median is at least this: few rows vary much"
    )


class Drift(Part):
    """How much the shares of a column's values may differ from those of the days before."""

    columns: tuple[str, ...] = ()
    most: float = Field(0.5, gt=0, description="population stability index")
    days: int = Field(28, ge=1, le=366, description="number of earlier days to compare with")
    rows: int = Field(1000, ge=1, description="checked only if both sides have at least this many rows")


class Rules(Part):
    """The landing rules of a table: what a day's landing must be like as a whole."""

    least_rows: int = Field(1, ge=0, description="a day with files must have at least this many rows")
    refused: Refused = Refused()
    usual: Usual | None = None
    nulls: dict[str, float] = Field(
        default_factory=dict, description="contract column: largest share of nulls"
    )
    newest_within_days: int | None = Field(None, ge=0, description="days from the newest row to its landing")
    drift: Drift | None = None
    accepted_days: tuple[date, ...] = Field(
        (), description="days that may break these rules, such as holidays"
    )


class TableSettings(Part):
    """The sources and the landing rules of a table."""

    sources: dict[str, Source] = Field(default_factory=lambda: {"landing": Source()}, min_length=1)
    rules: Rules = Rules()


class Sources(Part):
    """The settings of all landed tables; a table that the file does not name has the defaults."""

    customer_ids: CustomerIds = CustomerIds.OPAQUE
    tables: dict[str, TableSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_known_tables(self) -> "Sources":
        for table, table_settings in self.tables.items():
            if table not in contracts.LANDED_TABLES:
                raise ValueError(
                    f"tables.{table}: no such table; allowed are {', '.join(contracts.LANDED_TABLES)}"
                )
            contract = contracts.CONTRACTS[table]
            for key, columns in _named_columns(table_settings):
                unknown = sorted(set(columns) - set(delivered(contract)))
                if unknown:
                    raise ValueError(
                        f"tables.{table}.{key}: no column {unknown}; "
                        f"allowed are {', '.join(delivered(contract))}"
                    )
            for name, source in table_settings.sources.items():
                if source.history is not None and table not in OCCURRENCE:
                    raise ValueError(
                        f"tables.{table}.sources.{name}.history: rows of this table have no date; "
                        "leave `history` out"
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

    def of(self, table: str) -> TableSettings:
        """The table's settings, or the defaults."""
        return self.tables.get(table, TableSettings())

    @property
    def connections(self) -> tuple[str, ...]:
        """The ids of the Airflow connections that the sources use."""
        queries = [source.database for table in self.tables.values() for source in table.sources.values()]
        return tuple(sorted({query.connection for query in queries if query}))


def delivered(contract: Contract) -> tuple[str, ...]:
    """The contract's columns that sources fill; ingestion fills the others."""
    stamped = {"known_on", contract.partition}
    return tuple(name for name in contract.schema.names if name not in stamped)


def read_sources() -> Sources:
    """Read `sources.yaml` from the settings' folder.

    Raises:
        ConfigError: the file is wrong; the message names the key, what was found and what is allowed.
    """
    return load("sources", Sources)


def _named_columns(table_settings: TableSettings) -> list[tuple[str, tuple[str, ...]]]:
    """(key, columns) for every key whose value names contract columns."""
    drift = table_settings.rules.drift.columns if table_settings.rules.drift else ()
    sources = [
        (f"sources.{name}.columns", tuple(source.columns)) for name, source in table_settings.sources.items()
    ]
    return [*sources, ("rules.nulls", tuple(table_settings.rules.nulls)), ("rules.drift.columns", drift)]
