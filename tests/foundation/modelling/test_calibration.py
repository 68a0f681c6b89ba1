import numpy as np
import pytest

from perennial.foundation.modelling import calibration

P = np.random.default_rng(1).uniform(0, 1, 2463)


def test_bins_hold_equally_many_cases_and_their_actual_share():
    predicted, actual, sizes = calibration.in_bins(np.tile([0.0, 1.0], 50), np.repeat([0.2, 0.8], 50))
    assert sizes.tolist() == [10] * 10
    np.testing.assert_allclose(predicted, [0.2] * 5 + [0.8] * 5)
    np.testing.assert_allclose(actual, 0.5)
    assert calibration.error(np.tile([0.0, 1.0], 50), np.repeat([0.2, 0.8], 50)) == pytest.approx(0.3)


def test_fewer_cases_than_bins_make_fewer_bins():
    assert calibration.in_bins(np.array([0.0, 1.0]), np.array([0.1, 0.9]))[2].tolist() == [1, 1]


def test_honest_probabilities_stay_under_the_bar_as_often_as_it_says():
    bar, random = calibration.error_by_chance(P), np.random.default_rng(7)
    under = sum(calibration.error((random.random(len(P)) < P).astype(float), P) <= bar for _ in range(400))
    # 95 % of 400 is 380; 99.9 % of such counts lie between 365 and 393, and the bar is itself a draw.
    assert 362 <= under <= 394
    assert calibration.error((random.random(len(P)) < P**2).astype(float), P) > bar
