import json
import multiprocessing

import numpy as np
import pytest

from perennial.embeddings import pipeline
from perennial.foundation.embedding_spaces import ENCODER, embedding_settings, in_force
from perennial.foundation.encoder import Encoder
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import model_log
from tests.embeddings.catalogue import MONDAY, TUESDAY, land

DAY, NEXT = str(MONDAY), str(TUESDAY)


def test_each_different_text_is_encoded_once_and_then_nothing_is_missing(lake: Lake):
    shards = pipeline.plan(DAY)
    assert [shard["tokens"] >= 25 for shard in shards[:-1]] == [True] * 3
    assert shards == pipeline.plan(DAY)
    assert len(json.dumps(shards)) < 250 * len(shards)
    assert sum(pipeline.encode_shard(shard, DAY) for shard in shards) == 20
    version = lake.version("item_embeddings")
    assert pipeline.plan(DAY) == []
    assert [pipeline.encode_shard(shard, DAY) for shard in shards] == [0] * len(shards)
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


def test_who_looks_back_finds_a_vector_for_what_an_item_said_then(lake: Lake):
    land(lake, TUESDAY, [(f"i{n}", "Now all the same") for n in range(40)])
    assert pipeline.embed(NEXT) == 21


def test_the_first_day_puts_in_force_what_embeddings_yaml_starts_with_and_no_other_does(lake: Lake):
    pipeline.plan(NEXT)
    pipeline.plan(NEXT)
    pipeline.plan(DAY)
    (row,) = model_log.records(lake, ENCODER)
    assert (row.day, row.change, row.verdict) == (TUESDAY, 1, "promoted")
    assert in_force(lake, MONDAY) == in_force(lake, TUESDAY) == embedding_settings().start


def test_two_shards_at_once_from_two_processes_both_succeed(lake: Lake):
    shards = pipeline.plan(DAY)
    # The same shard twice as well: a task that was thought dead may still be writing.
    work = [(shard, DAY) for shard in (*shards, shards[0])]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        done = pool.starmap(pipeline.encode_shard, work, chunksize=1)
    assert sum(done[: len(shards)]) == 20
    found = lake.read("item_embeddings").text_hash.to_pyarrow().to_pylist()
    assert len(found) == len(set(found)) == 20


def test_a_shard_that_dies_before_it_is_written_is_all_that_is_lost(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
):
    shards, encoded = pipeline.plan(DAY), []
    encode, add = Encoder.encode, Lake.add

    def counted(self: Encoder, texts: list[str]) -> np.ndarray:
        encoded.extend(texts)
        return encode(self, texts)

    def killed(self: Lake, name: str, rows: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Encoder, "encode", counted)
    pipeline.encode_shard(shards[0], DAY)
    with monkeypatch.context() as dying:
        dying.setattr(Lake, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            pipeline.encode_shard(shards[1], DAY)
    assert pipeline.plan(DAY) == shards[1:]
    pipeline.embed(DAY)
    assert lake.add.__func__ is add
    assert len(encoded) == 20 + shards[1]["texts"]
