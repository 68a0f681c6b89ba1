"""The environment, read once into a frozen object. Every setting is a variable `PERENNIAL_<NAME>`."""

import os
from enum import StrEnum
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "config"
"""The folder of the YAML files with the defaults for any shop."""
_KEY_CHARACTERS = 32
_CASES_A_THREAD = 100_000


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

    # A refused value is not shown: it may be the key.
    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True, hide_input_in_errors=True)

    lake: str = Field(".perennial/lake", description="folder or URL (s3://, gs://, abfss://) of the tables")
    vault: str = Field(".perennial/vault", description="folder or URL of the contact vault, outside the lake")
    pseudonym_key: SecretStr | None = Field(
        None, description="makes pseudonyms out of contact data; one that changes makes all of them anew"
    )
    landing: str = Field(".perennial/landing", description="folder the shop's systems drop files in")
    staging: Path = Field(
        Path(".perennial/staging"), description="folder for half-read landing files; only the process user's"
    )
    reports: Path = Field(Path(".perennial/reports"), description="folder of the published pages")
    ledger: str = Field("sqlite:///.perennial/ledger.db", description="SQLAlchemy URL of the small database")
    config: Path = Field(
        DEFAULT_CONFIG,
        description="folder of the YAML files that people edit; a missing file is read from include/config",
    )
    engine: EngineName = EngineName.DUCKDB
    shop_time_zone: str = Field("UTC", description="a day ends at midnight here")
    when_nothing_landed: WhenNothingLanded = WhenNothingLanded.SKIP
    landing_deadline_hours: float = Field(3, gt=0, description="an alert so long after a run began")
    landing_patience_hours: float = Field(12, gt=0, description="after so long a waiting day fails")
    threads: int = Field(os.cpu_count() or 1, ge=1, description="cores one task may use")
    memory_mb: int = Field(
        1024, ge=64, description="memory one task's engine may use before it spills to disk"
    )

    @field_validator("config", mode="before")
    @classmethod
    def _empty_is_unset(cls, folder: object) -> object:
        return folder or DEFAULT_CONFIG

    @field_validator("shop_time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name!r} is no IANA time zone; allowed are names such as 'Europe/Berlin'")
        return name

    @field_validator("pseudonym_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < _KEY_CHARACTERS:
            found = f"it has {len(key.get_secret_value())} characters"
            raise ValueError(f"{found}; at least {_KEY_CHARACTERS} random ones are needed")
        return key

    @model_validator(mode="after")
    def _vault_apart(self) -> "Settings":
        vault = Path(self.vault)
        others = {"lake": Path(self.lake), "landing": Path(self.landing), "reports": self.reports}
        for name, folder in others.items():
            if vault.is_relative_to(folder):
                raise ValueError(f"vault: {vault} lies in the {name} folder {folder}; it must lie outside")
        return self

    @model_validator(mode="after")
    def _alert_before_failure(self) -> "Settings":
        if self.landing_deadline_hours >= self.landing_patience_hours:
            raise ValueError(
                f"found landing_deadline_hours {self.landing_deadline_hours:g} and landing_patience_hours "
                f"{self.landing_patience_hours:g}; allowed is an alert before the day fails"
            )
        return self

    @property
    def key(self) -> bytes | None:
        """What pseudonyms are made with; None where the shop has set no key."""
        return None if self.pseudonym_key is None else self.pseudonym_key.get_secret_value().encode()

    def threads_for(self, cases: int) -> int:
        """How many threads are worth it for boosted trees over so many cases.

        Threads that have too little to do only wait for one another, for seconds on a busy machine.
        """
        return max(1, min(self.threads, cases // _CASES_A_THREAD))

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.shop_time_zone)


@cache
def settings() -> Settings:
    """The settings of this process. Tests that change the environment call `settings.cache_clear()`."""
    return Settings()
