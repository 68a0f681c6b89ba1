import numpy as np
from scipy import stats

from perennial.foundation.bootstrap import Interval, bounds, interval, resample_counts, resamples

VALUES = np.random.default_rng(1).normal(size=500)


def test_an_interval_is_the_same_on_every_run():
    assert interval(VALUES) == Interval(-0.0357383189821331, -0.12029964871535075, 0.04686619746444278)


def test_an_interval_is_scipys_but_for_rounding():
    scipys = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=1000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = interval(VALUES)
    np.testing.assert_allclose((ours.low, ours.high), (scipys.low, scipys.high), rtol=1e-13)


def test_counts_say_how_often_each_case_is_in_each_resample():
    counts = resample_counts(len(VALUES), 20)
    assert counts.sum(axis=1).tolist() == [len(VALUES)] * 20
    means = [VALUES[rows].mean() for rows in resamples(len(VALUES), 20)]
    np.testing.assert_allclose(counts @ VALUES / len(VALUES), means)


def test_bounds_along_an_axis_are_those_of_each_column():
    estimates = np.random.default_rng(2).normal(size=(100, 3))
    low, high = bounds(estimates, axis=0)
    for column in range(3):
        assert (low[column], high[column]) == tuple(bounds(estimates[:, column]))
