from dataclasses import replace

import numpy as np
import pytest

from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.lists.diversity import select_diverse
from tests.recommend.goods import catalogue_of, rules_of

FREE = catalogue_of({f"i{number:03}": (None, None) for number in range(200)})


def with_texts(vectors: np.ndarray, texts: np.ndarray) -> Catalogue:
    """A catalogue without rules to speak of, whose items have texts."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return replace(FREE, texts=texts, vectors=unit.astype(np.float16))


def chosen(catalogue: Catalogue, items: list[int], scores: list[float], k: int, strength: float) -> list[int]:
    """The items of the only customer's list."""
    held = np.array(items)
    rows = np.zeros(len(items), np.int64)
    found = select_diverse(rows, held, np.array(scores), 1, k, rules_of({}, catalogue), catalogue, strength)[
        0
    ]
    return held[found[found >= 0]].tolist()


def test_without_variety_the_best_come_first_and_equals_in_their_order():
    assert chosen(FREE, [3, 5, 7, 9], [0.1, 0.7, 0.1, 0.2], 4, 0) == [5, 9, 3, 7]
    assert chosen(FREE, [3, 5], [-2.0, -1.0], 4, 0) == [5, 3]


def test_a_list_that_shall_be_varied_does_not_say_the_same_twice_until_nothing_else_is_left():
    catalogue = with_texts(np.eye(3), np.array([0, 0, 1, 1, 2, -1, *[0] * 194]))
    items, scores = [0, 1, 2, 3, 4, 5], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert chosen(catalogue, items, scores, 6, 0.0) == [0, 1, 2, 3, 4, 5]
    assert chosen(catalogue, items, scores, 6, 1.0) == [0, 2, 4, 5, 1, 3]
    assert chosen(catalogue, items, scores, 3, 0.1) == [0, 1, 2]
    assert chosen(catalogue, items, scores, 3, 0.3) == [0, 2, 4]


def test_what_two_items_above_say_together_is_not_said_again():
    """No item above is very like the third one, but both together say it; a fourth says something else."""
    catalogue = with_texts(np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0.8, 0, 0.6]]), np.arange(200) % 4)
    assert chosen(catalogue, [0, 1, 2, 3], [0.9, 0.9, 0.8, 0.8], 3, 0.5) == [0, 1, 3]


@pytest.mark.parametrize("strength", [0.05, 0.3, 0.8])
def test_lists_are_those_of_the_plain_definition(strength: float):
    random = np.random.default_rng(int(100 * strength))
    catalogue = with_texts(random.normal(size=(80, 12)) + 0.5, random.integers(-1, 80, 200))
    vectors = np.where(catalogue.texts[:, None] >= 0, catalogue.text_vectors[catalogue.texts], 0).astype(
        float
    )
    customers, k = 20, 6
    sizes = random.integers(1, 3 * k + 1, customers)
    rows = np.repeat(np.arange(customers), sizes)
    items = np.concatenate([np.sort(random.permutation(200)[:size]) for size in sizes])
    scores = random.random(len(rows))
    found = select_diverse(rows, items, scores, customers, k, rules_of({}, catalogue), catalogue, strength)
    for row in range(customers):
        mine = np.flatnonzero(rows == row)
        listed: list[int] = []
        for _ in range(min(k, len(mine))):
            above = vectors[items[listed]].T
            worth = {}
            for position in set(mine.tolist()) - set(listed):
                text = vectors[items[position]]
                rest = text - above @ np.linalg.lstsq(above, text, rcond=None)[0] if listed else text
                own = rest @ rest if text.any() else 1.0
                worth[position] = (1 - strength) * scores[position] / scores[mine].max() + strength * own
            listed.append(max(worth, key=lambda position: worth[position]))
        assert found[row, : len(listed)].tolist() == listed


def test_more_variety_is_more_varied_and_less_what_is_wanted():
    random = np.random.default_rng(3)
    catalogue = with_texts(random.normal(size=(200, 8)) + 0.6, np.arange(200))
    rows, items = np.repeat(np.arange(30), 200), np.tile(np.arange(200), 30)
    scores = random.random(len(rows)) ** 4
    distance, worth = [], []
    for strength in (0.0, 0.1, 0.3, 0.6, 1.0):
        found = select_diverse(rows, items, scores, 30, 10, rules_of({}, catalogue), catalogue, strength)
        texts = catalogue.text_vectors[items[found]]
        distance.append(1 - np.mean(texts @ texts.transpose(0, 2, 1)))
        worth.append(scores[found].sum())
    assert distance == sorted(distance)
    assert worth == sorted(worth, reverse=True)


def test_customers_without_candidates_get_an_empty_list():
    rules = rules_of({}, FREE)
    nothing = np.zeros(0, np.int64)
    assert (select_diverse(nothing, nothing, np.zeros(0), 2, 3, rules, FREE, 0.5) == -1).all()
    found = select_diverse(np.array([1]), np.array([4]), np.array([0.0]), 3, 2, rules, FREE, 0.5)
    assert found.tolist() == [[-1, -1], [0, -1], [-1, -1]]


def test_texts_that_lie_in_the_space_of_those_above_add_nothing_however_many_there_are():
    random = np.random.default_rng(0)
    catalogue = with_texts(random.normal(size=(5, 12)), np.arange(200) % 5)
    with np.errstate(all="raise"):
        found = chosen(catalogue, [*range(200)], np.linspace(1, 0.5, 200).tolist(), 60, 0.5)
    assert sorted(one % 5 for one in found[:5]) == [0, 1, 2, 3, 4]
    assert found[5:] == sorted(found[5:])
