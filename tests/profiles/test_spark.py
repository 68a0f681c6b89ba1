"""The same profiles, computed by DuckDB and by Spark."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.settings import EngineName
from perennial.profiles import pipeline
from tests import spark
from tests.content import differences
from tests.profiles.conftest import land
from tests.profiles.tables import day, event, noon

pytestmark = spark.needed


@pytest.fixture
def compute_with(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[spark.Compute]:
    """From now on this engine computes, in a lake of its own."""
    yield from spark.computing(shop, monkeypatch)


def test_profiles_are_the_same_on_spark_as_on_duckdb(busy: Lake, shop: Path, compute_with: spark.Compute):
    again = event(40, "a3", revenue=700, occurred_at=noon(3))
    back = event(40, "back", event_type="return", order_id="a1", revenue=-1)
    land(busy, "events", event(40, "c140", revenue=5), again, back)
    lakes = []
    for name in EngineName:
        shutil.copytree(busy.uri, shop / name / "lake")
        compute_with(name)
        lakes.append(open_lake())
        assert pipeline.build(str(day(40))) == 3
    compute_with(EngineName.DUCKDB)
    assert differences(*lakes, ["profiles"]) == []
