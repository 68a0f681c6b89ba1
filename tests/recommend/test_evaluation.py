import math

import numpy as np
import pytest

from perennial.recommend.evaluation import evaluate

HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
WANTED = np.array([3, 2, 9])


def test_ndcg_equals_the_value_by_hand():
    found = evaluate(HITS, WANTED).ndcg
    first = (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)
    ideal_of_four = sum(1 / math.log2(rank + 1) for rank in range(1, 5))
    assert found == pytest.approx([first, 0, (1 / math.log2(3)) / ideal_of_four], abs=1e-12)


def test_ndcg_agrees_with_an_independent_library():
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(0)
    scores = rng.permuted(np.tile(np.arange(50.0), (40, 1)), axis=1)
    relevant = rng.random((40, 50)) < 0.2
    order = np.argsort(-scores, axis=1)[:, :10]
    hits = np.take_along_axis(relevant, order, axis=1)
    assert evaluate(hits, relevant.sum(axis=1)).ndcg.mean() == pytest.approx(
        ndcg_score(relevant, scores, k=10), abs=1e-12
    )


def test_recall_and_hits_count_what_was_wanted():
    found = evaluate(HITS, WANTED)
    assert found.recall == pytest.approx([2 / 3, 0, 1 / 9])
    assert found.hit.tolist() == [1, 0, 1]


def test_the_interval_holds_the_mean():
    figures = evaluate(np.tile(HITS, (50, 1)), np.tile(WANTED, 50)).figures(4)
    for name in ("ndcg_4", "recall_4", "hit_4"):
        assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]
