import numpy as np
import pyarrow as pa
import pytest

from perennial.models import fairness
from perennial.models.fairness import DIMENSIONS, NOT_KNOWN

RNG = np.random.default_rng(2)
AGES = ["65+", "19-24", "25-34", None]


def people(ages: list[str | None], **columns: np.ndarray) -> pa.Table:
    nothing = pa.nulls(len(ages), pa.string())
    known = dict.fromkeys(DIMENSIONS, nothing) | {"age": pa.array(ages, pa.string())}
    return pa.table(known | {name: pa.array(values) for name, values in columns.items()})


def test_groups_stand_in_a_persons_order_and_those_too_small_are_left_out_and_counted():
    ages = AGES * 60 + ["35-44"] * 3 + ["Under 18"] * 50
    today = people(ages, score=np.linspace(0, 1, len(ages)))
    (age,) = fairness.dimensions(today, None, 0.5, 50)
    assert [group.name for group in age.groups] == ["Under 18", "19-24", "25-34", "65+", NOT_KNOWN]
    assert (age.label, age.small, age.left_out) == ("Age", 1, 3)
    assert {group.score.n for group in age.groups} == {50, 60}
    assert all(group.contacted is None and group.truth is None for group in age.groups)


def test_a_customer_at_the_threshold_counts_as_likely_to_come_back():
    today = people(["65+"] * 4, score=np.array([0.2, 0.5, 0.7, 0.4]), contacted=np.array([1, 0, 0, 0]))
    (group,) = fairness.dimensions(today, None, 0.5, 2)[0].groups
    assert (group.above.value, group.score.value) == (0.5, pytest.approx(0.45))
    assert group.contacted is not None
    assert group.contacted.value == 0.25


def test_scores_that_mean_something_else_for_one_group_are_called_out_and_others_are_not():
    ages = ["19-24"] * 400 + ["65+"] * 400
    said = RNG.uniform(0.6, 0.99, 800)
    came = RNG.random(800) < said - 0.12 * (np.arange(800) < 400)
    past = people(ages, probability=said, came_back=came.astype(float))
    young, old = fairness.dimensions(people(ages, score=said), past, 0.5, 50)[0].groups
    assert young.truth is not None
    assert old.truth is not None
    assert (young.truth.odd, old.truth.odd) == (True, False)
    assert young.truth.difference.high < 0
    assert old.truth.difference.low < 0 < old.truth.difference.high


def test_honest_scores_are_called_out_as_seldom_as_promised():
    """Also where nearly everybody comes back, and a t test would be surprised."""
    odd = 0
    for draw in range(300):
        random = np.random.default_rng(draw)
        ages = [f"{band}-{band + 9}" for band in range(20, 70, 10) for _ in range(60)]
        said = random.beta(40, 1, 300)
        past = people(ages, probability=said, came_back=(random.random(300) < said).astype(float))
        (age,) = fairness.dimensions(people(ages, score=said), past, 0.5, 50)
        odd += any(group.truth is not None and group.truth.odd for group in age.groups)
    # At most 5 % of 300 days: 15; 99.9 % of such counts stay under 28.
    assert odd <= 27


def test_many_customers_are_judged_as_few_would_be():
    said = np.tile(RNG.uniform(0.3, 0.9, 10_000), 2)
    for came in (int(said.sum()), int(said.sum()) + 150):
        exact, normal = fairness.accident(said, came), fairness.accident(np.r_[said, 0.0], came)
        assert normal == pytest.approx(exact, abs=0.02)


def test_a_shop_that_knows_nothing_of_its_customers_has_no_groups():
    assert fairness.dimensions(people([None] * 99, score=np.ones(99)), None, 0.5, 50) == []


def test_intervals_agree_with_the_literature():
    # Wilson's interval of 81 of 263, as in Newcombe (1998), table I.
    share = fairness.share(np.repeat([1.0, 0.0], [81, 182]))
    assert (round(share.low, 4), round(share.high, 4)) == (0.2553, 0.3662)
    mean = fairness.mean(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (mean.low, mean.high) == (pytest.approx(1.0368, abs=1e-4), pytest.approx(4.9632, abs=1e-4))
