from pathlib import Path

import numpy as np

from perennial.recommend.ranking.listwise_network import CandidateLists, ListwiseNetwork
from perennial.recommend.settings import ListwiseSettings

CHOSEN = ListwiseSettings(hidden=(16,), networks=2, epochs=20, batch=32, learning_rate=0.01)


def planted(seed: int, customers: int = 400) -> CandidateLists:
    """Candidates whose second column decides within a list, where the third is negative; busy customers."""
    random = np.random.default_rng(seed)
    lengths = random.integers(5, 30, customers)
    starts = np.r_[0, np.cumsum(lengths)[:-1]]
    rows = random.normal(size=(lengths.sum(), 4)).astype(np.float32)
    level = np.repeat(random.normal(size=customers), lengths)
    rows[:, 0] += 3 * level
    busy = random.random(customers) < 0.5
    odds = 2 * rows[:, 1] * (rows[:, 2] < 0) - 2.5 + 1.5 * np.repeat(busy, lengths)
    labels = random.random(len(rows)) < 1 / (1 + np.exp(-odds))
    return CandidateLists(rows, starts, labels, busy[:, None].astype(np.float32))


def thinned(lists: CandidateLists, share: float) -> CandidateLists:
    """Without some of what nobody bought; the first candidate of each list stays."""
    kept = lists.labels | (np.random.default_rng(0).random(len(lists.labels)) < share)
    kept[lists.starts] = True
    starts = np.r_[0, np.cumsum(np.add.reduceat(kept, lists.starts))[:-1]]
    return CandidateLists(lists.features[kept], starts, lists.labels[kept], lists.customers)


def test_it_puts_first_what_was_bought_and_says_how_likely(tmp_path: Path):
    model, fresh = (
        ListwiseNetwork.fit([thinned(planted(one), 0.5) for one in (0, 1)], CHOSEN, 0.5),
        planted(2),
    )
    said = 1 / (1 + np.exp(-model.log_odds(fresh.features, fresh.starts, fresh.customers)))
    told = fresh.features[:, 2] < 0
    assert np.corrcoef(said[told], fresh.features[told, 1])[0, 1] > 0.7
    assert abs(np.corrcoef(said[~told], fresh.features[~told, 1])[0, 1]) < 0.45
    busy = np.repeat(fresh.customers[:, 0] > 0, fresh.lengths)
    for part in (busy, ~busy, said > np.median(said), said <= np.median(said)):
        error = 4 * np.sqrt(fresh.labels[part].mean() / part.sum())
        assert abs(said[part].mean() - fresh.labels[part].mean()) < error
    model.save(tmp_path / "model.npz")
    again = ListwiseNetwork.load(tmp_path / "model.npz").log_odds(
        fresh.features, fresh.starts, fresh.customers
    )
    np.testing.assert_array_equal(1 / (1 + np.exp(-again)), said)


def test_the_same_lists_give_the_same_network():
    one, other = (ListwiseNetwork.fit([planted(0, 60)], CHOSEN) for _ in range(2))
    asked = planted(3, 20)
    first, second = (each.log_odds(asked.features, asked.starts, asked.customers) for each in (one, other))
    np.testing.assert_array_equal(first, second)


def test_where_nothing_was_ever_bought_nothing_is_likely(tmp_path: Path):
    lists = planted(0, 60)
    nothing = CandidateLists(lists.features, lists.starts, np.zeros(len(lists.labels), bool), lists.customers)
    ListwiseNetwork.fit([nothing], CHOSEN).save(tmp_path / "model.npz")
    said = ListwiseNetwork.load(tmp_path / "model.npz").log_odds(
        lists.features, lists.starts, lists.customers
    )
    assert (said < -8).all()
