import numpy as np
import pytest

from perennial.models import drift
from perennial.models.drift import Bins, Level, Reference

RNG = np.random.default_rng(11)
NAMES = ("orders", "gap")


def matrix(n: int = 5000) -> np.ndarray:
    gaps = RNG.gamma(2, 5, n)
    gaps[RNG.random(n) < 0.1] = np.nan
    return np.column_stack([RNG.poisson(3, n).astype(float), gaps])


TRAINED = drift.reference(matrix(), NAMES, RNG.beta(4, 1, 5000))


def test_days_like_the_training_window_stay_under_what_chance_brings():
    beyond = 0
    for _ in range(200):
        found = TRAINED.drifts(matrix(1000), NAMES, RNG.beta(4, 1, 1000))
        assert list(found) == ["score", "orders", "gap"]
        beyond += sum(one.psi > one.by_chance for one in found.values())
    # One of 1,000 expected; eight or more of 600 would come once in ten million times.
    assert beyond < 8


def test_the_index_is_the_textbooks_formula():
    bins = Bins((10.0,), (400, 600, 0))
    found = bins.drift_of(np.repeat([5.0, 20.0], [6000, 4000]))
    by_hand = (0.6 - 0.4) * np.log(0.6 / 0.4) + (0.4 - 0.6) * np.log(0.4 / 0.6)
    assert found.psi == pytest.approx(by_hand, rel=0.02)


def test_a_shift_is_seen_in_the_measure_that_shifted_and_nowhere_else():
    day = matrix(1000)
    day[:, 1] *= 2
    found = TRAINED.drifts(day, NAMES, RNG.beta(4, 1, 1000))
    levels = {name: one.level(0.1, 0.25) for name, one in found.items()}
    assert levels == {"score": Level.STEADY, "orders": Level.STEADY, "gap": Level.SHIFTED}


def test_a_shift_away_from_a_value_that_most_share_is_seen():
    """Most customers never redeem a coupon: a shop where a fifth begins to has changed."""
    trained = drift.reference(np.where(np.arange(1000) < 960, 0.0, 1.0)[:, None], ("coupons",), np.ones(1000))
    found = trained.drifts(np.where(np.arange(1000) < 780, 0.0, 1.0)[:, None], ("coupons",), np.ones(1000))
    assert found["coupons"].level(0.1, 0.25) == Level.SHIFTED
    assert found["score"].level(0.1, 0.25) == Level.STEADY


def test_values_that_go_missing_are_a_shift():
    day = matrix(1000)
    day[:500, 0] = np.nan
    assert TRAINED.drifts(day, NAMES, RNG.beta(4, 1, 1000))["orders"].level(0.1, 0.25) == Level.SHIFTED


def test_few_customers_that_differ_by_chance_are_no_shift():
    found = [TRAINED.drifts(matrix(20), NAMES, RNG.beta(4, 1, 20))["gap"] for _ in range(20)]
    assert max(one.psi for one in found) > 0.25
    assert {one.level(0.1, 0.25) for one in found} == {Level.STEADY}


def test_a_measure_without_any_spread_or_value_does_no_harm():
    still = drift.reference(np.column_stack([np.ones(9), np.full(9, np.nan)]), NAMES, np.full(9, 0.5))
    found = still.drifts(np.column_stack([np.ones(9), np.full(9, np.nan)]), NAMES, np.full(9, 0.5))
    assert all(one.psi < one.by_chance for one in found.values())
    moved = still.drifts(np.full((900, 2), 2.0), NAMES, np.full(900, 0.5))
    assert moved["gap"].psi > 0.25


def test_a_reference_is_the_same_after_saving():
    assert Reference.from_json(TRAINED.to_json()) == TRAINED


def test_a_feature_that_is_gone_is_named():
    with pytest.raises(ValueError, match="learnt from are missing: gap"):
        TRAINED.drifts(matrix(10)[:, :1], NAMES[:1], np.ones(10))
