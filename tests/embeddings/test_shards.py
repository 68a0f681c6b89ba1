from itertools import chain

import ibis
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.embeddings.shards import Shard, plan

LENGTHS = st.lists(st.integers(0, 400), min_size=1, max_size=80)


def missing(lengths: list[int]) -> ibis.Table:
    columns = {"text_hash": [f"{n:03}" for n in range(len(lengths))], "text": ["x" * n for n in lengths]}
    return ibis.memtable(pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns])))


@settings(max_examples=25, deadline=None)
@given(LENGTHS, st.integers(1, 30))
def test_shards_hold_every_text_once_and_about_the_same_work(lengths: list[int], texts_per_shard: int):
    texts = missing(lengths)
    shards = plan(texts, texts_per_shard)
    held = [shard.of(texts).text_hash.to_pyarrow().to_pylist() for shard in shards]
    assert sorted(chain.from_iterable(held)) == texts.text_hash.to_pyarrow().to_pylist()
    wanted = -(-len(lengths) // texts_per_shard)
    assert len(shards) <= wanted
    total = sum(lengths) + len(lengths)
    for codes in held:
        assert sum(lengths[int(code)] + 1 for code in codes) <= total / wanted + max(lengths) + 1


def test_nothing_missing_makes_no_shards():
    assert plan(missing([]), 10) == []


def test_a_shard_is_two_hashes():
    assert plan(missing([5, 5, 5, 5]), 2)[0].as_dict() == {"first": "000", "last": "001"}
    assert Shard(**{"first": "a", "last": "b"}).as_dict() == {"first": "a", "last": "b"}
