import numpy as np
import pytest

from perennial.foundation import gate

RNG = np.random.default_rng(3)
LOSSES = RNG.gamma(2, 0.2, 2000)


def test_the_first_model_needs_no_champion_to_beat():
    assert gate.judge(LOSSES, None, margin=0.0).promote


def test_a_fresher_copy_is_promoted():
    verdict = gate.judge(LOSSES, LOSSES, margin=0.001)
    assert verdict.promote
    assert verdict.difference == 0


def test_a_better_model_is_promoted():
    assert gate.judge(LOSSES - 0.05, LOSSES, margin=0.0).promote


def test_a_worse_model_is_not():
    verdict = gate.judge(LOSSES + 0.05, LOSSES, margin=0.01)
    assert not verdict.promote
    assert "not shown to be as good" in verdict.reason


def test_too_few_cases_to_tell_keep_the_champion():
    noise = RNG.normal(0, 0.5, 20)
    assert not gate.judge(LOSSES[:20] + noise - noise.mean(), LOSSES[:20], margin=0.01).promote


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for draw in range(200):
        extra = np.random.default_rng(draw).normal(0.02, 0.3, 300)
        verdict = gate.judge(extra, np.zeros(300), margin=0.0, draws=400)
        covered += verdict.low <= 0.02 <= verdict.high
    # 95 % of 200 is 190; 99.9 % of such counts lie between 179 and 198.
    assert 176 <= covered <= 199


def test_other_cases_are_refused():
    with pytest.raises(ValueError, match="same cases"):
        gate.judge(LOSSES, LOSSES[:-1], margin=0.0)
    with pytest.raises(ValueError, match="same cases"):
        gate.judge(LOSSES[:0], LOSSES[:0], margin=0.0)
