import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from perennial.recommend import blend


def test_the_blend_is_the_logistic_regression_of_an_independent_library():
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.ones(3000), rng.normal(size=(3000, 2))])
    labels = (rng.random(3000) < 1 / (1 + np.exp(-rows @ [-1.0, 2.0, -0.5]))).astype(float)
    found = blend.learn(rows, labels)
    peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(rows[:, 1:], labels)
    assert found.weights == pytest.approx([peer.intercept_[0], *peer.coef_[0]], abs=1e-5)


def test_a_signal_that_never_varies_does_no_harm():
    rows = np.column_stack([np.ones(100), np.zeros(100), np.linspace(-1, 1, 100)])
    found = blend.learn(rows, (np.linspace(-1, 1, 100) > 0).astype(float))
    assert np.isfinite(found.weights).all()


def test_personal_frequency_puts_what_was_bought_first():
    signals = blend.signals(
        weight=np.array([0.0, 0.01, 8.0, 0.0]),
        buyers=np.array([100_000, 1, 1, 5]),
        likeness=np.zeros(4),
        busyness=np.ones(4),
    )
    assert np.argsort(-blend.FREQUENCY.probability(signals)).tolist() == [2, 1, 0, 3]
    assert np.argsort(-blend.POPULARITY.probability(signals), kind="stable").tolist() == [0, 3, 1, 2]
