from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.recommend.data import tables
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.pairs import NEVER, PurchasedPairs

DAY = date(2017, 5, 31)


def catalogue(items: int) -> Catalogue:
    rows = [
        {
            "item_id": f"i{one:02}",
            "title": f"t{one}",
            "category": f"a > b{one % 2} > c{one % 4}",
            "brand": None,
        }
        for one in range(items)
    ]
    return Catalogue.of(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in rows[0]])))


def events(rows: list[tuple[str, str, str | None, int, float]]) -> ibis.Table:
    """Customer, item, order, days before the end of the day, what was paid."""
    end = datetime(2017, 6, 1, tzinfo=UTC)
    held = [
        {
            "customer_id": who,
            "item_id": what,
            "order_id": order,
            "event_type": "purchase",
            "occurred_at": end - timedelta(days=age, hours=6),
            "quantity": 1,
            "unit_price": paid * 2,
            "revenue": paid,
        }
        for who, what, order, age, paid in rows
    ]
    return ibis.memtable(pd.DataFrame(held))


def random_rows(seed: int, customers: int = 20, items: int = 12) -> list[tuple[str, str, str, int, float]]:
    random = np.random.default_rng(seed)
    found = []
    for who in range(customers):
        for number in range(int(random.integers(1, 9))):
            age = int(random.integers(0, 200))
            for what in random.choice(items, int(random.integers(1, 4)), replace=False):
                found.append((f"c{who:02}", f"i{what:02}", f"o{who}-{number}", age, 1.0 + float(what)))
    return found


def known(rows: list[tuple], items: int = 12) -> PurchaseHistory:
    return PurchaseHistory.of_lines(tables.order_lines(events(rows), DAY).to_pyarrow(), catalogue(items))


def test_an_item_counts_once_in_an_order_and_a_purchase_without_order_is_one_by_its_moment():
    found = known(
        [
            ("a", "i01", "o1", 3, 2.0),
            ("a", "i01", "o1", 3, 3.0),
            ("a", "i02", None, 1, 4.0),
            ("b", "i99", "o2", 0, 1.0),
        ]
    )
    assert found.customer_ids.tolist() == ["a"]
    assert found.items.tolist() == [1, 2]
    assert found.ages.tolist() == [3, 1]
    assert found.orders.tolist() == [0, 1]
    assert found.quantities.tolist() == [2, 1]
    assert found.paid.tolist() == [5, 4]
    assert found.listed.tolist() == [10, 8]


def test_weights_are_what_pandas_counts():
    rows = random_rows(1)
    held, frame = known(rows), pd.DataFrame(rows, columns=["who", "what", "order", "age", "paid"])
    for half_life, window, newest in (
        (None, None, False),
        (30, None, False),
        (30, 60, False),
        (45, None, True),
    ):
        some = frame if window is None else frame[frame.age < window]
        if newest:
            some = some.sort_values("age").drop_duplicates(["who", "what"])
        weight = np.ones(len(some)) if half_life is None else 0.5 ** (some.age / half_life)
        table = some.assign(weight=weight).pivot_table(
            index="who", columns="what", values="weight", aggfunc="sum"
        )
        wanted = table.reindex(index=held.customer_ids, columns=[f"i{one:02}" for one in range(12)]).fillna(0)
        found = held.weights(half_life, window, newest_only=newest).toarray()
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_the_history_of_some_customers_is_theirs_alone(tmp_path: Path):
    held = known(random_rows(2))
    rows = np.array([7, -1, 3])
    some = held.of(rows, np.array(["seven", "nobody", "three"], object))
    whole = held.weights(30).toarray()
    np.testing.assert_array_equal(some.weights(30).toarray(), [whole[7], 0 * whole[0], whole[3]])
    assert some.find(pa.array(["three", "c01"])).tolist() == [2, -1]
    held.save(tmp_path / "history.npz")
    again = PurchaseHistory.load(tmp_path / "history.npz")
    np.testing.assert_array_equal(again.of(rows).weights(30).toarray(), some.weights(30).toarray())


def test_pairs_know_when_and_how_often():
    rows = random_rows(3)
    held, frame = known(rows), pd.DataFrame(rows, columns=["who", "what", "order", "age", "paid"])
    pairs, orders = PurchasedPairs.of(held), frame.groupby("who").order.unique()
    for at in range(len(pairs.rows)):
        who, what = held.customer_ids[pairs.rows[at]], f"i{pairs.items[at]:02}"
        mine = frame[(frame.who == who) & (frame.what == what)]
        ages = sorted(mine.age)
        assert (pairs.times[at], pairs.last[at], pairs.first[at]) == (len(ages), ages[0], ages[-1])
        assert pairs.one_before[at] == (ages[1] if len(ages) > 1 else NEVER)
        assert np.isclose(pairs.weight(30)[at], sum(0.5 ** (age / 30) for age in ages), rtol=1e-5)
        newer = frame[(frame.who == who) & (frame.age < ages[0])].order.nunique()
        older = frame[(frame.who == who) & (frame.age > ages[-1])].order.nunique()
        same = frame[(frame.who == who) & frame.age.isin([ages[0], ages[-1]])].order.nunique()
        assert newer <= pairs.orders_since_last[at] < newer + same
        assert 0 <= len(orders[who]) - older - pairs.orders_since_first[at] < same
    assert len(pairs.rows) == frame.drop_duplicates(["who", "what"]).shape[0]


def test_facts_count_customers_and_tell_new_ones():
    rows = random_rows(4)
    held, frame = known(rows), pd.DataFrame(rows, columns=["who", "what", "order", "age", "paid"])
    item_features = ItemFeatures.of(held, catalogue(12))
    for item in range(12):
        mine = frame[frame.what == f"i{item:02}"]
        assert item_features.buyers_lately[item] == mine[mine.age < 28].who.nunique()
        assert np.isclose(np.expm1(item_features.column("buyers")[item]), mine.who.nunique(), atol=1e-4)
        first = mine.groupby("who").age.max()
        assert np.isclose(
            np.expm1(item_features.column("new_buyers_28")[item]), (first < 28).sum(), atol=1e-4
        )
        assert np.isclose(item_features.column("discount")[item], 0.5 if len(mine) else 0)
