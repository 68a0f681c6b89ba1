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
    over_months,
    top_items,
)
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice

HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
WANTED = np.array([3, 2, 9])


def a_split(customers: int, items: int, warm: int, share: float) -> RankingTask:
    """Purchases at random before the month and in it."""
    random = np.random.default_rng(0)
    bought, wanted = (sparse.csr_array(random.random((customers, items)) < share) for _ in range(2))
    names = np.array([f"{n:03}" for n in range(max(customers, items))], object)
    return RankingTask(names[:customers], names[:items], warm, bought, wanted)


def test_ndcg_equals_the_value_by_hand():
    found = evaluate(HITS, WANTED).ndcg
    first = (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)
    ideal_of_four = sum(1 / math.log2(rank + 1) for rank in range(1, 5))
    assert found == pytest.approx([first, 0, (1 / math.log2(3)) / ideal_of_four], abs=1e-12)


def test_precision_recall_and_hits_count_what_was_wanted():
    found = evaluate(HITS, WANTED)
    assert found.precision == pytest.approx([2 / 4, 0, 1 / 4])
    assert found.recall == pytest.approx([2 / 3, 0, 1 / 9])
    assert found.hit.tolist() == [1, 0, 1]


def test_the_interval_holds_the_mean():
    figures = evaluate(np.tile(HITS, (50, 1)), np.tile(WANTED, 50)).figures(4)
    for name in ("ndcg_4", "precision_4", "recall_4", "hit_4"):
        assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]


def test_a_small_difference_shows_where_rankings_are_compared_paired():
    random = np.random.default_rng(0)
    theirs = random.random(400)
    ours = theirs + random.normal(0.01, 0.02, 400)
    assert interval(ours).low < theirs.mean()
    assert interval(ours - theirs).low > 0


def test_months_of_one_customer_that_are_alike_count_once():
    random = np.random.default_rng(0)
    first, names = random.normal(size=200), [f"{n:03}" for n in range(200)]
    alike, others = [f"{n:03}" for n in reversed(range(200))], [f"{n}" for n in range(500, 700)]
    alone, same = interval(first), over_months([first, first[::-1]], [names, alike])
    apart = over_months([first, random.permutation(first)], [names, others])
    assert alone.mean == pytest.approx(same.mean)
    assert same.high - same.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert apart.high - apart.low == pytest.approx((alone.high - alone.low) / math.sqrt(2), rel=0.1)


def test_months_count_alike_however_many_customers_they_have():
    found = over_months(
        [np.ones(90), np.zeros(10)], [[f"{n}" for n in range(90)], [f"{n}" for n in range(10)]]
    )
    assert found.mean == found.low == found.high == 0.5


def test_what_few_bought_is_new_and_what_is_alike_is_not_varied():
    lists = np.array([[0, 1, 2], [0, -1, -1], [2, 1, -1]])
    assert novelty(lists, np.array([1, 0.5, 0.125])) == pytest.approx([4 / 3, 0, 2])
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 0]], np.float32)
    assert diversity(lists, vectors) == pytest.approx([(0.4 + 1 + 1) / 3, 1, 1])


@pytest.mark.parametrize("part", Slice)
def test_all_measures_agree_with_an_independent_library(part: Slice):
    held = a_split(300, 90, 70, 0.05)
    scores = np.random.default_rng(1).normal(size=(300, 90)).astype(np.float32)
    found = judge(held, part, lambda rows: scores[rows])
    run, wanted = {}, {}
    for row in range(300):
        bought = held.bought[[row]].toarray()[0]
        open_to = {"all": bought >= 0, "repeat": bought, "explore": ~bought, "cold": bought >= 0}[part]
        open_to = open_to & ((np.arange(90) >= 70) == (part == "cold"))
        run[str(row)] = {str(item): float(scores[row, item]) for item in np.flatnonzero(open_to)}
        targets = np.flatnonzero(open_to & held.wanted[[row]].toarray()[0])
        if len(targets):
            wanted[str(row)] = {str(item): 1 for item in targets}
    assert found.rows.tolist() == sorted(map(int, wanted))
    place = {str(row): number for number, row in enumerate(found.rows)}
    ours = {
        measure @ k: getattr(found.at[k], name)
        for k in DEPTHS
        for measure, name in ((nDCG, "ndcg"), (P, "precision"), (R, "recall"), (Success, "hit"))
    }
    told = list(ir_measures.iter_calc(list(ours), wanted, run))
    assert len(told) == len(ours) * len(wanted)
    for one in told:
        assert one.value == pytest.approx(ours[one.measure][place[one.query_id]], abs=1e-9)


def test_equal_scores_leave_the_items_in_their_order_and_nothing_is_ranked_that_has_no_score():
    scores = np.array([[1, 2, 2, 0, 2], [-np.inf, 1, -np.inf, -np.inf, -np.inf]])
    assert top_items(scores, 3).tolist() == [[1, 2, 4], [1, -1, -1]]
    assert top_items(scores, 7)[0].tolist() == [1, 2, 4, 0, 3, -1, -1]


def test_coverage_counts_the_items_that_anybody_is_shown_first():
    held = a_split(40, 60, 60, 0.2)
    same = judge(held, Slice.ALL, lambda rows: np.zeros((len(rows), 60), np.float32))
    other = judge(held, Slice.ALL, lambda rows: np.random.default_rng(0).random((len(rows), 60)))
    assert (same.shown, other.shown) == (10, 60)
