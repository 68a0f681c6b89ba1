from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from perennial.foundation.settings import settings
from perennial.recommend.arrays import parallel
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import PurchasedPairs
from perennial.recommend.settings import (
    CustomerNeighboursSettings,
    ItemNeighboursSettings,
    PurchaseWeighting,
    recommender_settings,
)
from perennial.recommend.sources import candidates
from perennial.recommend.sources.category_popularity import CategoryPopularity
from perennial.recommend.sources.content import Content
from perennial.recommend.sources.customer_neighbours import CustomerNeighbours
from perennial.recommend.sources.item_neighbours import EVER, ItemNeighbours
from perennial.recommend.sources.retrieval import CandidateSources
from tests.recommend.data.test_history import catalogue, known, random_rows
from tests.recommend.exact import block_of, exact_scores

ALL = np.arange(12)


def test_item_neighbours_are_the_textbook_ease_also_for_unknown_customers():
    chosen = ItemNeighboursSettings(weighing=PurchaseWeighting(half_life_days=60, power=0.5), ridge=3)
    held, others = known(random_rows(1)), known(random_rows(2))
    bought = held.weighted(chosen.weighing).toarray().astype(float)
    inverse = np.linalg.inv(bought.T @ bought + 3 * np.eye(12))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    for part in (ALL, np.array([2, 5, 7])):
        model = ItemNeighbours.fit("model", held, part, chosen)
        for block in (held, others):
            wanted = block.weighted(chosen.weighing).toarray() @ weights
            np.testing.assert_allclose(exact_scores(model, block)[EVER], wanted[:, part], atol=2e-5)
            scores = model.scores(block_of(block, catalogue(12)))[f"model_{EVER}"]
            np.testing.assert_allclose(scores, wanted[:, part], rtol=2e-2, atol=2e-2)


def test_what_was_bought_lately_is_a_ridge_regression_in_which_no_item_speaks_for_itself():
    chosen = ItemNeighboursSettings(
        weighing=PurchaseWeighting(power=0), ridge=3, lately_days=(60,), new_days=(60,)
    )
    held = known(random_rows(1, customers=60))
    bought = held.bought.toarray().astype(float)
    targets = {
        "60_days": held.weights(window_days=60).toarray() > 0,
        "new_in_60_days": PurchasedPairs.of(held).first_since(60).toarray(),
    }
    model = ItemNeighbours.fit("model", held, ALL, chosen)
    for name, target in targets.items():
        for item in range(12):
            others = np.delete(bought, item, axis=1)
            weights = np.linalg.solve(others.T @ others + 3 * np.eye(11), others.T @ target[:, item])
            scores = exact_scores(model, held)[name][:, item]
            np.testing.assert_allclose(scores, others @ weights, atol=2e-5)


def test_customer_neighbours_are_a_plain_tifu_knn(tmp_path: Path):
    chosen = CustomerNeighboursSettings(half_life_days=60, neighbours=3, own_share=0.6)
    held = known(random_rows(3))
    orders = [np.unique(held.orders[held.customers == row], return_index=True)[1] for row in range(len(held))]
    mass = [sum(0.5 ** (held.ages[held.customers == row][one] / 60)) for row, one in enumerate(orders)]
    rates = held.weights(60).toarray() / np.array(mass)[:, None]
    unit = rates / np.linalg.norm(rates, axis=1, keepdims=True)
    model = CustomerNeighbours.fit(held, ALL, chosen)
    (scores,) = model.scores(block_of(held, catalogue(12))).values()
    for row in range(len(held)):
        alike = unit @ unit[row]
        alike[row] = -1
        nearest = np.argsort(-alike)[:3]
        wanted = 0.6 * rates[row] + 0.4 * rates[nearest].mean(axis=0)
        # What the others buy is multiplied to three digits.
        np.testing.assert_allclose(scores[row], wanted, rtol=8e-3, atol=1e-6)
    model.save(tmp_path)
    (again,) = CustomerNeighbours.load(tmp_path, chosen).scores(block_of(held, catalogue(12))).values()
    np.testing.assert_array_equal(again, scores)
    stranger = held.of(np.array([-1]), np.array(["nobody"], object))
    assert not model.scores(block_of(stranger, catalogue(12)))["customer_neighbours"].any()


def test_content_finds_the_text_most_like_a_taste_and_shrugs_at_items_without_one():
    rows = [{"item_id": f"i{one:02}", "title": "t", "category": "a", "brand": "b"} for one in range(4)]
    hashes = pa.table({"item_id": ["i00", "i01", "i02"], "text_hash": ["x", "y", "z"]})
    vectors = pa.table({"text_hash": ["x", "y", "z"], "vector": [[1.0, 0.1], [0.9, 0.3], [-1.0, 0.2]]})
    goods = Catalogue.of(pa.Table.from_pylist(rows), hashes, vectors)
    held = known([("a", "i00", "o1", 1, 1.0)], 4)
    content = Content(goods, np.arange(4), PurchaseWeighting(half_life_days=90, power=3))
    block = block_of(held, goods)
    scores = content.scores(block)["content"][0]
    assert scores[0] > scores[1] > scores[3] == 0 > scores[2]
    assert content.evidence(block, np.array([0]), np.array([1])).tolist() == [0]


def test_category_popularity_names_what_is_most_bought_of_the_kind():
    rows = [
        ("a", "i00", "o1", 1, 1.0),
        ("b", "i04", "o2", 1, 1.0),
        ("c", "i04", "o3", 1, 1.0),
        ("d", "i01", "o4", 2, 1.0),
    ]
    held, goods = known(rows), catalogue(12)
    item_features = ItemFeatures.of(held, goods)
    source, block = CategoryPopularity("kind", item_features, ALL), CustomerBlock(held, goods, item_features)
    assert source.scores(block)["needs_kind"][0].argmax() == 4
    assert source.evidence(block, np.array([0]), np.array([4])).tolist() == [0]
    assert source.evidence(block, np.array([0]), np.array([1])).tolist() == [-1]


def test_candidates_are_what_was_bought_and_the_best_of_what_never_was():
    held = known(random_rows(5))
    pairs, random = PurchasedPairs.of(held), np.random.default_rng(0)
    pool = np.array([0, 2, 3, 5, 8, 11])
    offered = random.random(12) < 0.8
    scores = {name: random.random((len(held), 6)).astype(np.float32) for name in ("one", "other", "silent")}
    found = candidates.find_candidates(pairs, scores, pool, offered, {"one": 2, "other": 1})
    keys = list(zip(found.rows.tolist(), found.items.tolist(), strict=True))
    assert keys == sorted(set(keys))
    bought = held.bought.toarray() > 0
    for row in range(len(held)):
        mine = found.where(found.rows == row)
        old = mine.items[mine.pair >= 0]
        assert set(old.tolist()) == set(np.flatnonzero(bought[row] & offered).tolist())
        free = [at for at, item in enumerate(pool) if offered[item] and not bought[row, item]]
        wanted = {pool[at] for at in sorted(free, key=lambda at: -scores["one"][row, at])[:2]}
        wanted |= {pool[at] for at in sorted(free, key=lambda at: -scores["other"][row, at])[:1]}
        assert set(mine.items[mine.pair < 0].tolist()) == wanted
        for place, (item, said) in enumerate(zip(mine.items, mine.scores, strict=True)):
            inside = np.flatnonzero(pool == item)
            told = [one[row, inside[0]] if len(inside) else np.nan for one in scores.values()]
            np.testing.assert_array_equal(said, np.array(told, np.float32), err_msg=str(place))


@pytest.mark.parametrize("threads", ["1", "3"])
def test_candidates_are_the_same_whatever_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, threads: str
):
    held, goods = known(random_rows(6, customers=60)), catalogue(12)
    sources = CandidateSources.fit(held, goods, np.ones(12, bool), recommender_settings())
    whole = next(iter(sources.candidates(held)))[2]
    monkeypatch.setenv("PERENNIAL_THREADS", threads)
    monkeypatch.setattr(parallel, "BLOCK_SIZE", 7)
    settings.cache_clear()
    rows, parts = zip(*((rows, found) for rows, _, found in sources.candidates(held)), strict=True)
    settings.cache_clear()
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(60))
    for at, found in zip(rows, parts, strict=True):
        mine = whole.where(np.isin(whole.rows, at))
        np.testing.assert_array_equal(found.rows + at[0], mine.rows)
        np.testing.assert_array_equal(found.items, mine.items)
        np.testing.assert_allclose(found.scores, mine.scores, rtol=0.02, atol=1e-3)


def test_an_examination_keeps_its_order(tmp_path: Path):
    pairs = {"customer_id": ["a", "a", "b", "c"], "item_id": ["x", "y", "x", "z"]}
    truth = WindowPurchases.of(pa.table(pairs))
    truth.among(np.array(["c", "a"], object)).save(tmp_path / "paper.parquet")
    found = WindowPurchases.load(tmp_path / "paper.parquet")
    assert found.customer_ids.tolist() == ["a", "c"]
    assert found.wanted.tolist() == [2, 1]
    assert found.item_ids.to_pylist() == ["x", "y", "z"]
