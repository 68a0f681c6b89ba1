from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse

from perennial.recommend import content, popularity
from perennial.recommend.examination import Examination


def test_popular_items_come_most_bought_first_and_only_when_sellable():
    buyers = np.array([3, 9, 9, 5, 0])
    assert popularity.candidates(buyers, np.array([1, 1, 1, 0, 1], bool), 9).tolist() == [1, 2, 0]


def test_a_taste_is_the_weighted_mean_of_what_was_bought():
    purchases = sparse.csr_array(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    found = content.tastes(purchases, np.eye(2, dtype=np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], atol=1e-6)


def test_a_text_is_shown_by_its_most_bought_item():
    texts, buyers = np.array([0, 0, 1, -1, 2]), np.array([1, 5, 2, 9, 7])
    assert content.faces(texts, buyers, np.array([1, 1, 1, 1, 0], bool), 3).tolist() == [1, 2, -1]


def test_the_nearest_texts_are_found():
    likeness = np.array([[0.1, 0.9, 0.5, 0.99]], np.float32)
    found = content.candidates(likeness, np.array([10, 11, 12, -1]), 2)
    assert sorted(found[0].tolist()) == [11, 12]
    assert content.candidates(likeness, np.full(4, -1), 2).shape == (1, 0)


def test_an_examination_keeps_its_order(tmp_path: Path):
    pairs = {"customer_id": ["a", "a", "b", "c"], "item_id": ["x", "y", "x", "z"]}
    paper = Examination.of(pa.table(pairs))
    paper.among(np.array(["c", "a"], object)).save(tmp_path / "paper.parquet")
    found = Examination.load(tmp_path / "paper.parquet")
    assert found.customer_ids.tolist() == ["a", "c"]
    assert found.wanted.tolist() == [2, 1]
    assert found.item_ids.to_pylist() == ["x", "y", "z"]
