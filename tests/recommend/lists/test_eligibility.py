from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from perennial.foundation.chance import KeyedChance, keys
from perennial.foundation.config import ConfigError, load
from perennial.recommend.lists.diversity import select_diverse
from perennial.recommend.lists.eligibility import EligibilityRules, check_names, known_adults
from perennial.recommend.lists.exploration import insert_new_items
from perennial.recommend.settings import EligibilitySettings
from tests.recommend.goods import GOODS, Goods, PlainRules, catalogue_of, history_of, rules_of

SHELF = catalogue_of()


def shown(written: dict, bought: list[tuple[str, int]] = (), *, adult: bool = False) -> set[str]:
    """All that one customer may be shown."""
    every = np.arange(len(SHELF))
    history = history_of(SHELF, {"c": bought})
    found = rules_of(written, SHELF).eligible(np.zeros_like(every), every, history, np.array([adult]))
    return set(SHELF.item_ids[found])


def test_what_is_not_available_or_never_shown_is_shown_to_nobody():
    written = {"never": [{"category": "Beer"}, {"category": "Books", "item": "novel"}, {"brand": "Cool"}]}
    assert shown(written) == {"juice", "cot", "milk", "poems", "thing"}
    assert shown({"never": [{"category": "Drinks > Beer > Ale"}, {"category": "Baby"}]}) == (
        set(GOODS) - {"ale", "cot", "milk"}
    )
    rules = EligibilityRules.of(EligibilitySettings(), SHELF, SHELF.item_ids == "milk")
    assert rules.allowed.sum() == 1


def test_adults_alone_are_shown_what_is_for_adults_and_only_known_ones_are_adults():
    written = {"adults_only": [{"category": "Beer"}]}
    assert shown(written) == set(GOODS) - {"ale", "lager"}
    assert shown(written, adult=True) == set(GOODS)
    bands = {
        "19-24": True, "18 – 24": True, "65+": True, "65 and over": True, "30 to 39": True, "34": True,
        "Under 18": False, "under 25": False, "<30": False, "17-19": False, "12": False,
        "30 and under": False, "unknown": False, "": False,
    }  # fmt: skip
    found = known_adults(pa.array([*bands, None], pa.string()), 18)
    assert dict(zip(bands, found.tolist(), strict=False)) == bands
    assert not found[-1]
    assert not known_adults(pa.nulls(2), 18).any()
    assert known_adults(pa.array(["19-24"]), 21).tolist() == [False]


def test_what_was_bought_for_good_is_not_shown_again_before_its_time():
    written = {
        "bought_for_good": [
            {"category": "Fridges", "days": 1000},
            {"category": "Books", "days": 30, "again": "other items"},
        ]
    }
    assert shown(written, [("fridge", 999), ("novel", 29)]) == set(GOODS) - {"fridge", "freezer", "novel"}
    assert shown(written, [("fridge", 1000), ("novel", 30), ("milk", 0)]) == set(GOODS)


def test_an_unknown_name_is_an_error_that_names_what_comes_close():
    written = {
        "never": [{"category": "Drinks > Beers"}, {"brand": "Norht"}],
        "apart": [[{"category": "Baby"}, {"item": "12345"}]],
        "bought_for_good": [{"category": "Books", "brand": "Cool", "days": 1}],
    }
    with pytest.raises(ConfigError) as caught:
        check_names(EligibilitySettings.model_validate(written), SHELF)
    lines = str(caught.value).splitlines()
    where = "models.yaml: recommender.eligibility"
    assert lines[0].startswith(f"{where}.never.0.category: no item has this category; found 'Drinks > Beers'")
    assert "'Drinks > Beer'" in lines[0]
    assert lines[1] == f"{where}.never.1.brand: no item has this brand; found 'Norht', close to it: 'North'"
    assert lines[2].startswith(f"{where}.bought_for_good.0: no item is all of it")
    assert lines[3].endswith("found '12345', nothing comes close to it")
    assert len(lines) == 4


def test_a_slip_in_the_file_says_which_key_and_what_was_found(tmp_path: Path):
    (tmp_path / "rules.yaml").write_text(
        "never: [{}, {colour: red}]\nmost: {category: [1, 2, 3, 4], brand: 0}\n"
        "bought_for_good: [{item: 7, days: 3, again: some}]\nadult_age: grown"
    )
    with pytest.raises(ConfigError) as caught:
        load("rules", EligibilitySettings, tmp_path)
    told = str(caught.value)
    for part in (
        "never.0: Value error, category, brand or item is needed",
        "never.1.colour: Extra inputs are not permitted; found 'red'",
        "most.category: Tuple should have at most 3 items",
        "most.brand: Input should be greater than 0; found 0",
        "bought_for_good.0.again: Input should be 'nothing' or 'other items'; found 'some'",
        "adult_age: Input should be a valid integer",
    ):
        assert part in told
    assert EligibilitySettings.model_validate({"never": [{"item": 7}]}).never[0].item == "7"


@pytest.mark.parametrize("seed", range(40))
def test_random_rules_never_let_an_item_through_and_lists_are_as_long_as_plain_code_makes_them(seed: int):
    random = np.random.default_rng(seed)
    goods = random_goods(random, 60)
    catalogue, written = catalogue_of(goods), random_rules(random, goods)
    plain, rules = PlainRules(written, goods), rules_of(written, catalogue)
    names, k = list(catalogue.item_ids), 8
    bought = {
        f"c{number:02}": [
            (str(name), int(random.integers(0, 60))) for name in random.choice(names, random.integers(0, 9))
        ]
        for number in range(30)
    }
    adult = random.random(30) < 0.5
    rows = np.repeat(np.arange(30), random.integers(0, 41, 30))
    items = np.concatenate([np.sort(random.permutation(60)[:n]) for n in np.bincount(rows, minlength=30)])
    scores = random.integers(1, 12, len(rows)) / 16
    kept = rules.eligible(rows, items, history_of(catalogue, bought), adult)
    for row, item, found in zip(rows, items, kept, strict=True):
        lines = list(bought.values())[row]
        assert found == plain.eligible(names[item], lines, adult=bool(adult[row]))
    rows, items, scores = rows[kept], items[kept], scores[kept]
    for strength in (0.0, 0.4):
        lists = select_diverse(rows, items, scores, 30, k, rules, catalogue, strength)
        for row, found in enumerate(lists):
            mine = np.flatnonzero(rows == row)
            listed = [names[item] for item in items[found[found >= 0]]]
            assert (rows[found[found >= 0]] == row).all()
            assert (found[len(listed) :] == -1).all()
            if not strength:
                order = mine[np.argsort(-scores[mine], kind="stable")]
                assert listed == plain.greedy([names[item] for item in items[order]], k)
            assert_within(plain, listed)
            left = [names[item] for item in items[mine] if names[item] not in listed]
            assert len(listed) == k or not any(plain.fits(name, listed) for name in left)
        new = random.random(len(rows)) < 0.4
        chance = KeyedChance(
            keys(np.array(list(bought), object)), keys(catalogue.item_ids), date(2017, 5, seed % 28 + 1)
        )
        explored, propensity = insert_new_items(lists, rows, items, scores, new, rules, chance, 2)
        drawn = explored >= 0
        assert (drawn.sum(axis=1) >= (lists >= 0).sum(axis=1)).all()
        assert new[explored[propensity < 1]].all()
        for row, found in enumerate(explored):
            listed = [names[item] for item in items[found[found >= 0]]]
            assert (rows[found[found >= 0]] == row).all()
            assert (found[len(listed) :] == -1).all()
            assert len(set(listed)) == len(listed)
            assert_within(plain, listed)


def assert_within(plain: PlainRules, listed: list[str]) -> None:
    """Every item fits beside all the others."""
    for place, name in enumerate(listed):
        assert plain.fits(name, listed[:place] + listed[place + 1 :]), (name, listed)


def random_goods(random: np.random.Generator, count: int) -> Goods:
    """Items with categories of up to three levels, some with none, and brands."""
    found = {}
    for number in range(count):
        path = [f"{letter}{random.integers(0, 3)}" for letter in "abc"][: random.integers(0, 4)]
        brand = f"m{random.integers(0, 8)}" if random.random() < 0.8 else None
        found[f"i{number:02}"] = (" > ".join(path) or None, brand)
    return found


def random_rules(random: np.random.Generator, goods: Goods) -> dict:
    """Rules that any item of the goods is meant by."""

    def wares() -> dict[str, str]:
        item = str(random.choice(list(goods)))
        category, brand = goods[item]
        levels = (category or "").split(" > ")
        depth = random.integers(1, len(levels) + 1)
        named = levels[depth - 1] if random.random() < 0.5 else " > ".join(levels[:depth])
        can = {"category": named, "brand": brand, "item": item}
        held = [key for key, name in can.items() if name]
        return {
            key: can[key] for key in random.choice(held, random.integers(1, len(held) + 1), replace=False)
        }

    def some(most: int) -> list[dict]:
        return [wares() for _ in range(random.integers(0, most))]

    return {
        "never": some(3),
        "adults_only": some(3),
        "bought_for_good": [
            one
            | {"days": int(random.integers(1, 60)), "again": str(random.choice(["nothing", "other items"]))}
            for one in some(4)
        ],
        "apart": [[wares(), wares()] for _ in range(random.integers(0, 4))],
        "most": {
            "category": [int(n) if n else None for n in random.integers(0, 5, random.integers(0, 4))],
            "brand": int(random.integers(1, 4)) if random.random() < 0.6 else None,
        },
    }
