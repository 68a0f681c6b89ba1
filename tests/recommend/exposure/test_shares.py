import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from perennial.recommend.exposure import pictures
from perennial.recommend.exposure.shares import Spread, cost_curve, counts, exposure, gini, groupings
from perennial.recommend.lists.diversity import penalise_popularity, select_diverse
from tests.recommend.goods import rules_of, shelf_of


def shop(size: int):
    """Items of two categories and a brand each ten items; the later, the more buyers and the dearer."""
    goods = {
        f"i{number:03}": ("Food > Bread" if number % 2 else "Toys", f"m{number // 10:02}" if number else None)
        for number in range(size)
    }
    return shelf_of(goods), np.arange(size), np.where(np.arange(size) == 3, np.nan, np.arange(size) / 10)


def by_group(table: pa.Table, dimension: str) -> dict[str, tuple[float, float, float]]:
    rows = [row for row in table.to_pylist() if row["dimension"] == dimension]
    return {
        row["group"]: (row["of_catalogue"], row["of_purchases"], row["of_recommendations"]) for row in rows
    }


def test_shares_stand_beside_those_of_catalogue_and_purchases():
    catalogue, buyers, prices = shop(200)
    lists = np.array([[199, 198, -1], [199, 0, 1]])
    shown = counts(lists, 200)
    assert (shown.sum(), shown[199]) == (5, 2)
    table = exposure(groupings(catalogue, buyers, prices), shown, buyers.astype(float))
    for dimension in ("category", "brand", "popularity", "price"):
        assert np.sum(list(by_group(table, dimension).values()), axis=0) == pytest.approx([1, 1, 1])
    assert by_group(table, "category")["Food"] == pytest.approx((0.5, 10_000 / 19_900, 3 / 5))
    brands = by_group(table, "brand")
    assert next(iter(brands)) == "m19"
    assert list(brands)[-2:] == ["others", "not known"]
    assert brands["m19"] == pytest.approx((0.05, sum(range(190, 200)) / 19_900, 3 / 5))
    assert brands["not known"] == pytest.approx((1 / 200, 0, 1 / 5))
    deciles = by_group(table, "popularity")
    assert len(deciles) == 10
    assert deciles["1 (most bought)"] == pytest.approx((0.1, sum(range(180, 200)) / 19_900, 3 / 5))
    assert deciles["10 (least bought)"] == pytest.approx((0.1, sum(range(20)) / 19_900, 2 / 5))
    bands = by_group(table, "price")
    first, *between, last, unknown = bands
    assert (first[:6], len(between), last[:5], unknown) == ("under ", 3, "from ", "not known")
    assert [share for share, *_ in bands.values()] == pytest.approx([*[0.199] * 5, 1 / 200], abs=0.006)
    assert bands["not known"] == pytest.approx((1 / 200, 3 / 19_900, 0))
    picture = pictures.shares(table)
    assert picture.startswith("<svg")
    for said in ("m19", "10 (least bought)", "of recommendations", next(iter(bands))):
        assert said in picture
    assert pictures.shares(table) == picture


def test_the_dimensions_of_which_nothing_is_known_say_so():
    catalogue = shelf_of({"a": (None, None), "b": (None, None)})
    table = exposure(
        groupings(catalogue, np.zeros(2, int), np.full(2, np.nan)), np.zeros(2, int), np.zeros(2)
    )
    for dimension in ("category", "brand", "price"):
        assert by_group(table, dimension) == {"not known": (1, 0, 0)}


def test_spread_by_hand():
    assert gini(np.array([5, 5, 5, 5])) == 0
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert gini(np.array([1, 3])) == pytest.approx(0.25)
    assert gini(np.zeros(3, int)) == 0
    found = Spread.of(np.array([3, 0, *[1] * 7, 0]), np.array([9, *[1] * 9]))
    assert (found.coverage, found.head) == pytest.approx((0.8, 0.3))


def test_a_penalty_on_popularity_spreads_what_is_shown_and_its_cost_is_told_paired():
    random = np.random.default_rng(0)
    customers, size = 150, 300
    buyers = np.sort(random.integers(0, 2000, size))
    wanted = random.random((customers, size)) < np.where(buyers > 1000, 0.1, 0.01)
    wanted[0] = False
    catalogue = shelf_of({f"i{number:03}": (None, None) for number in range(size)})
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
    picture = pictures.cost(steps, "penalty on popularity")
    assert "penalty on popularity" in picture
    assert all(f">{step.setting:g}</text>" in picture for step in steps)


def test_an_empty_place_in_a_list_hits_nothing():
    wanted = sparse.csr_array(np.array([[0, 0, 1], [1, 0, 0]], bool))
    step = cost_curve([0.0], lambda _: np.array([[1, 2], [-1, -1]]), wanted, np.ones(3, int))[0]
    assert step.ndcg.mean == pytest.approx(1 / np.log2(3) / 2)
    assert step.spread.coverage == pytest.approx(2 / 3)
