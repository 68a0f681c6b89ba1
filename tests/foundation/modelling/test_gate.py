import numpy as np
import pytest

from perennial.foundation.modelling import gate
from perennial.foundation.modelling.gate import Answers, Verdict

RNG = np.random.default_rng(3)
LOSSES = RNG.gamma(2, 0.2, 2000)
PROBABILITIES = RNG.uniform(0.02, 0.98, 2000)
LABELS = (RNG.random(2000) < PROBABILITIES).astype(float)


def judge(candidate: np.ndarray, champion: np.ndarray = LOSSES, **options: object) -> Verdict:
    settings = {"fresher": True, "margin": 0.01, "group_margin": 0.02, **options}
    return gate.judge(Answers(candidate), Answers(champion), **settings)  # type: ignore[arg-type]


def honest(probabilities: np.ndarray, labels: np.ndarray = LABELS, **groups: np.ndarray) -> Answers:
    losses = -np.log(np.where(labels > 0, probabilities, 1 - probabilities))
    return Answers(losses, groups, probabilities, labels)


def test_the_first_model_needs_no_champion_to_beat():
    verdict = gate.judge(Answers(LOSSES), None, fresher=True, margin=0.0, group_margin=0.0)
    assert verdict.promote
    assert "first of its kind" in verdict.reason


def test_a_copy_is_promoted_only_when_it_is_fresher():
    fresh = judge(LOSSES, margin=0.001)
    assert fresh.promote
    assert fresh.figures["extra_loss"] == 0
    assert fresh.reason.startswith("fresher and not worse")
    stale = judge(LOSSES, fresher=False)
    assert not stale.promote
    assert stale.reason.startswith("neither fresher nor better")


def test_a_better_model_is_promoted_even_when_it_is_no_fresher():
    verdict = judge(LOSSES - 0.05 + RNG.normal(0, 0.1, 2000), margin=0.0, fresher=False)
    assert verdict.promote
    assert verdict.reason.startswith("better")


def test_a_worse_model_is_not_promoted():
    verdict = judge(LOSSES + 0.05)
    assert not verdict.promote
    assert "not shown to be as good" in verdict.reason


def test_too_few_cases_to_tell_keep_the_champion():
    noise = RNG.normal(0, 0.5, 20)
    assert not judge(LOSSES[:20] + noise - noise.mean(), LOSSES[:20]).promote


def test_a_model_that_is_better_but_worse_for_a_large_group_is_not_promoted():
    young = np.arange(2000) < 300
    extra = np.where(young, 0.2, -0.1) + RNG.normal(0, 0.1, 2000)
    verdict = gate.judge(
        Answers(LOSSES + extra, {"young": young, "old": ~young, "few": np.arange(2000) < 199}),
        Answers(LOSSES),
        fresher=True,
        margin=0.01,
        group_margin=0.02,
    )
    assert not verdict.promote
    assert "clearly worse for young (300 cases): extra loss +0.1" in verdict.reason
    assert "old" not in verdict.reason
    assert verdict.figures.keys() >= {"extra_loss/young", "extra_loss/old"}
    assert "extra_loss/few" not in verdict.figures


def test_a_model_that_is_better_but_worse_on_a_part_of_the_task_is_not_promoted():
    def answers(losses: np.ndarray, of_new: float, cases: int) -> Answers:
        part = np.where(np.arange(2000) < cases, of_new + RNG.normal(0, 0.05, 2000), np.nan)
        return Answers(losses, parts={"what is new": part})

    options = {"fresher": True, "margin": 0.01, "group_margin": 0.02}
    kept = gate.judge(answers(LOSSES - 0.1, 0.6, 500), answers(LOSSES, 0.5, 500), **options)  # type: ignore[arg-type]
    assert not kept.promote
    assert "clearly worse for what is new (500 cases): extra loss +0.1" in kept.reason
    assert gate.judge(answers(LOSSES, 0.6, 199), answers(LOSSES, 0.5, 199), **options).promote  # type: ignore[arg-type]


def test_a_model_that_names_few_different_items_is_not_promoted():
    options = {"fresher": True, "margin": 0.01, "group_margin": 0.02}
    kept = gate.judge(Answers(LOSSES, coverage=0.04), Answers(LOSSES, coverage=0.1), **options)  # type: ignore[arg-type]
    assert not kept.promote
    assert kept.reason == "names too few different things: 4.00% of all, the champion 10.00%"
    assert kept.figures["coverage_of_champion"] == 0.1
    assert gate.judge(Answers(LOSSES, coverage=0.06), Answers(LOSSES, coverage=0.1), **options).promote  # type: ignore[arg-type]


def test_a_small_group_or_one_that_loses_by_chance_stops_no_candidate():
    small = np.arange(2000) < 199
    noisy = np.arange(2000) >= 1700
    extra = np.where(small, 0.3, -0.1) + np.where(noisy, 0.1 + RNG.normal(0, 2.0, 2000), 0)
    verdict = gate.judge(
        Answers(LOSSES + extra, {"small": small, "noisy": noisy}),
        Answers(LOSSES),
        fresher=True,
        margin=0.2,
        group_margin=0.02,
    )
    assert verdict.promote
    assert "none of 1 groups clearly worse" in verdict.reason


def test_badly_calibrated_probabilities_are_not_promoted_unless_the_champions_are_no_better():
    bold = np.clip(PROBABILITIES * 1.4 - 0.2, 0.02, 0.98)
    options = {"fresher": True, "margin": 0.5, "group_margin": 0.5}
    kept = gate.judge(honest(bold), honest(PROBABILITIES), **options)  # type: ignore[arg-type]
    assert not kept.promote
    assert "further off than chance allows" in kept.reason
    assert gate.judge(honest(bold), honest(bold), **options).promote  # type: ignore[arg-type]
    promoted = gate.judge(honest(PROBABILITIES), honest(bold), **options)  # type: ignore[arg-type]
    assert promoted.promote
    assert promoted.figures["calibration_error"] <= promoted.figures["calibration_error_by_chance"]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for draw in range(200):
        extra = np.random.default_rng(draw).normal(0.02, 0.3, 300)
        figures = judge(extra, np.zeros(300), margin=0.0, draws=400).figures
        covered += figures["extra_loss_low"] <= 0.02 <= figures["extra_loss_high"]
    # 95 % of 200 is 190; 99.9 % of such counts lie between 179 and 198.
    assert 176 <= covered <= 199


def test_a_million_cases_have_the_interval_that_theory_gives_them():
    extra = np.random.default_rng(5).gamma(2, 0.2, 1_000_003)
    figures = judge(extra, np.zeros(len(extra)), draws=1000).figures
    width = figures["extra_loss_high"] - figures["extra_loss_low"]
    assert width == pytest.approx(2 * 1.96 * extra.std() / np.sqrt(len(extra)), rel=0.1)
    assert (figures["extra_loss_high"] + figures["extra_loss_low"]) / 2 == pytest.approx(
        extra.mean(), abs=1e-4
    )


def test_other_cases_are_refused():
    with pytest.raises(ValueError, match="same cases"):
        judge(LOSSES, LOSSES[:-1])
    with pytest.raises(ValueError, match="same cases"):
        judge(LOSSES[:0], LOSSES[:0])
    with pytest.raises(ValueError, match="labels of the same cases are needed; 2000 of 2000 differ"):
        gate.judge(
            honest(PROBABILITIES),
            honest(PROBABILITIES, 1 - LABELS),
            fresher=True,
            margin=0.1,
            group_margin=0.1,
        )


def test_answers_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match=r"young: a value for each case is needed; found \(3,\)"):
        Answers(LOSSES, {"young": np.ones(3, bool)})
    with pytest.raises(ValueError, match="losses: 1 of them are no number"):
        Answers(np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="together"):
        Answers(LOSSES, probabilities=PROBABILITIES)
