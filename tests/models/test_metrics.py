import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from perennial.models import metrics
from perennial.models.baselines import recency
from perennial.models.features import NAMES

RNG = np.random.default_rng(1)
SAID = np.round(RNG.random(400), 2)
TRUE = (RNG.random(400) < SAID).astype(float)


def test_the_measures_agree_with_an_independent_library():
    found = metrics.figures(TRUE, SAID, 0.5, draws=50)
    clipped = np.clip(SAID, 1e-7, 1 - 1e-7)
    assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(TRUE, SAID), abs=1e-12)
    assert found["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(TRUE, SAID), abs=1e-12)
    assert found["log_loss"] == pytest.approx(sklearn_metrics.log_loss(TRUE, clipped), abs=1e-6)
    likely = SAID >= 0.5
    for name in ("precision", "recall", "accuracy"):
        assert found[name] == pytest.approx(
            getattr(sklearn_metrics, f"{name}_score")(TRUE, likely), abs=1e-12
        )


def test_the_area_of_a_resample_is_that_of_its_cases():
    counts = np.bincount(RNG.integers(0, 400, 400), minlength=400).astype(float)
    repeated = np.repeat(np.arange(400), counts.astype(int))
    found = metrics.area_under_curve(TRUE, SAID, counts[None, :])[0]
    assert found == pytest.approx(sklearn_metrics.roc_auc_score(TRUE[repeated], SAID[repeated]), abs=1e-12)


def test_an_interval_holds_its_estimate():
    found = metrics.figures(TRUE, SAID, 0.5)
    for name in ("auc", "log_loss", "brier", "precision", "recall", "accuracy"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_the_gain_of_a_perfect_order_rises_at_once():
    assert metrics.gain(np.array([0.0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8])).tolist() == [
        0,
        0.5,
        1,
        1,
        1,
    ]


def test_the_recency_rule_says_what_happened_to_those_like_them():
    cases = np.zeros((100, len(NAMES)))
    cases[:, NAMES.index("recency_days")] = np.repeat([1, 50], 50)
    labels = np.repeat([1.0, 0.0], 50)
    said = recency.probabilities(cases, labels, cases[[0, 99]])
    assert said[0] > 0.95
    assert said[1] < 0.05
