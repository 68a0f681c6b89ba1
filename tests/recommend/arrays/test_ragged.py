import numpy as np

from perennial.recommend.arrays.ragged import RaggedLists


def lists(seed: int) -> tuple[RaggedLists, np.ndarray]:
    """Lists of 0 to 9 values, many of them equal."""
    random = np.random.default_rng(seed)
    rows = np.repeat(np.arange(40), random.integers(0, 10, 40))
    return RaggedLists(rows, 40), random.integers(-3, 4, len(rows)).astype(np.float32)


def test_a_table_has_a_row_for_each_list():
    ragged, values = lists(0)
    table = ragged.table(values, np.nan)
    for row in range(40):
        mine = values[ragged.rows == row]
        np.testing.assert_array_equal(table[row, : len(mine)], mine)
        assert np.isnan(table[row, len(mine) :]).all()


def test_the_best_come_first_and_equals_in_their_order():
    ragged, values = lists(1)
    for k in (1, 3, 20):
        found = ragged.best(values, k)
        for row in range(40):
            mine = np.flatnonzero(ragged.rows == row)
            wanted = sorted(mine, key=lambda one: -values[one])[:k]
            assert found[row].tolist() == [*wanted, *[-1] * (k - len(wanted))]


def test_a_rank_counts_the_others_that_are_at_least_as_good():
    ragged, values = lists(2)
    for one, rank in enumerate(ragged.ranks(values)):
        mine = values[ragged.rows == ragged.rows[one]]
        assert rank == (mine >= values[one]).sum() - 1


def test_nothing_has_no_best():
    nothing = RaggedLists(np.zeros(0, np.int64), 2)
    assert nothing.best(np.zeros(0), 3).tolist() == [[-1] * 3] * 2
    assert len(nothing.ranks(np.zeros(0))) == 0
