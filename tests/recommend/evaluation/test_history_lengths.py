import numpy as np
import pytest

from perennial.recommend.evaluation.history_lengths import history_bounds, history_thirds


@pytest.mark.parametrize("counts", [[1, 2, 3, 4, 5, 6], [7, 7, 7], [0, 0, 1, 50], [3]])
def test_a_history_is_in_a_higher_third_if_it_is_longer_than_the_quantile(counts: list[int]):
    lengths = np.array(counts)
    first, second = np.quantile(lengths, [1 / 3, 2 / 3])
    expected = (lengths > first).astype(int) + (lengths > second)
    assert history_thirds(lengths).tolist() == expected.tolist()


def test_the_bounds_are_the_smallest_counts_of_a_middling_and_of_a_long_history():
    lengths = np.arange(1, 10)
    middling, long = history_bounds(lengths)
    thirds = history_thirds(lengths)
    assert (lengths[thirds == 1].min(), lengths[thirds == 2].min()) == (middling, long)


def test_no_customers_have_no_thirds():
    assert history_thirds(np.zeros(0, int)).tolist() == []
