from itertools import accumulate, chain

import ibis
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.embeddings.shards import Shard, plan

COUNTS = st.lists(st.integers(2, 256), min_size=1, max_size=80)


def codes(counts: list[int]) -> list[str]:
    return [f"{n:03}" for n in range(len(counts))]


def in_batches(counts: list[int], rows: int) -> list[tuple[list[str], list[int]]]:
    named = codes(counts)
    return [(named[at : at + rows], counts[at : at + rows]) for at in range(0, len(counts), rows)]


@settings(max_examples=50, deadline=None)
@given(COUNTS, st.integers(1, 2000), st.integers(1, 90))
def test_a_shard_ends_with_the_text_that_fills_it(counts: list[int], tokens: int, rows: int):
    shards = list(plan(in_batches(counts, rows), tokens))
    texts = ibis.memtable(pa.table({"text_hash": codes(counts)}))
    held = [sorted(shard.of(texts).text_hash.to_pyarrow().to_pylist()) for shard in shards]
    assert list(chain.from_iterable(held)) == codes(counts)
    for number, (shard, stretch) in enumerate(zip(shards, held, strict=True)):
        work = list(accumulate(counts[int(code)] for code in stretch))
        assert (shard.texts, shard.tokens) == (len(stretch), work[-1])
        assert work[-1] >= tokens or number == len(shards) - 1
        assert all(less < tokens for less in work[:-1])


def test_nothing_missing_makes_no_shards():
    assert list(plan([], 10)) == []
    assert list(plan([([], [])], 10)) == []


def test_a_shard_travels_as_what_it_is_made_of_again():
    found = next(plan(in_batches([5, 5, 5, 5], 3), 10))
    assert found.as_dict() == {"first": "000", "last": "001", "texts": 2, "tokens": 10}
    assert Shard(**found.as_dict()) == found
