from datetime import date

import pytest
from scipy.stats import binom

from perennial.audience.arms import Draw, arms

IDS = [str(number) for number in range(20_000)]
DAY = date(2017, 12, 1)
ONE = Draw("one", holdout=0.1, global_holdout=0.1, global_salt="perennial")
TWO = Draw("two", holdout=0.1, global_holdout=0.1, global_salt="perennial")


def drawn(draw: Draw, ids: list[str] = IDS) -> dict[str, tuple[str, float]]:
    rows = arms(draw, ids, DAY).to_pylist()
    return {row["customer_id"]: (row["arm"], row["propensity"]) for row in rows}


def within(hits: int, share: float, n: int) -> bool:
    """Inside the binomial 99.9 % band."""
    low, high = binom.interval(0.999, n, share)
    return low <= hits <= high


@pytest.mark.parametrize(("arm", "share"), [("none", 0.1), ("holdout", 0.09), ("treatment", 0.81)])
def test_an_arm_has_its_share_of_customers_and_its_propensity(arm: str, share: float):
    propensities = [propensity for name, propensity in drawn(ONE).values() if name == arm]
    assert within(len(propensities), share, len(IDS))
    assert propensities == [pytest.approx(share)] * len(propensities)


def test_a_customers_arm_does_not_depend_on_the_other_customers_or_their_order():
    all_arms = drawn(ONE)
    assert drawn(ONE, IDS[500:400:-1]) == {name: all_arms[name] for name in IDS[401:501]}


def test_the_global_holdout_is_the_same_in_every_campaign():
    one, two = drawn(ONE), drawn(TWO)
    assert {name for name in IDS if one[name][0] == "none"} == {
        name for name in IDS if two[name][0] == "none"
    }


def test_campaigns_draw_independently_of_each_other():
    one, two = drawn(ONE), drawn(TWO)
    held_out = [name for name in IDS if one[name][0] == "holdout"]
    assert within(sum(two[name][0] == "holdout" for name in held_out), 0.1, len(held_out))


def test_a_larger_global_holdout_contains_the_smaller_one():
    less, more = drawn(ONE), drawn(Draw("one", 0.1, 0.2, "perennial"))
    assert all(more[name][0] == "none" for name in IDS if less[name][0] == "none")


def test_arms_equal_those_of_earlier_versions():
    """If the arms change, running campaigns lose their holdouts."""
    draw = Draw("spring", 0.1, 0.1, "perennial")
    assert "".join(draw.arm(str(number))[0][0] for number in range(80)) == ARMS


ARMS = "ttthttttttttthttttttttttthhtttttthtttttttntnttttntttnttttttttttttttttttttttthttt"
"""First letters of treatment, holdout, none."""


def test_without_holdouts_all_customers_are_treated():
    assert {arm for arm, _ in drawn(Draw("one", 0, 0, "x"), IDS[:50]).values()} == {"treatment"}
