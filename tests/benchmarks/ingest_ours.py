"""Ours: `load_history` from the landing files to the lake, into a lake that knows items and customers."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from perennial.demo.environment import CONFIG
from perennial.foundation import contracts
from perennial.foundation.settings import settings
from perennial.ingestion import pipeline, suites
from tests.benchmarks import ingest_landing
from tests.benchmarks.ingest_landing import BEFORE

_NEWEST_WITHIN = 31
"""Days; one file a month lands on the month's last day."""
_LEAST_USUAL = 0.1
"""The data ends at four in the morning of its last day, with 0.14 of what is usual."""


def prepare(table: str, folder: Path) -> tuple[Callable[[], object], Callable[[], int]]:
    """What to do before each run (a lake of items and customers only), and the run: the rows refused."""
    for place in ("lake", "vault", "reports"):
        os.environ[f"PERENNIAL_{place.upper()}"] = str(folder / place)
    os.environ["PERENNIAL_LANDING"] = str(folder / "landing")
    os.environ["PERENNIAL_LEDGER"] = f"sqlite:///{folder}/ledger.db"
    os.environ["PERENNIAL_CONFIG"] = str(_declare(folder))
    settings.cache_clear()
    pipeline.load_history(str(BEFORE), str(BEFORE))
    (folder / "lake").rename(folder / "lake_before")
    days = [path.parent.name for path in ingest_landing.files(folder / "landing", table)]

    def load() -> int:
        found = pipeline.load_history(days[0], days[-1])[table]
        return found["quarantined"] if isinstance(found, dict) else 0

    return partial(_restore, folder), load


def count_expectations(table: str) -> int:
    """How many row rules judge the table."""
    return len(suites.row_suite(contracts.CONTRACTS[table]).expectations)


def _declare(folder: Path) -> Path:
    """The demo's declarations, all its rules among them, in a folder of their own."""
    made = shutil.copytree(CONFIG, folder / "config")
    declared = yaml.safe_load((made / "sources.yaml").read_text())
    rules = declared["tables"]["events"]["rules"]
    rules["usual"]["least"] = _LEAST_USUAL
    rules["newest_within_days"] = _NEWEST_WITHIN
    (made / "sources.yaml").write_text(yaml.safe_dump(declared))
    return made


def _restore(folder: Path) -> None:
    shutil.rmtree(folder / "lake", ignore_errors=True)
    shutil.copytree(folder / "lake_before", folder / "lake")
