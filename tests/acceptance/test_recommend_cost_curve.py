import numpy as np
import pytest
from scipy import sparse

from perennial.recommend.lists.diversity import penalise_popularity, select_diverse
from tests.acceptance.recommend_cost_curve import cost_curve, picture
from tests.recommend.goods import catalogue_of, rules_of


def test_a_penalty_on_popularity_spreads_what_is_shown_and_its_cost_is_measured_paired():
    random = np.random.default_rng(0)
    customers, size = 150, 300
    buyers = np.sort(random.integers(0, 2000, size))
    wanted = random.random((customers, size)) < np.where(buyers > 1000, 0.1, 0.01)
    wanted[0] = False
    catalogue = catalogue_of({f"i{number:03}": (None, None) for number in range(size)})
    rows, items = np.repeat(np.arange(customers), size), np.tile(np.arange(size), customers)
    scores = (buyers / 2000)[items] * random.random(len(items)) ** 0.5

    def lists(penalty: float) -> np.ndarray:
        leaning = penalise_popularity(scores, items, buyers, penalty)
        places = select_diverse(rows, items, leaning, customers, 10, rules_of({}, catalogue), catalogue, 0.0)
        return items[places]

    steps = cost_curve([0.0, 0.3, 1.0], lists, sparse.csr_array(wanted), buyers)
    assert [step.setting for step in steps] == [0.0, 0.3, 1.0]
    for figure in ("coverage", "gini", "head"):
        values = [getattr(step.spread, figure) for step in steps]
        assert values == sorted(values, reverse=figure != "coverage")
    assert steps[0].change.mean == steps[0].change.low == steps[0].change.high == 0
    assert steps[2].change.high < 0
    hits = np.take_along_axis(wanted, lists(1.0), axis=1)[1:]
    discounts = 1 / np.log2(np.arange(2, 12))
    ideal = [discounts[: min(10, n)].sum() for n in wanted[1:].sum(axis=1)]
    assert steps[2].ndcg.mean == pytest.approx(np.mean(hits @ discounts / ideal))
    assert steps[2].change.mean == pytest.approx(steps[2].ndcg.mean - steps[0].ndcg.mean)
    assert (penalise_popularity(scores, items, buyers, 0.0) == scores).all()
    curve = picture(steps, "penalty on popularity")
    assert "penalty on popularity" in curve
    assert all(f">{step.setting:g}</text>" in curve for step in steps)


def test_an_empty_place_in_a_list_hits_nothing():
    wanted = sparse.csr_array(np.array([[0, 0, 1], [1, 0, 0]], bool))
    step = cost_curve([0.0], lambda _: np.array([[1, 2], [-1, -1]]), wanted, np.ones(3, int))[0]
    assert step.ndcg.mean == pytest.approx(1 / np.log2(3) / 2)
    assert step.spread.coverage == pytest.approx(2 / 3)
