"""Held against the figures that Fader, Hardie and Lee (2005) published for CDNOW."""

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from perennial.models.baselines import bgnbd
from perennial.models.baselines.bgnbd import Histories


@pytest.fixture(scope="module")
def cdnow() -> Histories:
    """CDNOW's 2,357 customers in weeks; the data come with lifetimes, whose code is not loaded."""
    found = find_spec("lifetimes")
    if found is None or not found.submodule_search_locations:
        pytest.skip("lifetimes is not installed (requirements-dev.txt)")
    path = Path(found.submodule_search_locations[0]) / "datasets" / "cdnow_customers_summary.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return Histories(
        *(np.array([float(row[name]) for row in rows]) for name in ("frequency", "recency", "T"))
    )


def test_the_published_parameters_are_found(cdnow: Histories):
    found = bgnbd.fit(cdnow)
    assert len(cdnow.age) == 2357
    assert (found.r, found.alpha, found.a, found.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=2e-3)
    assert found.log_likelihood == pytest.approx(-9582.4, abs=0.1)


def test_what_is_simulated_is_found_again():
    random = np.random.default_rng(0)
    given = simulated(random, customers=4000, r=1.5, alpha=20.0, a=0.8, b=3.0)
    found = bgnbd.fit(given)
    assert (found.r, found.alpha, found.a, found.b) == pytest.approx((1.5, 20.0, 0.8, 3.0), rel=0.25)


def test_who_fell_silent_after_many_orders_is_less_likely_to_be_there():
    model = bgnbd.BgNbd(r=1.0, alpha=10.0, a=1.0, b=3.0, log_likelihood=0.0)
    given = Histories(np.array([20.0, 20.0, 0.0]), np.array([195.0, 60.0, 0.0]), np.full(3, 200.0))
    alive = model.alive(given)
    assert alive[0] > 0.9 > 0.1 > alive[1]
    assert alive[2] == 1.0
    said = model.probabilities(given, 28)
    assert said[0] > said[2] > said[1]


def simulated(
    random: np.random.Generator, customers: int, r: float, alpha: float, a: float, b: float
) -> Histories:
    """A year of a shop that is just as the model has it."""
    rates, leaving = random.gamma(r, 1 / alpha, customers), random.beta(a, b, customers)
    repeats, last = np.zeros(customers), np.zeros(customers)
    for customer in range(customers):
        now = random.exponential(1 / rates[customer])
        while now < 365:
            repeats[customer] += 1
            last[customer] = now
            if random.random() < leaving[customer]:
                break
            now += random.exponential(1 / rates[customer])
    return Histories(repeats, last, np.full(customers, 365.0))
