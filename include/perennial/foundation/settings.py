"""The environment, read once into a frozen object. Every setting is a variable `PERENNIAL_<NAME>`."""

import os
from enum import StrEnum
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_INCLUDE = Path(__file__).resolve().parents[2]


class EngineName(StrEnum):
    """Where tabular work runs."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class WhenNothingLanded(StrEnum):
    """What a day without landing files does."""

    WAIT = "wait"
    SKIP = "skip"


class Settings(BaseSettings):
    """Where things are and how much of the machine a task may use. Frozen: nothing changes it in flight."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True)

    lake: str = Field(".perennial/lake", description="folder or URL (s3://, gs://, abfss://) of the tables")
    landing: str = Field(".perennial/landing", description="folder the shop's systems drop files in")
    reports: Path = Field(Path(".perennial/reports"), description="folder of the published pages")
    ledger: str = Field("sqlite:///.perennial/ledger.db", description="SQLAlchemy URL of the small database")
    config: Path = Field(_INCLUDE / "config", description="folder of the YAML files that people edit")
    engine: EngineName = EngineName.DUCKDB
    shop_time_zone: str = Field("UTC", description="a day ends at midnight here")
    when_nothing_landed: WhenNothingLanded = WhenNothingLanded.SKIP
    threads: int = Field(os.cpu_count() or 1, ge=1, description="cores one task may use")

    @field_validator("shop_time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name!r} is no IANA time zone; allowed are names such as 'Europe/Berlin'")
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.shop_time_zone)


@cache
def settings() -> Settings:
    """The settings of this process. Tests that change the environment call `settings.cache_clear()`."""
    return Settings()
