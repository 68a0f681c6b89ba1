from datetime import date, timedelta

import numpy as np
import pytest
from scipy import stats

from perennial.foundation.chance import KeyedChance, keys
from perennial.recommend.lists.diversity import select_diverse
from perennial.recommend.lists.exploration import insert_new_items
from tests.recommend.goods import catalogue_of, rules_of

GOODS = {f"old{number:02}": ("Old", f"m{number}") for number in range(20)} | {
    f"new{number}": ("New", f"n{number}") for number in range(6)
}
SHELF = catalogue_of(GOODS)
NEW = np.char.startswith(SHELF.item_ids.astype(str), "new")
SCORES = np.linspace(0.05, 0.5, len(SHELF))
DAY = date(2017, 11, 30)


def names(prefix: str, count: int) -> np.ndarray:
    return np.array([f"{prefix}{number}" for number in range(count)], object)


def lists_of(customers: np.ndarray, day: date, one_in: int, **written: object):
    """Ten items for customers who all want the old ones most: names after and before, and propensities."""
    rules, n = rules_of(written, SHELF), len(customers)
    rows, items = np.repeat(np.arange(n), len(SHELF)), np.tile(np.arange(len(SHELF)), n)
    scores = np.where(NEW, SCORES, 1.0)[items]
    lists = select_diverse(rows, items, scores, n, 10, rules, SHELF, 0.0)
    chance = KeyedChance(keys(customers), keys(SHELF.item_ids), day)
    found, propensity = insert_new_items(lists, rows, items, scores, NEW[items], rules, chance, one_in)
    return SHELF.item_ids[items[found]], propensity, SHELF.item_ids[items[lists]]


def assert_comes_as_often_as_said(shown: np.ndarray, propensity: np.ndarray, said: dict[str, float]) -> None:
    """Each new item's propensity is that, and it is shown as often, within the binomial 99.9 % band."""
    for name, expected in said.items():
        here = shown == name
        assert propensity[here] == pytest.approx(expected)
        low, high = stats.binom.interval(0.999, len(shown), expected)
        assert low <= here.sum() <= high, name
    assert (propensity[~np.isin(shown, list(said))] == 1).all()


def test_the_propensity_is_how_often_an_item_is_shown():
    shown, propensity, before = lists_of(names("c", 20_000), DAY, one_in=10)
    total = SCORES[NEW].sum()
    said = {name: score / total for name, score in zip(SHELF.item_ids[NEW], SCORES[NEW], strict=True)}
    assert_comes_as_often_as_said(shown, propensity, said)
    assert (shown[:, :9] == before[:, :9]).all()


def test_it_is_so_over_days_and_where_the_rules_keep_new_items_apart():
    """Those that exclude each other are drawn in the same place, so no draw depends on another one."""
    apart = [[{"item": "new0"}, {"item": "new1"}], [{"item": "new2"}, {"item": "new3"}]]
    days = [lists_of(names("c", 50), DAY + timedelta(day), one_in=2, apart=apart) for day in range(400)]
    shown, propensity = (np.concatenate([day[part] for day in days]) for part in (0, 1))
    together = SCORES[[0, 1, 2, 3, 5]].sum()
    said = {f"new{number}": SCORES[number] / together for number in (0, 1, 2, 3, 5)} | {"new4": 1.0}
    assert_comes_as_often_as_said(shown, propensity, said)
    assert (np.char.startswith(shown.astype(str), "new").sum(axis=1) == 2).all()


def test_the_same_day_gives_the_same_list_whoever_else_is_asked_and_another_day_another():
    everybody = names("c", 60)
    whole = lists_of(everybody, DAY, one_in=10)[0]
    assert (lists_of(everybody, DAY, one_in=10)[0] == whole).all()
    assert (lists_of(everybody[[41, 7]], DAY, one_in=10)[0] == whole[[41, 7]]).all()
    assert (lists_of(everybody, DAY + timedelta(1), one_in=10)[0] != whole).any()


def test_new_items_take_every_so_manieth_place_and_none_that_the_rules_close_to_them():
    shown, _, before = lists_of(names("c", 30), DAY, one_in=5)
    assert (np.char.startswith(shown.astype(str), "new") == (np.arange(10) % 5 == 4)).all()
    assert (shown[:, [0, 1, 2, 3, 5, 6, 7, 8]] == before[:, :8]).all()
    closed = {"apart": [[{"category": "New"}, {"category": "Old"}]]}
    for without in (lists_of(names("c", 3), DAY, 11), lists_of(names("c", 3), DAY, 5, **closed)):
        assert (without[0] == without[2]).all()
        assert (without[1] == 1).all()


def test_a_short_list_grows_by_what_is_new():
    chance = KeyedChance(keys(names("c", 2)), keys(SHELF.item_ids), DAY)
    lists = np.full((2, 10), -1)
    lists[0, 0] = 0
    rows, items = np.array([0, 0, 1, 1]), np.array([6, 0, 0, 1])
    new = np.array([False, True, True, True])
    found, propensity = insert_new_items(lists, rows, items, np.ones(4), new, rules_of({}, SHELF), chance, 5)
    assert found[:, :3].tolist() == [[0, 1, -1], [2, 3, -1]]
    assert (found[:, 3:] == -1).all()
    assert (propensity == 1).all()
