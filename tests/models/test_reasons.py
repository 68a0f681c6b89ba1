import numpy as np

from perennial.models import features, reasons


def test_the_strongest_push_comes_first_and_says_its_direction():
    names = ("recency_days", "orders_91", "tenure_days", "orders")
    matrix = np.array([[3.0, 31.0, 400.0, 90.0]])
    pushes = np.array([[0.2, 0.9, 0.01, -0.5]])
    assert reasons.in_words(names, matrix, pushes) == [
        [
            "31 orders in the last 91 days (raises it)",
            "90 orders so far (lowers it)",
            "ordered 3 days ago (raises it)",
        ]
    ]


def test_one_of_a_kind_is_said_in_the_singular():
    assert reasons.in_words(("orders", "recency_days"), np.array([[1.0, 1.0]]), np.ones((1, 2))) == [
        ["1 order so far (raises it)", "ordered 1 day ago (raises it)"]
    ]


def test_every_feature_has_words_known_or_not():
    for values in (np.zeros(len(features.NAMES)), np.full(len(features.NAMES), np.nan)):
        for position in range(len(features.NAMES)):
            pushes = np.eye(len(features.NAMES))[[position]]
            sentence = reasons.in_words(features.NAMES, values[None, :], pushes)[0][0]
            assert sentence.endswith("(raises it)")
            assert "nan" not in sentence
