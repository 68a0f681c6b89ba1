import numpy as np
import pyarrow as pa
import pytest

from perennial.recommend.exposure import pictures
from perennial.recommend.exposure.shares import Spread, counts, exposure, gini, groupings
from tests.recommend.goods import catalogue_of


def shop(size: int):
    """Items of two categories, ten items a brand; later items have more buyers and higher prices."""
    goods = {
        f"i{number:03}": ("Food > Bread" if number % 2 else "Toys", f"m{number // 10:02}" if number else None)
        for number in range(size)
    }
    return catalogue_of(goods), np.arange(size), np.where(np.arange(size) == 3, np.nan, np.arange(size) / 10)


def by_group(table: pa.Table, dimension: str) -> dict[str, tuple[float, float, float]]:
    rows = [row for row in table.to_pylist() if row["dimension"] == dimension]
    return {
        row["group"]: (row["of_catalogue"], row["of_purchases"], row["of_recommendations"]) for row in rows
    }


def test_shares_of_recommendations_are_compared_with_catalogue_and_purchases():
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
    for text in ("m19", "10 (least bought)", "of recommendations", next(iter(bands))):
        assert text in picture
    assert pictures.shares(table) == picture


def test_dimensions_without_data_have_the_group_not_known():
    catalogue = catalogue_of({"a": (None, None), "b": (None, None)})
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
    spread = Spread.of(np.array([3, 0, *[1] * 7, 0]), np.array([9, *[1] * 9]))
    assert (spread.coverage, spread.head) == pytest.approx((0.8, 0.3))
