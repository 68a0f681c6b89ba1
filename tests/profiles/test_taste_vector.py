import ibis
import numpy as np
import pyarrow as pa
import pytest

from perennial.foundation.contracts import VECTOR
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.profiles import taste_vector
from perennial.profiles.purchases import UNIT
from perennial.profiles.settings import TasteVectorSettings, VectorKind

HASHES = ["a", "b", "c"]
TEXTS = pa.table(
    {"text_hash": ["c", "b", "a"], "vector": pa.array([[0.0, -1.0], [0.0, 1.0], [1.0, 0.0]], VECTOR)}
)
ITEMS = pa.table(
    {
        "item": [0, 1, 2, 3, 4],
        "title": ["Soup", "Hat", "Red hat", "Unknown", "Glove"],
        "text_hash": ["a", "b", "b", "unknown", "c"],
    }
)
SETTINGS = TasteVectorSettings(
    kind=VectorKind.MEAN, half_life_days=90, value_exponent=0, weight_exponent=1, titles=2
)
MIDDLE = np.array([1 / 3, 0])


def table(*cells: tuple[int, int, float]) -> ibis.Table:
    rows = [{"customer": who, "item": item, "weight": round(weight * UNIT)} for who, item, weight in cells]
    schema = pa.schema([(name, pa.int64()) for name in ("customer", "item", "weight")])
    return ibis.memtable(pa.Table.from_pylist(rows, schema))


def vectors(
    *cells: tuple[int, int, float], embedded: pa.Table = TEXTS, settings: TasteVectorSettings = SETTINGS
) -> dict[int, list[float]]:
    known = taste_vector.text_vectors(ibis.memtable(embedded))
    choice = embedding_settings().start.encoder
    found = taste_vector.vectors(table(*cells), ibis.memtable(ITEMS), known, settings, choice)
    assert found.schema.field("vector").type == VECTOR
    return dict(zip(found["customer"].to_pylist(), found["vector"].to_pylist(), strict=True))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_vectors_of_texts_are_in_the_order_of_their_hashes():
    known = taste_vector.text_vectors(ibis.memtable(TEXTS))
    assert known.hashes.to_pylist() == HASHES
    assert known.matrix.tolist() == [[1, 0], [0, 1], [0, -1]]


def test_the_history_is_the_weighted_mean_of_what_was_bought_seen_from_the_middle_of_the_catalogue():
    found = vectors((5, 0, 3), (5, 1, 3), (5, 2, 1), (9, 0, 7))
    assert np.allclose(found[5], unit(np.array([3 / 7, 4 / 7]) - MIDDLE), atol=1e-6)
    assert np.allclose(found[9], [1, 0])


def test_a_larger_exponent_lets_the_favourites_speak():
    squared = SETTINGS.model_copy(update={"weight_exponent": 2})
    found = vectors((0, 0, 3), (0, 1, 3), (0, 2, 1), settings=squared)
    assert np.allclose(found[0], unit(np.array([9 / 25, 16 / 25]) - MIDDLE), atol=1e-6)


def test_whoever_bought_nothing_with_a_vector_or_just_the_middle_of_the_catalogue_has_none():
    assert set(vectors((0, 3, 9), (1, 0, 1), (2, 0, 0), (3, 0, 1), (3, 1, 1), (3, 4, 1))) == {1}
    assert vectors() == {}
    assert vectors((0, 0, 1), embedded=TEXTS.slice(0, 0)) == {}


def test_the_order_of_the_rows_does_not_matter():
    random = np.random.default_rng(0)
    embedded = pa.table(
        {"text_hash": HASHES, "vector": pa.array(random.normal(size=(3, 8)).tolist(), VECTOR)}
    )
    cells = [(customer, item, random.uniform(0, 5)) for customer in range(9) for item in (0, 1, 2, 4)]
    again = [cells[place] for place in random.permutation(len(cells))]
    assert vectors(*cells, embedded=embedded) == vectors(*again, embedded=embedded)


def test_a_sentence_names_the_heaviest_titles_and_of_equals_the_first():
    bought = table((0, 0, 1), (0, 1, 1), (0, 2, 4), (1, 4, 1), (1, 4, 1)).join(ibis.memtable(ITEMS), "item")
    found = taste_vector.sentences(bought, 2)
    assert found.to_pydict() == {"customer": [0, 1], "sentence": ["bought Red hat; Hat", "bought Glove"]}


def test_the_history_can_be_what_the_encoder_makes_of_the_sentence():
    from perennial.foundation import encoder

    loaded = encoder.load(embedding_settings().start.encoder)
    texts = loaded.encode(["Soup", "Hat", "Glove"])
    embedded = pa.table({"text_hash": HASHES, "vector": pa.array(texts.tolist(), VECTOR)})
    spoken = SETTINGS.model_copy(update={"kind": VectorKind.SENTENCE})
    found = vectors((7, 0, 2), (7, 4, 1), embedded=embedded, settings=spoken)
    assert set(found) == {7}
    expected = loaded.encode(["bought Soup; Glove"])[0] - texts.mean(axis=0)
    assert found[7] == pytest.approx(unit(expected), abs=1e-3)
    assert vectors(embedded=embedded, settings=spoken) == {}
