import math

import ir_measures
import numpy as np
import pytest
from ir_measures import P, R, Success, nDCG
from scipy import sparse

from perennial.foundation.bootstrap import interval
from perennial.recommend.evaluation.metrics import (
    DEPTHS,
    diversity,
    evaluate,
    judge,
    novelty,
    top_items,
)
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice

HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
WANTED = np.array([3, 2, 9])


def random_task(customers: int, items: int, warm: int, share: float) -> RankingTask:
    """Random purchases before the month and in it."""
    random = np.random.default_rng(0)
    bought, wanted = (sparse.csr_array(random.random((customers, items)) < share) for _ in range(2))
    names = np.array([f"{n:03}" for n in range(max(customers, items))], object)
    return RankingTask(names[:customers], names[:items], warm, bought, wanted)


def test_ndcg_equals_the_value_by_hand():
    ndcg = evaluate(HITS, WANTED).ndcg
    first = (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)
    ideal_of_four = sum(1 / math.log2(rank + 1) for rank in range(1, 5))
    assert ndcg == pytest.approx([first, 0, (1 / math.log2(3)) / ideal_of_four], abs=1e-12)


def test_precision_recall_and_hits_count_purchases():
    metrics = evaluate(HITS, WANTED)
    assert metrics.precision == pytest.approx([2 / 4, 0, 1 / 4])
    assert metrics.recall == pytest.approx([2 / 3, 0, 1 / 9])
    assert metrics.hit.tolist() == [1, 0, 1]


def test_the_interval_contains_the_mean():
    figures = evaluate(np.tile(HITS, (50, 1)), np.tile(WANTED, 50)).figures(4)
    for name in ("ndcg_4", "precision_4", "recall_4", "hit_4"):
        assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]


def test_a_small_difference_is_sure_if_rankings_are_compared_paired():
    random = np.random.default_rng(0)
    theirs = random.random(400)
    ours = theirs + random.normal(0.01, 0.02, 400)
    assert interval(ours).low < theirs.mean()
    assert interval(ours - theirs).low > 0


def test_items_with_few_buyers_are_novel_and_similar_items_are_not_diverse():
    lists = np.array([[0, 1, 2], [0, -1, -1], [2, 1, -1]])
    assert novelty(lists, np.array([1, 0.5, 0.125])) == pytest.approx([4 / 3, 0, 2])
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 0]], np.float32)
    assert diversity(lists, vectors) == pytest.approx([(0.4 + 1 + 1) / 3, 1, 1])


@pytest.mark.parametrize("part", Slice)
def test_all_measures_agree_with_an_independent_library(part: Slice):
    task = random_task(300, 90, 70, 0.05)
    scores = np.random.default_rng(1).normal(size=(300, 90)).astype(np.float32)
    judged = judge(task, part, lambda rows: scores[rows])
    run, wanted = {}, {}
    for row in range(300):
        bought = task.bought[[row]].toarray()[0]
        candidates = {"all": bought >= 0, "repeat": bought, "explore": ~bought, "cold": bought >= 0}[part]
        candidates = candidates & ((np.arange(90) >= 70) == (part == "cold"))
        run[str(row)] = {str(item): float(scores[row, item]) for item in np.flatnonzero(candidates)}
        targets = np.flatnonzero(candidates & task.wanted[[row]].toarray()[0])
        if len(targets):
            wanted[str(row)] = {str(item): 1 for item in targets}
    assert judged.rows.tolist() == sorted(map(int, wanted))
    place = {str(row): number for number, row in enumerate(judged.rows)}
    ours = {
        measure @ k: getattr(judged.at[k], name)
        for k in DEPTHS
        for measure, name in ((nDCG, "ndcg"), (P, "precision"), (R, "recall"), (Success, "hit"))
    }
    theirs = list(ir_measures.iter_calc(list(ours), wanted, run))
    assert len(theirs) == len(ours) * len(wanted)
    for metric in theirs:
        assert metric.value == pytest.approx(ours[metric.measure][place[metric.query_id]], abs=1e-9)


def test_items_with_equal_scores_keep_their_order_and_items_without_a_score_are_not_ranked():
    scores = np.array([[1, 2, 2, 0, 2], [-np.inf, 1, -np.inf, -np.inf, -np.inf]])
    assert top_items(scores, 3).tolist() == [[1, 2, 4], [1, -1, -1]]
    assert top_items(scores, 7)[0].tolist() == [1, 2, 4, 0, 3, -1, -1]


def test_coverage_counts_the_items_in_the_first_places_of_all_lists():
    task = random_task(40, 60, 60, 0.2)
    same = judge(task, Slice.ALL, lambda rows: np.zeros((len(rows), 60), np.float32))
    other = judge(task, Slice.ALL, lambda rows: np.random.default_rng(0).random((len(rows), 60)))
    assert (same.shown, other.shown) == (10, 60)
