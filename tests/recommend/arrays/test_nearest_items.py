import numpy as np
import pytest
from scipy import sparse

from perennial.recommend.arrays import nearest_items as module
from perennial.recommend.arrays.nearest_items import nearest_items, strongest_evidence


def test_the_strongest_purchase_is_the_one_that_says_most_times_its_weight():
    random = np.random.default_rng(0)
    said = random.normal(size=(50, 30)).astype(np.float32)
    bought = np.maximum(random.normal(size=(20, 30)) - 1.5, 0)
    columns = random.integers(0, 50, 20)
    found = strongest_evidence(
        nearest_items(lambda some: said[some].T, 50)[columns], sparse.csr_array(bought)
    )
    worth = np.maximum(said[columns], 0) * bought
    wanted = np.where(worth.max(axis=1) > 0, worth.argmax(axis=1), -1)
    assert found.tolist() == wanted.tolist()
    assert {-1} < set(found.tolist())


def test_only_the_nearest_speak(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_NEAREST", 3)
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    said = np.random.default_rng(1).random((5, 12)).astype(np.float32)
    near = nearest_items(lambda some: said[some].T, 5).toarray()
    for row in range(5):
        best = np.argsort(-said[row])[:3]
        assert set(np.flatnonzero(near[row])) == set(best)
        np.testing.assert_array_equal(near[row, best], said[row, best])
