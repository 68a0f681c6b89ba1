"""The acceptance runs of the recommender, on a shop of a few goods."""

from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.evaluation.ranking_task import RankingTask
from perennial.recommend.settings import SequenceSettings
from tests.acceptance import (
    recommend_cold,
    recommend_drop_one,
    recommend_metrics,
    recommend_months,
    recommend_promoted,
    recommend_sequence,
)
from tests.acceptance import recommend_peers as peers
from tests.acceptance.recommend_cold import first_orders
from tests.acceptance.recommend_shop import Month, Past
from tests.recommend.goods import GOODS, catalogue_of, history_of

SHELF = catalogue_of()
CUSTOMERS = [f"{n:03}" for n in range(150)]
NEW = {"mead": ("Drinks > Beer > Mead", "North"), "crib": ("Baby > Beds", "North")}


def bought(seed: int) -> PurchaseHistory:
    """Each customer buys three favourites again and again, and others now and then; few a thing."""
    random, names = np.random.default_rng(seed), [name for name in GOODS if name != "thing"]

    def one(customer: int) -> str:
        if random.random() < 0.8:
            return names[(customer + random.integers(3)) % len(names)]
        return "thing" if random.random() < 0.02 else str(random.choice(names))

    ages = np.sort(random.integers(0, 200, (len(CUSTOMERS), 12)))[:, ::-1].tolist()
    return history_of(
        SHELF, {who: [(one(row), age) for age in ages[row]] for row, who in enumerate(CUSTOMERS)}
    )


def after(history: PurchaseHistory) -> WindowPurchases:
    """Each customer bought the oldest item again, and one that is somebody else's favourite."""
    other = np.arange(5, 5 + len(CUSTOMERS)) % len(GOODS)
    wanted = {
        who: {SHELF.item_ids[history.items[start]], [*GOODS][one]}
        for who, start, one in zip(CUSTOMERS, history.starts, other, strict=False)
    }
    pairs = [(who, item) for who, items in wanted.items() for item in sorted(items)]
    return WindowPurchases.of(
        pa.table(dict(zip(("customer_id", "item_id"), zip(*pairs, strict=True), strict=True)))
    )


@pytest.fixture(scope="module")
def month() -> Month:
    """A month of that shop."""
    pasts = [Past(history, after(history)) for history in map(bought, range(4))]
    held = pasts[0].history
    pairs = {
        "customer_id": pa.array(held.customer_ids[held.customers], pa.string()),
        "item_id": pa.array(SHELF.item_ids[held.items], pa.string()),
    }
    counted = pa.table(pairs).group_by(["customer_id", "item_id"]).aggregate([([], "count_all")])
    table = counted.rename_columns(["customer_id", "item_id", "times"])
    truth = RankingTask.from_purchases(table, pa.array(SHELF.item_ids, pa.string()), pasts[0].after)
    unseen = WindowPurchases.of(pa.table({"customer_id": ["000", "001"], "item_id": ["mead", "crib"]}))
    return Month(date(2017, 9, 1), truth, SHELF, pasts[0], pasts[1:], catalogue_of(GOODS | NEW), unseen, 0.0)


def test_up_cf_weighs_what_everybody_bought_last_by_likeness(month: Month):
    history = month.eve.history
    found = peers.up_cf(month, orders=5, locality=2)
    ever = history.bought.toarray() > 0
    wanted = np.zeros((len(CUSTOMERS), len(SHELF)))
    for one in range(len(CUSTOMERS)):
        for other in range(len(CUSTOMERS)):
            alike = (ever[one] & ever[other]).sum() / np.sqrt(ever[one].sum() * ever[other].sum())
            for at in range(history.starts[other + 1] - 5, history.starts[other + 1]):
                wanted[one, history.items[at]] += alike**2 / 5
    np.testing.assert_allclose(found, wanted[month.rows][:, month.warm], rtol=1e-4, atol=1e-5)


def test_only_the_first_orders_are_left_where_the_newest_was(month: Month):
    history = month.eve.history
    cut = first_orders(history, 2)
    assert np.diff(cut.starts).tolist() == [2] * len(CUSTOMERS)
    assert cut.items.reshape(-1, 2).tolist() == [
        history.items[at : at + 2].tolist() for at in history.starts[:-1]
    ]
    assert cut.ages[1::2].tolist() == history.ages[history.starts[1:] - 1].tolist()


def test_every_case_prints_its_lines(month: Month, monkeypatch: pytest.MonkeyPatch):
    grids = {way: (name, options[:1]) for way, (name, options) in peers.GRIDS.items()}
    for way in (peers.als, peers.bm25):
        del grids[way]
    monkeypatch.setattr(peers, "GRIDS", grids)
    monkeypatch.setattr(recommend_cold, "DEPTH", 1)
    lines = [
        *recommend_months.compared(month, [month]),
        *recommend_promoted.compared(month, [(month, month)]),
        *recommend_metrics.agreed(month),
        *recommend_cold.new_items([month]),
        *recommend_cold.new_customers([month]),
        *recommend_drop_one.without(month),
    ]
    ok = {line.name: line.ok for line in lines}
    assert len(ok) == len(lines) == 23
    assert ok["recommend.metrics_difference"]


def test_the_sequence_model_is_judged_alone_on_every_slice(
    month: Month, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(recommend_sequence, "DEPTH", 1)
    few = SequenceSettings(width=8, heads=2, customers=50, drawn=5)
    lines = [*recommend_sequence.alone(month, few, [0.01, 0.02])]
    ok = {line.name.removeprefix("recommend.sequence_"): line.ok for line in lines}
    said = (
        "all",
        "repeat",
        "explore",
        "short_histories",
        "items_first_sold",
        *(f"{n}_orders" for n in (1, 2, 3)),
    )
    assert [*ok] == [f"{part}_less_popularity_low" for part in said]
    assert ok["repeat_less_popularity_low"]
    picture = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("  picture: "))
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
