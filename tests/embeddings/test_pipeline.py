import json
import multiprocessing
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from perennial.embeddings import pipeline
from perennial.foundation import contracts, settings
from perennial.foundation.lake import Lake, open_lake

MONDAY = date(2017, 12, 4)
TUESDAY = MONDAY + timedelta(days=1)
DAY, NEXT = str(MONDAY), str(TUESDAY)


@pytest.fixture
def lake(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A catalogue of 40 items with 20 different texts, and shards of about five texts."""
    config = shop / "config"
    shutil.copytree(settings.settings().config, config)
    found = yaml.safe_load((config / "embeddings.yaml").read_text())
    (config / "embeddings.yaml").write_text(yaml.safe_dump(found | {"texts_per_shard": 5}))
    monkeypatch.setenv("PERENNIAL_CONFIG", str(config))
    settings.settings.cache_clear()
    lake = open_lake()
    land(lake, MONDAY, [(f"i{n}", f"Soup number {n % 20}") for n in range(40)])
    return lake


def land(lake: Lake, day: date, titles: list[tuple[str, str]]) -> None:
    rows = [
        {"item_id": item, "valid_from": day, "title": title, "available": True, "known_on": day}
        for item, title in titles
    ]
    complete = [{name: row.get(name) for name in contracts.ITEMS.schema.names} for row in rows]
    lake.replace("items", pa.Table.from_pylist(complete, schema=contracts.ITEMS.schema), day)


def test_each_different_text_is_encoded_once_and_then_nothing_is_missing(lake: Lake):
    shards = pipeline.plan(DAY)
    assert len(shards) == 4
    assert shards == pipeline.plan(DAY)
    assert len(json.dumps(shards)) < 200 * len(shards)
    assert sum(pipeline.encode_shard(shard, DAY) for shard in shards) == 20
    version = lake.version("item_embeddings")
    assert pipeline.plan(DAY) == []
    assert [pipeline.encode_shard(shard, DAY) for shard in shards] == [0] * 4
    assert lake.version("item_embeddings") == version
    vectors = np.array(lake.read("item_embeddings").vector.to_pyarrow().to_pylist())
    assert vectors.shape == (20, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(20), abs=1e-5)


def test_a_changed_item_costs_one_text_and_a_later_change_is_not_known_yet(lake: Lake):
    pipeline.embed(DAY)
    land(lake, TUESDAY, [("i1", "Something else"), ("i2", "Soup number 7")])
    assert pipeline.embed(DAY) == 0
    assert pipeline.embed(NEXT) == 1
    assert set(lake.read("item_embeddings").text.to_pyarrow().to_pylist()) == {
        "Something else",
        *(f"Soup number {n}" for n in range(20)),
    }


def test_two_shards_at_once_from_two_processes_both_succeed(lake: Lake):
    shards = pipeline.plan(DAY)
    # The same shard twice as well: a task that was thought dead may still be writing.
    work = [(shard, DAY) for shard in (*shards, shards[0])]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        done = pool.starmap(pipeline.encode_shard, work, chunksize=1)
    assert sum(done[:4]) == 20
    found = lake.read("item_embeddings").text_hash.to_pyarrow().to_pylist()
    assert len(found) == len(set(found)) == 20
