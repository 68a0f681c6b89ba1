"""What is promoted, against counting day by day."""

from datetime import date, timedelta

import ibis
import numpy as np
import pyarrow as pa

from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.promotions import NAMES, promotion_features
from perennial.recommend.ranking.listwise_network import CandidateLists, ListwiseNetwork
from perennial.recommend.settings import ListwiseSettings
from tests.recommend.goods import catalogue_of, history_of

DAY = date(2024, 5, 1)
STORES = ("s1", "s2", "s3", "s4")
SPANS = {"usually": (-91, 0), "lately": (-28, 0), "now": (-7, 0), "soon": (0, 14)}


def drawn(rows: int) -> list[tuple[str, str, date, str | None, str | None]]:
    random, goods = np.random.default_rng(0), list(catalogue_of().item_ids)
    found = {}
    for _ in range(rows):
        item, store = goods[random.integers(len(goods))], STORES[random.integers(len(STORES))]
        week = DAY + timedelta(days=int(random.integers(-110, 30)))
        ways = [None if random.random() < 0.4 else "A" for _ in range(2)]
        found[item, store, week] = (item, store, week, *ways)
    return list(found.values())


def table(rows: list[tuple[str, str | None, date, str | None, str | None]]) -> ibis.Table:
    names = ("item_id", "store_id", "week", "mailer", "display")
    kinds = (pa.string(), pa.string(), pa.date32(), pa.string(), pa.string())
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return ibis.memtable(
        pa.table({name: pa.array(one, kind) for name, one, kind in zip(names, columns, kinds, strict=True)})
    )


def test_shares_of_stores_are_those_of_counting_day_by_day():
    catalogue, rows = catalogue_of(), drawn(3000)
    found = promotion_features(table(rows), catalogue, DAY)
    assert found.shape == (len(catalogue), len(NAMES))
    for number, item in enumerate(catalogue.item_ids):
        for way, column in (("advertised", 3), ("displayed", 4)):
            said = {}
            for when, (first, end) in SPANS.items():
                days = [DAY + timedelta(days=1 + day) for day in range(first, end)]
                weeks = [row for row in rows if row[0] == item and row[column]]
                shares = [sum(0 <= (day - row[2]).days < 7 for row in weeks) / len(STORES) for day in days]
                said[when] = min(np.mean(shares), 1)
                at = NAMES.index(f"{way}_{when}")
                assert np.isclose(found[number, at], said[when], atol=1e-5), (item, way, when)
            more = found[number, NAMES.index(f"{way}_more")]
            assert np.isclose(more, said["soon"] - said["usually"], atol=1e-5)


def test_without_a_store_it_is_promoted_in_all_of_them_and_what_is_not_on_the_shelf_is_left_out():
    week = DAY + timedelta(days=1)
    rows = [
        ("ale", None, week, "A", None),
        ("milk", "s1", week, None, "3"),
        ("unheard-of", "s2", week, "A", None),
    ]
    found = dict(
        zip(catalogue_of().item_ids, promotion_features(table(rows), catalogue_of(), DAY), strict=True)
    )
    assert found["ale"][NAMES.index("advertised_soon")] == 0.5
    assert found["milk"][NAMES.index("displayed_soon")] == 0.25
    assert not found["ale"][NAMES.index("displayed_soon")]
    assert not found["lager"].any()


def test_where_nothing_is_promoted_facts_hold_zeros():
    catalogue = catalogue_of()
    nothing = promotion_features(table([]), catalogue, DAY)
    assert nothing.shape == (len(catalogue), len(NAMES))
    assert not nothing.any()
    history = history_of(catalogue, {"a": [("ale", 3)], "b": [("milk", 9)]})
    assert np.array_equal(
        ItemFeatures.of(history, catalogue).table, ItemFeatures.of(history, catalogue, nothing).table
    )


def test_what_never_varied_while_learning_changes_nothing_later():
    random = np.random.default_rng(0)
    columns = random.normal(size=(400, 3)).astype(np.float32)
    columns[:, 2] = 0
    starts, customers = np.arange(0, 400, 10), np.zeros((40, 1), np.float32)
    lists = CandidateLists(columns, starts, columns[:, 0] > 1, customers)
    network = ListwiseNetwork.fit(
        [lists], ListwiseSettings(hidden=(8,), networks=1, epochs=1, least_steps=20)
    )
    promoted_now = columns + np.array([0, 0, 1], np.float32)
    assert np.array_equal(
        network.log_odds(columns, starts, customers), network.log_odds(promoted_now, starts, customers)
    )
