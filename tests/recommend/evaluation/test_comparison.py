"""How well each method ranks: figures by the protocol, and the picture and the words of the report agree."""

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
from tests.recommend.goods import GOODS, catalogue_of, history_of

CATALOGUE = catalogue_of()
CUSTOMERS = [f"{number:03}" for number in range(60)]
RARE = "thing"


def bought(seed: int) -> dict[str, list[tuple[str, int]]]:
    """Each customer often buys two favourites, and sometimes other items; one customer buys the rare item."""
    random, names = np.random.default_rng(seed), [name for name in GOODS if name != RARE]
    rows = {}
    for number, customer in enumerate(CUSTOMERS):
        ages = np.sort(random.integers(0, 120, 14))[::-1].tolist()
        own = [names[(number + step) % len(names)] for step in (0, 3)]
        rows[customer] = [(str(random.choice(own if random.random() < 0.7 else names)), age) for age in ages]
    rows[CUSTOMERS[0]].append((RARE, 0))
    return rows


def truth(seed: int) -> WindowPurchases:
    """What they bought afterwards: a favourite, another item, and every third customer the rare item."""
    names = [name for name in GOODS if name != RARE]
    random = np.random.default_rng(100 + seed)
    wanted = {
        customer: {
            names[number % len(names)],
            str(random.choice(names)),
            *([RARE] if number % 3 == 0 else []),
        }
        for number, customer in enumerate(CUSTOMERS)
    }
    pairs = [(customer, item) for customer, items in wanted.items() for item in sorted(items)]
    columns = [pa.array(column, pa.string()) for column in zip(*pairs, strict=True)]
    return WindowPurchases.of(pa.table(columns, ("customer_id", "item_id")))


@pytest.fixture(scope="module")
def fit() -> Fit:
    settings = recommender_settings()
    network = settings.ranker.network.model_copy(update={"least_steps": 20})
    ranker = settings.ranker.model_copy(update={"network": network})
    settings = settings.model_copy(update={"ranker": ranker})
    histories = [history_of(CATALOGUE, bought(seed)) for seed in range(3)]
    offered = np.array([name != RARE for name in CATALOGUE.item_ids])
    sources = [CandidateSources.fit(history, CATALOGUE, offered, settings) for history in histories]
    windows = [TrainingWindow(sources[seed], histories[seed], truth(seed)) for seed in (1, 2)]
    return fit_recommender(sources[0], histories[0], windows)


@pytest.fixture(scope="module")
def compared(fit: Fit) -> Comparison:
    return comparison.compare(fit, truth(0), truth(0))


def row(comparison: Comparison, part: str, method: str, measure: str = "ndcg_10") -> dict[str, float]:
    key = {"slice": part, "way": method, "measure": measure}
    return next(row for row in comparison.figures.to_pylist() if row.items() >= key.items())


def test_every_method_is_judged_on_every_slice_that_it_scores(fit: Fit, compared: Comparison):
    rows = [row for row in compared.figures.to_pylist() if row["measure"] == "ndcg_10"]
    methods = {part: {row["way"] for row in rows if row["slice"] == part} for part in comparison.SLICES}
    for part in ("all", "repeat", "explore"):
        of_sources = set(fit.sources.score_names) - {"content", "needs_text"}
        assert methods[part] == {"ranker", "frequency", *of_sources}
    assert methods["cold"] == {"new items", "popularity", "popularity of the kind", "chance"}
    assert compared.cold_items == 1
    assert row(compared, "cold", "chance", "hit_10")["customers"] == 20


def test_a_source_is_judged_by_its_scores_over_all_items(fit: Fit, compared: Comparison):
    history, names = fit.history, ["customer_id", "item_id", "times"]
    pairs = [history.customer_ids[history.customers], CATALOGUE.item_ids[history.items]]
    counted = pa.table(pairs, names[:2]).group_by(names[:2]).aggregate([([], "count_all")])
    task = RankingTask.from_purchases(counted.rename_columns(names), pa.array(CATALOGUE.item_ids), truth(0))
    popular = fit.sources.item_features.buyers_lately
    frequency = history.weights(90).toarray() + np.float32(1e-6) / popular.max() * popular
    habits = np.full(frequency.shape, -1e9)
    habits[:, fit.sources.pool] = fit.sources.scores(
        CustomerBlock(history, CATALOGUE, fit.sources.item_features)
    )["habits_ever"]
    for name, of_items in {"habits_ever": habits, "frequency": frequency}.items():
        scores = of_items[:, CATALOGUE.find(pa.array(task.item_ids))]
        for part in (Slice.ALL, Slice.REPEAT, Slice.EXPLORE):
            judged = judge(task, part, scores.__getitem__)
            expected = interval(judged.at[10].ndcg)
            figure = row(compared, part, name)
            assert [figure["value"], figure["low"], figure["high"]] == pytest.approx(
                [expected.mean, expected.low, expected.high], abs=1e-12
            )
            assert row(compared, part, name, "coverage_10")["value"] == pytest.approx(
                judged.shown / task.warm
            )


def test_differences_are_paired_and_every_customer_is_in_one_third(compared: Comparison):
    for part in ("all", "repeat", "explore"):
        less = row(compared, part, "popularity", "ndcg_10_less_ranker")
        apart = row(compared, part, "popularity")["value"] - row(compared, part, "ranker")["value"]
        assert less["value"] == pytest.approx(apart, abs=1e-12)
        assert less["low"] < less["value"] < less["high"]
    sizes = [row(compared, part, "ranker", "ndcg_10")["customers"] for part in comparison.HISTORIES]
    assert sum(sizes) == len(CUSTOMERS)
    assert min(sizes) > 0


def test_a_probability_is_compared_with_what_came_true(compared: Comparison):
    for part in ("repeat", "explore"):
        probability, came_true, error = (
            row(compared, part, "ranker", name)["value"]
            for name in ("mean_probability", "came_true", "calibration_error")
        )
        assert abs(probability - came_true) <= error + 1e-12 <= 0.2
    repeat, explore = (row(compared, part, "ranker", "came_true") for part in ("repeat", "explore"))
    assert repeat["value"] > explore["value"]


def test_a_random_sample_of_many_customers_is_judged(fit: Fit, compared: Comparison):
    fewer = comparison.compare(fit, truth(0), truth(0), max_customers=25)
    assert row(fewer, "all", "ranker", "ndcg_10")["customers"] == 25
    assert fewer.customers == compared.customers == len(CUSTOMERS)
    assert "25 of 60 customers were judged, a random sample." in report.summary(fewer)


def test_the_picture_has_a_panel_for_each_slice_and_a_row_for_each_method(compared: Comparison):
    labels = report.labels(compared)
    picture = pictures.who_wins(compared.figures, labels)
    assert picture == pictures.who_wins(compared.figures, labels)
    for label in labels.values():
        assert f">{label}</text>" in picture
    for method in {row["way"] for row in compared.figures.to_pylist()}:
        assert f">{method.replace('_', ' ')}</text>" in picture


def test_a_difference_is_called_sure_only_if_its_interval_excludes_zero(compared: Comparison):
    figures = {
        "ranker": {"ndcg_10": (0.5, 0.4, 0.6), "ndcg_10_less_best": (0.0, 0.0, 0.0)},
        "needs_kind": {"ndcg_10": (0.4, 0.3, 0.5), "ndcg_10_less_best": (-0.1, -0.2, 0.01)},
    }
    rows = [
        row(compared, "all", method, measure) | dict(zip(("value", "low", "high"), ends, strict=True))
        for method, measures in figures.items()
        for measure, ends in measures.items()
    ]
    planted = replace(compared, figures=pa.Table.from_pylist(rows, comparison.SCHEMA))
    assert report.summary(planted)[0] == (
        "All items: the ranker is ahead with NDCG@10 0.5000, of 60 customers; next is needs kind with "
        "0.4000. The difference +0.1000 (+25.0%) is not sure, 95 %: -0.0100 to +0.2000."
    )
    assert report.summary(planted)[1].startswith("Bought before: No customer bought an item again")
    sure_rows = [row | ({"high": -0.05} if row["value"] == -0.1 else {}) for row in rows]
    planted = replace(compared, figures=pa.Table.from_pylist(sure_rows, comparison.SCHEMA))
    assert "the ranker wins" in report.summary(planted)[0]
    assert " is sure, 95 %: +0.0500 to +0.2000." in report.summary(planted)[0]


def test_figures_by_method_have_names_that_a_tracking_server_accepts(compared: Comparison):
    methods = comparison.by_method(compared.figures)
    assert methods["popularity"]["all_ndcg_10"] == row(compared, "all", "popularity")["value"]
    short = row(compared, "short history", "ranker")
    assert methods["ranker"]["short_history_ndcg_10_low"] == short["low"]
    assert "all_coverage_10_low" not in methods["ranker"]
    assert all(name.replace("_", "").isalnum() for figures in methods.values() for name in figures)
