import numpy as np

from perennial.models import reasons
from perennial.models.feature_groups import FEATURE_GROUPS, FeatureGroup
from perennial.models.features import NAMES

VALUES = {"recency_days": 3.0, "orders": 90.0, "orders_91": 31.0, "orders_28": 9.0, "tenure_days": 400.0}


def pushes(**found: float) -> np.ndarray:
    return np.array([[found.get(kind.value, 0.0) for kind in FEATURE_GROUPS]])


def matrix(**values: float) -> np.ndarray:
    return np.array([[values.get(name, 1.0) for name in NAMES]])


def test_the_strongest_push_comes_first_and_says_its_direction():
    found = reasons.reasons_of(matrix(**VALUES), pushes(recency=0.2, frequency=0.9, tenure=-0.5))
    assert found == [
        [
            "31 orders in the last 91 days, 9 in the last 28 (raises it)",
            "customer for 400 days (lowers it)",
            "ordered 3 days ago (raises it)",
        ]
    ]


def test_one_of_a_kind_is_said_in_the_singular():
    said = reasons.reasons_of(matrix(recency_days=1, tenure_days=1), pushes(recency=1, tenure=0.5))[0]
    assert said[:2] == ["ordered 1 day ago (raises it)", "customer for 1 day (raises it)"]


def test_every_kind_has_words_whatever_is_known():
    for value in (0.0, 5.0):
        for kind in FeatureGroup:
            said = reasons.reasons_of(matrix(**dict.fromkeys(NAMES, value)), pushes(**{kind.value: 1.0}))[0][
                0
            ]
            assert said.endswith("(raises it)")
    once = dict.fromkeys(("gap_mean_days", "recent_gap_days", "discount_share", "coupon_share"), np.nan)
    said = reasons.reasons_of(matrix(**once), pushes(gaps=1.0, discounts=0.5))[0]
    assert not any("nan" in sentence for sentence in said)
