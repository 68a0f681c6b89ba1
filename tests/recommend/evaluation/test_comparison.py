"""Who ranks how well: the figures are those of the protocol, and the picture and the words say the same."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from perennial.foundation.bootstrap import interval
from perennial.recommend.any_data import report
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.evaluation import comparison, pictures
from perennial.recommend.evaluation.comparison import Comparison
from perennial.recommend.evaluation.metrics import judge
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.fit import Fit, TrainingWindow, fit_recommender
from perennial.recommend.settings import recommender_settings
from perennial.recommend.sources.retrieval import CandidateSources
from tests.recommend.goods import GOODS, history_of, shelf_of

SHELF = shelf_of()
CUSTOMERS = [f"{number:03}" for number in range(60)]
FEW = "thing"


def bought(seed: int) -> dict[str, list[tuple[str, int]]]:
    """Each customer buys two favourites again and again, and others now and then; hardly anybody a thing."""
    random, names = np.random.default_rng(seed), [name for name in GOODS if name != FEW]
    rows = {}
    for number, who in enumerate(CUSTOMERS):
        ages = np.sort(random.integers(0, 120, 14))[::-1].tolist()
        own = [names[(number + step) % len(names)] for step in (0, 3)]
        rows[who] = [(str(random.choice(own if random.random() < 0.7 else names)), age) for age in ages]
    rows[CUSTOMERS[0]].append((FEW, 0))
    return rows


def truth(seed: int) -> WindowPurchases:
    """What they bought afterwards: a favourite, something else, and some a thing."""
    names = [name for name in GOODS if name != FEW]
    random = np.random.default_rng(100 + seed)
    wanted = {
        who: {names[number % len(names)], str(random.choice(names)), *([FEW] if number % 3 == 0 else [])}
        for number, who in enumerate(CUSTOMERS)
    }
    pairs = [(who, item) for who, items in wanted.items() for item in sorted(items)]
    columns = [pa.array(column, pa.string()) for column in zip(*pairs, strict=True)]
    return WindowPurchases.of(pa.table(columns, ("customer_id", "item_id")))


@pytest.fixture(scope="module")
def fit() -> Fit:
    chosen = recommender_settings()
    network = chosen.ranker.network.model_copy(update={"least_steps": 20})
    chosen = chosen.model_copy(update={"ranker": chosen.ranker.model_copy(update={"network": network})})
    histories = [history_of(SHELF, bought(seed)) for seed in range(3)]
    offered = np.array([name != FEW for name in SHELF.item_ids])
    sources = [CandidateSources.fit(history, SHELF, offered, chosen) for history in histories]
    windows = [TrainingWindow(sources[seed], histories[seed], truth(seed)) for seed in (1, 2)]
    return fit_recommender(sources[0], histories[0], windows)


@pytest.fixture(scope="module")
def found(fit: Fit) -> Comparison:
    return comparison.compare(fit, truth(0), truth(0))


def row(found: Comparison, part: str, way: str, measure: str = "ndcg_10") -> dict[str, float]:
    rows = found.figures.to_pylist()
    return next(one for one in rows if (one["slice"], one["way"], one["measure"]) == (part, way, measure))


def test_every_way_is_judged_on_every_slice_it_has_something_to_say_of(fit: Fit, found: Comparison):
    ways = {(one["slice"], one["way"]) for one in found.figures.to_pylist() if one["measure"] == "ndcg_10"}
    for part in ("all", "repeat", "explore"):
        of_sources = set(fit.sources.score_names) - {"content", "needs_text"}
        assert {way for where, way in ways if where == part} == {"ranker", "frequency", *of_sources}
    cold = {way for where, way in ways if where == "cold"}
    assert cold == {"new items", "popularity", "popularity of the kind", "chance"}
    assert found.cold == 1
    assert row(found, "cold", "chance", "hit_10")["customers"] == 20


def test_a_source_is_judged_by_its_scores_over_all_items(fit: Fit, found: Comparison):
    history, names = fit.history, ["customer_id", "item_id", "times"]
    pairs = [history.customer_ids[history.customers], SHELF.item_ids[history.items]]
    counted = pa.table(pairs, names[:2]).group_by(names[:2]).aggregate([([], "count_all")])
    split = RankingTask.of(counted.rename_columns(names), pa.array(SHELF.item_ids), truth(0))
    popular = fit.sources.item_features.buyers_lately
    often = history.weights(90).toarray() + np.float32(1e-6) / popular.max() * popular
    habits = np.full(often.shape, -1e9)
    habits[:, fit.sources.pool] = fit.sources.scores(
        CustomerBlock(history, SHELF, fit.sources.item_features)
    )["habits_ever"]
    for name, of in {"habits_ever": habits, "frequency": often}.items():
        said = of[:, SHELF.find(pa.array(split.item_ids))]
        for part in (Slice.ALL, Slice.REPEAT, Slice.EXPLORE):
            judged = judge(split, part, lambda at, said=said: said[at])
            around = interval(judged.at[10].ndcg)
            ours = row(found, part, name)
            assert [ours["value"], ours["low"], ours["high"]] == pytest.approx(
                [around.mean, around.low, around.high], abs=1e-12
            )
            assert row(found, part, name, "coverage_10")["value"] == pytest.approx(judged.shown / split.warm)


def test_differences_are_paired_and_thirds_are_whole(found: Comparison):
    for part in ("all", "repeat", "explore"):
        less = row(found, part, "popularity", "ndcg_10_less_ranker")
        apart = row(found, part, "popularity")["value"] - row(found, part, "ranker")["value"]
        assert less["value"] == pytest.approx(apart, abs=1e-12)
        assert less["low"] < less["value"] < less["high"]
    sizes = [row(found, part, "ranker", "ndcg_10")["customers"] for part in comparison.HISTORIES]
    assert sum(sizes) == len(CUSTOMERS)
    assert min(sizes) > 0


def test_a_probability_is_compared_with_what_came_true(found: Comparison):
    for part in ("repeat", "explore"):
        said, true, error = (
            row(found, part, "ranker", name)["value"]
            for name in ("mean_probability", "came_true", "calibration_error")
        )
        assert abs(said - true) <= error + 1e-12 <= 0.2
    repeat, explore = (row(found, part, "ranker", "came_true") for part in ("repeat", "explore"))
    assert repeat["value"] > explore["value"]


def test_of_many_customers_some_are_judged(fit: Fit, found: Comparison):
    fewer = comparison.compare(fit, truth(0), truth(0), most=25)
    assert row(fewer, "all", "ranker", "ndcg_10")["customers"] == 25
    assert fewer.of_all == found.of_all == len(CUSTOMERS)
    assert "25 of 60 customers were judged, drawn by chance." in report.summary(fewer)


def test_the_picture_has_a_panel_for_each_slice_and_a_row_for_each_way(found: Comparison):
    labels = report.labels(found)
    drawn = pictures.who_wins(found.figures, labels)
    assert drawn == pictures.who_wins(found.figures, labels)
    for label in labels.values():
        assert f">{label}</text>" in drawn
    for way in {one["way"] for one in found.figures.to_pylist()}:
        assert f">{way.replace('_', ' ')}</text>" in drawn


def test_words_call_a_difference_sure_only_if_its_interval_excludes_none(found: Comparison):
    told = {
        "ranker": {"ndcg_10": (0.5, 0.4, 0.6), "ndcg_10_less_best": (0.0, 0.0, 0.0)},
        "needs_kind": {"ndcg_10": (0.4, 0.3, 0.5), "ndcg_10_less_best": (-0.1, -0.2, 0.01)},
    }
    kept = [
        row(found, "all", way, measure) | dict(zip(("value", "low", "high"), ends, strict=True))
        for way, measures in told.items()
        for measure, ends in measures.items()
    ]
    planted = replace(found, figures=pa.Table.from_pylist(kept, comparison.SCHEMA))
    assert report.summary(planted)[0] == (
        "All items: the ranker is ahead with NDCG@10 0.5000, of 60 customers; next is needs kind with "
        "0.4000. The difference +0.1000 (+25.0%) is not sure, 95 %: -0.0100 to +0.2000."
    )
    assert report.summary(planted)[1].startswith("Bought before: Nobody bought anything again")
    surely = [one | ({"high": -0.05} if one["value"] == -0.1 else {}) for one in kept]
    planted = replace(found, figures=pa.Table.from_pylist(surely, comparison.SCHEMA))
    assert "the ranker wins" in report.summary(planted)[0]
    assert " is sure, 95 %: +0.0500 to +0.2000." in report.summary(planted)[0]


def test_figures_by_way_have_names_that_a_tracking_server_takes(found: Comparison):
    held = comparison.by_method(found.figures)
    assert held["popularity"]["all_ndcg_10"] == row(found, "all", "popularity")["value"]
    short = row(found, "short history", "ranker")
    assert held["ranker"]["short_history_ndcg_10_low"] == short["low"]
    assert "all_coverage_10_low" not in held["ranker"]
    assert all(name.replace("_", "").isalnum() for figures in held.values() for name in figures)
