"""The benchmarks themselves, at a size that takes no time, so that they cannot rot."""

from pathlib import Path

import pytest

from perennial.demo.environment import CONFIG
from tests.benchmarks import (
    bench,
    ingest,
    ingest_duckdb,
    ingest_landing,
    ingest_ours,
    ingest_pandas,
    lake,
    profiles,
    profiles_floor,
    profiles_ours,
    profiles_pandas,
    profiles_shop,
    profiles_sql,
)
from tests.benchmarks.ingest_landing import DAILY, WEEKLY
from tests.conftest import forget


def test_a_benchmark_compares_with_a_peer_and_a_floor():
    results = list(lake.run((200, 2000)))
    assert [result.size for result in results] == [200, 2000]
    for result in results:
        assert result.ours_s > 0
        assert result.ratio == result.peer_s / result.ours_s
        assert result.of_floor == result.ours_s / result.floor_s
    assert -1 < bench.growth(results) < 2


def test_a_landing_is_taken_in_by_ours_the_peer_and_the_floor_in_processes_of_their_own():
    (result,) = ingest.over(DAILY, (1,))
    assert result.size > 1000
    assert result.rows_per_s == pytest.approx(result.size / result.ours_s)
    assert result.peak_mb > 100
    assert result.ratio > 0
    assert result.of_floor > 0


def test_the_peer_sets_the_same_repeated_promotions_aside_as_the_floor_counts(tmp_path: Path):
    landing = tmp_path / "landing"
    ingest_landing.write_references(landing)
    assert WEEKLY.write(landing, share=0) > 300_000
    aside = [way.prepare("promotions", tmp_path)[1]() for way in (ingest_pandas, ingest_duckdb)]
    assert aside == [96, 96]


def test_every_way_judges_each_table_by_at_least_ten_expectations():
    for table in ("events", "promotions"):
        assert ingest_ours.count_expectations(table) >= 10
        assert len(ingest_pandas.suite(table).expectations) >= 10
        assert ingest_duckdb.count_expectations(table) >= 10


def test_profiles_by_sql_and_by_pandas_are_ours(shop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENNIAL_CONFIG", str(CONFIG))
    forget()
    events = profiles_shop.build(shop / "lake", copies=2, every=100)
    assert events > 10_000
    out = shop / "profiles.parquet"
    profiles_ours.draw(shop / "lake", out)
    for way in (profiles_sql, profiles_pandas):
        way.draw(shop / "lake", out)
        assert profiles.differing(shop / "lake", out) == []
    profiles_floor.draw(shop / "lake", out)
