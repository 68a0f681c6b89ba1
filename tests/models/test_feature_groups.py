import numpy as np

from perennial.models import feature_groups
from perennial.models.feature_groups import COLUMNS, FEATURE_GROUPS, NAMES, FeatureGroup

RANDOM = np.random.default_rng(0)
TYPICAL = RANDOM.normal(size=len(NAMES))
READ = RANDOM.normal(size=(5, len(NAMES)))


def test_every_kind_of_evidence_has_columns():
    assert set(COLUMNS) == set(range(len(FEATURE_GROUPS)))


def test_of_a_sum_each_kind_adds_its_own_part():
    weights = RANDOM.normal(size=len(NAMES))
    found = feature_groups.shapley(lambda seen: seen @ weights, READ, TYPICAL)
    own = [
        ((READ - TYPICAL) * weights)[:, place == COLUMNS].sum(axis=1) for place in range(len(FEATURE_GROUPS))
    ]
    np.testing.assert_allclose(found, np.column_stack(own), atol=1e-12)


def test_what_all_kinds_add_is_the_difference_from_the_typical_customer():
    def score(seen: np.ndarray) -> np.ndarray:
        return np.tanh(seen[:, 0] * seen[:, 1]) + np.sin(seen.sum(axis=1))

    found = feature_groups.shapley(score, READ, TYPICAL)
    np.testing.assert_allclose(found.sum(axis=1), score(READ) - score(TYPICAL[None]), atol=1e-12)


def test_evidence_that_is_taken_away_is_the_typical_customers():
    bare = feature_groups.without(READ, FeatureGroup.RECENCY, TYPICAL)
    its = FEATURE_GROUPS.index(FeatureGroup.RECENCY) == COLUMNS
    np.testing.assert_array_equal(bare[:, ~its], READ[:, ~its])
    assert (bare[:, its] == TYPICAL[its]).all()
