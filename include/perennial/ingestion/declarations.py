"""What `include/config/sources.yaml` may say of the landing files of each table."""

from pydantic import Field, field_validator, model_validator

from perennial.foundation import contracts
from perennial.foundation.config import Part, load
from perennial.foundation.contracts import Contract

OCCURRENCE = {
    "events": "occurred_at",
    "users": "joined_on",
    "campaigns": "starts_on",
    "assignments": "assigned_on",
}
"""The column that says when a row of the table happened; a table without one cannot be declared history."""


class History(Part):
    """`load_history` counts a row as known from the day it happened, plus the lag."""

    lag_days: int = Field(0, ge=0)


class Refused(Part):
    """How much of a day's landing may go to quarantine before the day fails as a whole."""

    share: float = Field(0.1, ge=0, le=1)
    rows: int = Field(20, ge=0, description="so few refused rows never fail a day, whatever their share")


class Source(Part):
    """The landing files of one table."""

    files: str = "{table}/{day}/*"
    columns: dict[str, str] = Field(default_factory=dict, description="contract column: column in the files")
    history: History | None = None
    least_rows: int = Field(1, ge=0, description="a day that has files must bring at least so many rows")
    refused: Refused = Refused()

    @field_validator("files")
    @classmethod
    def _names_its_day(cls, pattern: str) -> str:
        if pattern.count("{day}") != 1:
            raise ValueError("must name the day once, as {day}, which stands for YYYY-MM-DD")
        return pattern


class Sources(Part):
    """All landed tables; one that the file does not name is read by the defaults."""

    tables: dict[str, Source] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _speaks_of_known_tables(self) -> "Sources":
        for table, source in self.tables.items():
            if table not in contracts.LANDED_TABLES:
                raise ValueError(
                    f"tables.{table}: no such table; allowed are {', '.join(contracts.LANDED_TABLES)}"
                )
            allowed = delivered(contracts.CONTRACTS[table])
            unknown = sorted(set(source.columns) - set(allowed))
            if unknown:
                raise ValueError(
                    f"tables.{table}.columns: no column {unknown}; allowed are {', '.join(allowed)}"
                )
            if source.history is not None and table not in OCCURRENCE:
                raise ValueError(f"tables.{table}.history: its rows do not say when they happened")
        return self

    def of(self, table: str) -> Source:
        """What is declared of the table, else the defaults."""
        return self.tables.get(table, Source())


def delivered(contract: Contract) -> tuple[str, ...]:
    """The contract's columns that files bring; ingestion itself stamps the others."""
    stamped = {"known_on", contract.partition}
    return tuple(name for name in contract.schema.names if name not in stamped)


def column_names(contract: Contract, source: Source) -> dict[str, str]:
    """Contract column → column in the files, for every column that files bring."""
    return {name: source.columns.get(name, name) for name in delivered(contract)}


def read_sources() -> Sources:
    """The declarations of the settings' folder.

    Raises:
        ConfigError: the file is wrong; the message says which key, what was found, what is allowed.
    """
    return load("sources", Sources)
