"""Intervals held against published figures, and against chance."""

import numpy as np
import pytest
from scipy import stats

from perennial.measurement.lift_intervals import (
    Estimate,
    Sums,
    difference_of_ratios,
    difference_of_shares,
    ratio,
    sample_ratio,
    share,
)


def sums(of: np.ndarray, by: np.ndarray, weight: np.ndarray | float = 1.0) -> Sums:
    w = np.broadcast_to(weight, of.shape)
    return Sums(
        int((by > 0).sum()),
        *(
            float(x.sum())
            for x in (of, by, w * of, w * by, w * w * of * of, w * w * of * by, w * w * by * by)
        ),
    )


def test_a_share_has_wilsons_interval():
    """Newcombe (1998, Statistics in Medicine 17, 857-872), table I: 81 of 263, and 0 of 20."""
    found = share(81, 263)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert (share(0, 20).low, share(0, 20).high) == (0, pytest.approx(0.1611, abs=5e-5))


def test_a_difference_of_shares_has_newcombes_interval():
    """Newcombe (1998, Statistics in Medicine 17, 873-890), table II, method 10: 56/70 − 48/80."""
    found = difference_of_shares(share(56, 70), share(48, 80))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_a_mean_and_a_difference_of_means_agree_with_scipy():
    generator = np.random.default_rng(1)
    one, other = generator.gamma(2, 10, 80), generator.gamma(2, 9, 50)
    a, b = sums(one, np.ones(80)), sums(other, np.ones(50))
    mean = stats.ttest_1samp(one, 0).confidence_interval(0.95)
    assert (ratio(a).low, ratio(a).high) == (pytest.approx(mean.low), pytest.approx(mean.high))
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    found = difference_of_ratios(a, b)
    assert (found.low, found.high) == (pytest.approx(welch.low), pytest.approx(welch.high))


def test_equal_weights_change_nothing():
    of, by = np.array([3.0, 5, 9]), np.array([1.0, 2, 2])
    plain, weighted = ratio(sums(of, by)), ratio(sums(of, by, 4.0), weighted=True)
    assert (weighted.value, weighted.low) == (pytest.approx(plain.value), pytest.approx(plain.low))


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Ratios, their differences, differences of shares; 1,000 campaigns, the binomial 99.9 % band."""
    generator = np.random.default_rng(2)
    hits = np.zeros(3)
    for _ in range(1000):
        groups = [(generator.poisson(4, n) + 1.0, generator.uniform(8, 12, n)) for n in (400, 300)]
        one, other = (sums(orders * value, orders) for orders, value in groups)
        hits[0] += contains(ratio(one), 10)
        hits[1] += contains(difference_of_ratios(one, other), 0)
        shares = share(generator.binomial(400, 0.3), 400), share(generator.binomial(100, 0.2), 100)
        hits[2] += contains(difference_of_shares(*shares), 0.1)
    low, high = stats.binom.interval(0.999, 1000, 0.95)
    assert all(low <= hit <= high for hit in hits), hits


def test_weights_undo_unequal_propensities():
    """Those who buy more were held out less often; unweighted, the groups would seem to differ."""
    generator = np.random.default_rng(3)
    spend = np.repeat([10.0, 30.0], 20_000)
    held = generator.random(40_000) < np.repeat([0.5, 0.1], 20_000)
    weight = 1 / np.where(held, np.repeat([0.5, 0.1], 20_000), np.repeat([0.5, 0.9], 20_000))
    a = sums(spend[~held], np.ones((~held).sum()), weight[~held])
    b = sums(spend[held], np.ones(held.sum()), weight[held])
    assert contains(difference_of_ratios(a, b, weighted=True), 0)
    assert abs(spend[~held].mean() - spend[held].mean()) > 5


def test_too_few_customers_get_no_interval():
    one = sums(np.array([5.0]), np.array([1.0]))
    assert ratio(one) == Estimate(5.0, None, None, ratio(one).method, 1)
    assert difference_of_ratios(one, one).low is None
    assert share(0, 0).value is None


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        ({"treatment": 808, "holdout": 93, "none": 99}, True),
        ({"treatment": 860, "holdout": 70, "none": 70}, False),
        ({"treatment": 900, "holdout": 100}, False),  # nobody is globally held out, though a tenth should be
    ],
)
def test_arms_that_are_not_as_large_as_drawn_are_found(sizes: dict[str, int], fits: bool):
    drawn = {"treatment": 0.81, "holdout": 0.09, "none": 0.1}
    assert sample_ratio(sizes, {arm: drawn[arm] for arm in sizes}).fits is fits


def test_the_sample_ratio_check_is_pearsons():
    found = sample_ratio({"treatment": 860, "holdout": 140}, {"treatment": 0.9, "holdout": 0.1})
    assert found.p == pytest.approx(stats.chisquare([860, 140], [900, 100]).pvalue)


def contains(found: Estimate, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= truth <= found.high
