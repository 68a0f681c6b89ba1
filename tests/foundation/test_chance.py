from datetime import date

import numpy as np
import pytest
from scipy.stats import kstest

from perennial.foundation.chance import KeyedChance, keys, position

DAY = date(2017, 11, 30)


def names(prefix: str, count: int) -> np.ndarray:
    return np.array([f"{prefix}{number}" for number in range(count)], object)


@pytest.mark.parametrize(
    ("salt", "name", "number"),
    [
        ("global holdout|perennial", "1", 0.41276045884856505),
        ("campaign holdout|spring", "c17", 0.5256345094917854),
        ("", "\u00e4", 0.19118132682512368),
        ("a|b", "c", 0.7681975721475987),
    ],
)
def test_positions_stay_what_they_are(salt: str, name: str, number: float):
    """If this changes, campaigns that run lose their holdouts."""
    assert position(salt, name) == number


def test_positions_are_uniform():
    assert kstest([position("salt", str(number)) for number in range(20_000)], "uniform").pvalue > 0.001


def test_numbers_of_pairs_stay_what_they_are():
    chance = KeyedChance(keys(names("c", 3)), keys(names("i", 2)), DAY)
    numbers = chance.uniform(np.array([0, 0, 1, 2]), np.array([0, 1, 0, 1]))
    assert numbers.tolist() == [
        0.030016021323934605,
        0.9723828358298432,
        0.8096647544527944,
        0.7074538352253683,
    ]


def test_numbers_of_pairs_are_uniform_and_another_day_gives_others():
    customers, items = keys(names("c", 200)), keys(names("i", 100))
    rows, columns = np.repeat(np.arange(200), 100), np.tile(np.arange(100), 200)
    today = KeyedChance(customers, items, DAY).uniform(rows, columns)
    tomorrow = KeyedChance(customers, items, date(2017, 12, 1)).uniform(rows, columns)
    for numbers in (today, tomorrow, (today - tomorrow) % 1):
        assert kstest(numbers, "uniform").pvalue > 0.001
