"""Tests that compute the same on DuckDB and on Spark, which needs requirements-spark.txt and a JVM."""

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from perennial.foundation import engine
from perennial.foundation.settings import EngineName
from tests.conftest import forget

Compute = Callable[[EngineName], None]
INSTALLED = find_spec("pyspark") is not None and shutil.which("java") is not None
needed = pytest.mark.skipif(
    not INSTALLED, reason="Spark is not installed: it needs requirements-spark.txt and a JVM"
)
_SMALL = (
    "spark.master=local[2]",
    "spark.ui.enabled=false",
    "spark.log.level=ERROR",
    "spark.sql.shuffle.partitions=1",
    "spark.sql.sources.parallelPartitionDiscovery.threshold=1000",
    "spark.sql.adaptive.enabled=false",
    "spark.sql.codegen.wholeStage=false",
    "spark.sql.codegen.factoryMode=NO_CODEGEN",
    "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1",
)
"""What Spark is told where a handful of rows is all there is: by itself it prepares for millions."""


def computing(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compute]:
    """What makes an engine compute from now on, in a lake, a vault and reports of its own; for fixtures."""

    def turn(name: EngineName) -> None:
        monkeypatch.setenv("PERENNIAL_ENGINE", name)
        for place in ("lake", "vault", "reports"):
            monkeypatch.setenv(f"PERENNIAL_{place.upper()}", str(shop / name / place))
        monkeypatch.setenv("PERENNIAL_LEDGER", f"sqlite:///{shop / name}.db")
        _forget_engine()

    options = (f"--conf {each}" for each in _SMALL)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", " ".join([*options, "pyspark-shell"]))
    yield turn
    monkeypatch.undo()
    _forget_engine()


def _forget_engine() -> None:
    forget()
    engine.connect.cache_clear()
    engine.errors.cache_clear()
