import ibis
import numpy as np
import pyarrow as pa

from perennial.foundation.contracts import VECTOR
from perennial.profiles import history

HASHES = ["a", "b"]
HELD = pa.table({"text_hash": ["b", "a"], "vector": pa.array([[0.0, 1.0], [1.0, 0.0]], VECTOR)})
TEXTS = pa.table({"item": [0, 1, 2, 3], "text_hash": ["a", "b", "b", "unknown"]})


def means(*cells: tuple[int, int, int], held: pa.Table = HELD) -> dict[int, list[float]]:
    names = ("customer", "item", "weight")
    schema = pa.schema([(name, pa.int64()) for name in names])
    weights = pa.Table.from_pylist([dict(zip(names, cell, strict=True)) for cell in cells], schema)
    known = history.text_vectors(ibis.memtable(held))
    found = history.vectors(ibis.memtable(weights), ibis.memtable(TEXTS), known)
    assert found.schema.field("vector").type == VECTOR
    return dict(zip(found["customer"].to_pylist(), found["vector"].to_pylist(), strict=True))


def test_vectors_of_texts_are_in_the_order_of_their_hashes():
    known = history.text_vectors(ibis.memtable(HELD))
    assert known.hashes.to_pylist() == HASHES
    assert known.matrix.tolist() == [[1, 0], [0, 1]]


def test_the_history_is_the_weighted_mean_of_what_was_bought_at_unit_length():
    found = means((5, 0, 3), (5, 1, 3), (5, 2, 1), (9, 0, 7))
    assert np.allclose(found[5], [3 / 5, 4 / 5])
    assert np.allclose(found[9], [1, 0])


def test_whoever_bought_nothing_with_a_vector_has_none():
    assert set(means((0, 3, 9), (1, 0, 1), (2, 0, 0))) == {1}
    assert means() == {}
    assert means((0, 0, 1), held=HELD.slice(0, 0)) == {}


def test_the_order_of_the_rows_does_not_matter():
    random = np.random.default_rng(0)
    held = pa.table(
        {"text_hash": ["a", "b"], "vector": pa.array(random.normal(size=(2, 8)).tolist(), VECTOR)}
    )
    cells = [(customer, item, int(random.integers(1, 10**9))) for customer in range(9) for item in range(3)]
    again = [cells[place] for place in random.permutation(len(cells))]
    assert means(*cells, held=held) == means(*again, held=held)
