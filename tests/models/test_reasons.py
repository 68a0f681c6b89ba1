import numpy as np

from perennial.models import reasons
from perennial.models.feature_groups import FEATURE_GROUPS, FeatureGroup
from perennial.models.features import NAMES

VALUES = {"recency_days": 3.0, "orders": 90.0, "orders_91": 31.0, "orders_28": 9.0, "tenure_days": 400.0}


def contributions(**by_group: float) -> np.ndarray:
    return np.array([[by_group.get(group.value, 0.0) for group in FEATURE_GROUPS]])


def matrix(**values: float) -> np.ndarray:
    return np.array([[values.get(name, 1.0) for name in NAMES]])


def test_the_greatest_contribution_comes_first_with_its_direction():
    sentences = reasons.reasons_of(matrix(**VALUES), contributions(recency=0.2, frequency=0.9, tenure=-0.5))
    assert sentences == [
        [
            "31 orders in the last 91 days, 9 in the last 28 (raises it)",
            "customer for 400 days (lowers it)",
            "ordered 3 days ago (raises it)",
        ]
    ]


def test_a_count_of_one_is_in_the_singular():
    sentences = reasons.reasons_of(
        matrix(recency_days=1, tenure_days=1), contributions(recency=1, tenure=0.5)
    )[0]
    assert sentences[:2] == ["ordered 1 day ago (raises it)", "customer for 1 day (raises it)"]


def test_every_feature_group_has_a_sentence_for_all_values():
    for value in (0.0, 5.0):
        for group in FeatureGroup:
            of_group = contributions(**{group.value: 1.0})
            sentences = reasons.reasons_of(matrix(**dict.fromkeys(NAMES, value)), of_group)[0]
            assert sentences[0].endswith("(raises it)")
    once = dict.fromkeys(("gap_mean_days", "recent_gap_days", "discount_share", "coupon_share"), np.nan)
    sentences = reasons.reasons_of(matrix(**once), contributions(gaps=1.0, discounts=0.5))[0]
    assert not any("nan" in sentence for sentence in sentences)
