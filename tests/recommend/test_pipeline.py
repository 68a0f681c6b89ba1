from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from perennial.demo.environment import CONFIG
from perennial.foundation import contracts
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import promotion, tracking
from perennial.foundation.modelling.promotion import WINDOW
from perennial.foundation.modelling.registered import LayoutError, write_layout
from perennial.foundation.settings import settings
from perennial.recommend import pipeline, recommender, retraining
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.evaluation.scorecard import scorecards
from perennial.recommend.features.promotions import NAMES
from perennial.recommend.lists.eligibility import known_adults
from perennial.recommend.lists.phrases import languages
from perennial.recommend.lists.selection import ListSelector
from perennial.recommend.recommender import Customers, Recommender
from perennial.recommend.settings import (
    DiversitySettings,
    EligibilitySettings,
    SequenceSettings,
    recommender_settings,
)
from tests.conftest import forget
from tests.learning import CUSTOMERS, DAY, ITEMS, fill, orders, purchases

NEVER = {f"i{ITEMS - 1}", f"i{ITEMS - 2}"}
TOP = 20


def fitted(lake: Lake) -> tuple[Recommender, WindowPurchases]:
    return pipeline.fit_both(lake, DAY, recommender_settings())


@pytest.fixture
def shop(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop with the demo's settings, which exclude the category of one of its items."""
    monkeypatch.setenv("PERENNIAL_CONFIG", str(CONFIG))
    forget()
    return shop


@pytest.fixture
def filled(lake: Lake) -> Lake:
    fill(lake)
    return lake


@pytest.fixture(scope="module")
def held() -> list[tuple[Recommender, WindowPurchases]]:
    """What the first test that needs it has trained."""
    return []


@pytest.fixture
def trained(
    held: list[tuple[Recommender, WindowPurchases]], request: pytest.FixtureRequest
) -> tuple[Recommender, WindowPurchases]:
    """The model of the shop, which no test changes, and its examination."""
    if not held:
        held.append(fitted(request.getfixturevalue("filled")))
    return held[0]


def everyone(model: Recommender, fit: str = "served") -> pa.Table:
    return model.recommend(pa.array([f"c{customer:02}" for customer in range(CUSTOMERS)]), TOP, fit)


def plain(model: Recommender, **rules: object) -> pa.Table:
    """By score alone, under some rules."""
    alone = {"diversity": DiversitySettings(), "eligibility": EligibilitySettings.model_validate(rules)}
    chosen = recommender_settings().model_copy(update=alone)
    history, fit = model.served.history, model.served
    ages = pa.array(["19-24" if int(name[1:]) % 4 == 0 else None for name in history.customer_ids])
    lists = ListSelector.of(chosen, fit.sources, fit.new_items, model.available, DAY)
    asked = Customers(history, known_adults(ages, 18), languages().of(ages))
    return recommender.recommend(fit, asked, lists, model.languages, TOP)


def test_the_judged_fit_has_not_seen_the_window(lake: Lake):
    fill(lake)
    seen, _ = fitted(lake)
    cutoff = DAY - WINDOW
    lake.replace("events", purchases(DAY).slice(0, 0), cutoff + timedelta(1), DAY)
    bought = purchases(DAY).to_pylist()
    turned = [row | {"item_id": "i05"} for row in bought if row["landed_on"] > cutoff]
    lake.replace("events", pa.Table.from_pylist(turned, purchases(DAY).schema), cutoff + timedelta(1), DAY)
    other, _ = fitted(lake)
    first, second = (everyone(model, "judged") for model in (seen, other))
    assert first.drop_columns(["score"]) == second.drop_columns(["score"])
    np.testing.assert_allclose(first["score"], second["score"], rtol=1e-9)
    assert everyone(seen)["item_id"] != everyone(other)["item_id"]


def test_an_examination_holds_what_was_bought_in_the_window(trained: tuple[Recommender, WindowPurchases]):
    _, truth = trained
    cutoff = DAY - WINDOW
    inside = [row for row in purchases(DAY).to_pylist() if row["landed_on"] > cutoff]
    wanted = {(row["customer_id"], row["item_id"]) for row in inside if row["item_id"] != f"i{ITEMS - 1}"}
    found = zip(truth.customer_ids[truth.rows], truth.item_ids.to_pylist(), strict=True)
    assert set(found) == wanted


def test_the_favourite_is_sure_to_come_and_the_reason_says_how_often(
    trained: tuple[Recommender, WindowPurchases],
):
    model, _ = trained
    found = everyone(model).to_pylist()
    regulars = [row for row in found if int(row["customer_id"][1:]) % 2 == 0]
    favourites = [row for row in regulars if row["item_id"] == f"i{int(row['customer_id'][1:]) % ITEMS:02}"]
    assert len(favourites) > 0.9 * CUSTOMERS / 2 * (ITEMS - len(NEVER)) / ITEMS
    assert np.median([row["score"] for row in favourites]) > 0.8
    for row in favourites:
        assert row["source"] == "repeat"
        assert row["evidence"] == [row["item_id"]]
        assert row["reason"].startswith("you buy this about every ")


def test_nothing_unavailable_or_excluded_is_recommended(trained: tuple[Recommender, WindowPurchases]):
    model, _ = trained
    assert not NEVER & set(everyone(model)["item_id"].to_pylist())


def test_each_customer_gets_each_item_once_by_falling_score(trained: tuple[Recommender, WindowPurchases]):
    model, _ = trained
    found = plain(model).to_pandas()
    assert not found.duplicated(["customer_id", "item_id"]).any()
    assert (
        found.groupby("customer_id")["rank"]
        .apply(lambda ranks: list(ranks) == list(range(1, len(ranks) + 1)))
        .all()
    )
    assert (found.groupby("customer_id")["score"].diff().dropna() <= 0).all()


def test_the_shops_rules_hold_for_every_list(trained: tuple[Recommender, WindowPurchases]):
    model, _ = trained
    found = plain(model, never=[{"category": "bread"}], adults_only=[{"category": "wine"}]).to_pandas()
    kind = found.item_id.str[1:].astype(int) % 3
    grown = found.customer_id.str[1:].astype(int) % 4 == 0
    assert not (kind == 0).any()
    assert set(kind[grown]) == {1, 2}
    assert set(kind[~grown]) == {1}


def test_each_fit_knows_the_promotions_announced_by_its_day(lake: Lake):
    fill(lake)
    begins, told = DAY + timedelta(1), [DAY, DAY + timedelta(1)]
    rows = [
        {"item_id": item, "week": begins, "mailer": "A", "landed_on": known, "known_on": known}
        for item, known in zip(("i03", "i04"), told, strict=True)
    ]
    promotions = pa.Table.from_pylist(rows, contracts.PROMOTIONS.schema)
    lake.replace("promotions", promotions, told[0], told[1])
    model, _ = fitted(lake)
    catalogue, soon = model.served.sources.catalogue, NAMES.index("advertised_soon")
    known, unknown = catalogue.find(pa.array(["i03", "i04"]))
    assert model.served.sources.item_features.promoted[known, soon] == 0.5
    assert not model.served.sources.item_features.promoted[unknown].any()
    assert not model.judged.sources.item_features.promoted.any()


def test_a_new_item_is_drawn_for_some_with_its_chance_on_record(lake: Lake):
    fill(lake)
    items = lake.read("items").to_pyarrow()
    wine = items.filter(pc.equal(items["item_id"], "i02")).to_pylist()[0] | {"valid_from": DAY}
    new = [wine | {"item_id": f"n{age}", "listed_on": DAY - timedelta(age)} for age in range(4)]
    old = wine | {"item_id": "n9", "listed_on": DAY - timedelta(200)}
    lake.replace("items", pa.Table.from_pylist([*new, old], items.schema), DAY)
    model, _ = fitted(lake)
    found = everyone(model).to_pandas()
    drawn = found[found.propensity < 1]
    assert set(drawn.item_id) == {row["item_id"] for row in new}
    assert set(drawn["rank"]) == {TOP}
    assert (drawn.groupby("customer_id").size() == 1).all()
    assert set(drawn.source) == {"new_item"}
    assert drawn.reason.str.startswith("new here").all()
    assert len(drawn) > 0.9 * CUSTOMERS
    assert "n9" not in set(found.item_id)


def test_a_customer_is_told_why_in_their_language(trained: tuple[Recommender, WindowPurchases]):
    model, _ = trained
    said = [
        model.recommend(pa.array(["c02"]), TOP, locales=pa.array([locale], pa.string()))
        for locale in ("de-DE", "en-US", None)
    ]
    german, english, other = (table["reason"].to_pylist() for table in said)
    assert all(one.startswith(("Sie ", "oft ", "ähnlich ", "viel ", "von ", "Kunden")) for one in german)
    assert english == other
    assert said[0]["item_id"] == said[1]["item_id"]


def test_a_stranger_gets_what_is_popular(trained: tuple[Recommender, WindowPurchases]):
    model, _ = trained
    found = model.recommend(pa.array(["nobody", "c02"]), TOP).to_pylist()
    stranger = [row for row in found if row["customer_id"] == "nobody"]
    assert len(stranger) == TOP
    assert {row["source"] for row in stranger} == {"popularity"}
    counts = [int(row["reason"].split()[2]) for row in stranger]
    assert counts == sorted(counts, reverse=True)


def test_a_reason_says_how_often_and_when(trained: tuple[Recommender, WindowPurchases]):
    model, _ = trained
    bought = purchases(DAY).to_pylist()
    for row in everyone(model).to_pylist()[:200]:
        mine = [
            one
            for one in bought
            if (one["customer_id"], one["item_id"]) == (row["customer_id"], row["item_id"])
        ]
        if row["source"] == "repeat":
            days = sorted(one["landed_on"] for one in mine)
            age = (DAY - days[-1]).days
            lately = "today" if age == 0 else f"{age} day{'' if age == 1 else 's'} ago"
            every = round((days[-1] - days[0]).days / max(1, len(days) - 1))
            often = {1: "bought this once", 2: "bought this 2 times"}.get(
                len(days), f"buy this about every {every} days"
            )
            assert row["reason"] == f"you {often}, last {lately}"
        else:
            assert not mine
        assert set(row["evidence"]) <= {
            one["item_id"] for one in bought if one["customer_id"] == row["customer_id"]
        }


def test_an_item_without_a_vector_is_recommended_all_the_same(lake: Lake):
    fill(lake)
    bare = Lake(lake.uri + "_bare")
    for name in ("events", "items"):
        bare.replace(name, lake.read(name).to_pyarrow(), DAY - timedelta(400), DAY)
    bare.add("item_embeddings", lake.read("item_embeddings").limit(0).to_pyarrow())
    model, truth = fitted(bare)
    assert len(model.served.sources.catalogue.vectors) == 0
    assert everyone(model).num_rows == CUSTOMERS * TOP
    assert scorecards(model.judged, truth, {"": model.judged.probability})[""].metrics.ndcg.mean() > 0.2


def test_saving_and_loading_changes_no_answer(trained: tuple[Recommender, WindowPurchases], tmp_path: Path):
    model, truth = trained
    model.save(tmp_path / "model")
    truth.save(tmp_path / "paper.parquet")
    again = Recommender.load(tmp_path / "model")
    assert everyone(again) == everyone(model)
    ours, theirs = (one.answers(tmp_path / "paper.parquet") for one in (again, model))
    np.testing.assert_array_equal(ours.losses, theirs.losses)


def test_a_model_without_a_layout_is_of_the_first_and_another_layout_is_refused(
    trained: tuple[Recommender, WindowPurchases], tmp_path: Path
):
    trained[0].save(tmp_path)
    (tmp_path / "layout").unlink()
    assert Recommender.load(tmp_path).day == DAY
    write_layout(tmp_path, 99)
    with pytest.raises(LayoutError, match="layout 99; this code reads layout 1"):
        Recommender.load(tmp_path)


def test_the_gate_sees_customers_by_the_length_of_their_history(
    trained: tuple[Recommender, WindowPurchases], tmp_path: Path
):
    model, truth = trained
    truth.save(tmp_path / "paper.parquet")
    groups = model.answers(tmp_path / "paper.parquet").groups
    assert np.sum(list(groups.values()), axis=0).tolist() == [1] * len(truth.customer_ids)
    times = np.diff(model.judged.history_of(truth.customer_ids).starts)
    short, _, long = groups.values()
    assert times[short].max() < times[long].min()
    assert 0.2 < short.mean() < 0.45
    answers = model.answers(tmp_path / "paper.parquet")
    again, new = answers.parts.values()
    assert np.isfinite(again).sum() > np.isfinite(new).sum() > 0
    assert np.nanmean(again) < np.nanmean(new)
    assert answers.coverage is not None
    assert 0.5 < answers.coverage <= 1
    assert len(model.judged.history_of(np.array(["nobody"], object)).items) == 0


def test_training_needs_a_past(lake: Lake):
    fill(lake, through=orders(0)[0])
    with pytest.raises(retraining.TooLittleHistoryError, match="nobody bought both before and after"):
        fitted(lake)


def by_shards(lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recommend again in shards of 30 customers; the second one twice, as after a kill."""
    chosen = recommender_settings().model_copy(update={"customers_per_shard": 30})
    monkeypatch.setattr(pipeline, "recommender_settings", lambda: chosen)
    shards = pipeline.plan(DAY)
    assert [shard["start"] for shard in shards] == [None, "c30", "c60"]
    assert [shard["end"] for shard in shards] == ["c30", "c60", None]
    rows = [pipeline.score(shards[number], DAY, endpoint) for number in (2, 1, 0, 1)]
    assert rows == [(CUSTOMERS + 1 - 60) * TOP, 30 * TOP, 30 * TOP, 30 * TOP]


def test_a_day_is_trained_promoted_and_recommended(
    filled: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    import mlflow

    done = pipeline.train(str(DAY), endpoint)
    assert promotion.promote(DAY, endpoint, ("recommender",))["recommender"].startswith("promoted")
    assert pipeline.recommend(DAY, endpoint) == (CUSTOMERS + 1) * TOP
    held = filled.read("recommendations").to_pyarrow()
    by_shards(filled, endpoint, monkeypatch)
    again = filled.read("recommendations").to_pyarrow()
    whole, shared = (one.to_pandas().sort_values(["customer_id", "rank"]) for one in (held, again))
    pd.testing.assert_frame_equal(whole.reset_index(drop=True), shared.reset_index(drop=True), rtol=1e-2)
    assert set(held["model_version"].to_pylist()) == {int(done["version"])}
    assert set(held["source"].to_pylist()) <= set(contracts.RECOMMENDATIONS.allowed("source"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", endpoint.url)
    registered = mlflow.pyfunc.load_model("models:/recommender@champion")
    answer = registered.predict(pd.DataFrame({"customer_id": ["c02", "nobody"]}), params={"k": 3})
    assert answer["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    page = (settings().reports / "recommendations" / f"{DAY}.html").read_text()
    assert f"{CUSTOMERS + 1} customers" in page
    assert f"{DAY}.html" in (settings().reports / "recommendations" / "index.html").read_text()
    run = mlflow.MlflowClient(endpoint.url, endpoint.url).get_run(done["mlflow_run"])
    assert run.data.metrics.keys() >= {"ndcg_10", "frequency_ndcg_10", "popularity_ndcg_10"}
    assert run.data.tags["verdict"] == "promoted"
    client, within = mlflow.MlflowClient(endpoint.url), f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    children = client.search_runs([run.info.experiment_id], within)
    assert {one.data.tags["way"] for one in children} > {"ranker", "frequency", "popularity", "tastes_ever"}
    assert all("all_ndcg_10" in one.data.metrics for one in children)
    assert "who_wins.svg" in [one.path for one in client.list_artifacts(run.info.run_id)]
    assert tracking.load_model(endpoint, "recommender", int(done["version"])).served.history.customer_ids.size


def test_a_warm_sequence_model_goes_on_from_the_version_in_force(
    filled: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    weights = []
    for day, steps in ((DAY, 3), (DAY + timedelta(1), 0)):
        sequence = SequenceSettings(width=8, heads=1, steps=steps, warm=True)
        chosen = recommender_settings().model_copy(update={"sequence": sequence})
        monkeypatch.setattr(pipeline, "recommender_settings", lambda chosen=chosen: chosen)
        done = pipeline.train(str(day), endpoint)
        promotion.promote(day, endpoint, ("recommender",))
        fit = tracking.load_model(endpoint, "recommender", int(done["version"])).served
        weights.append(fit.sources.sequence.weights["project.weight"])
    assert torch.equal(*weights), "without a step they stay those of the day before"
