"""The recommender evaluated on other tables: baskets, and ratings of films, each film rated once."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import yaml

from perennial.demo import evaluate_recommender
from perennial.foundation import settings
from tests.recommend.own_data import CUSTOMERS, ITEMS, WEEKS, baskets, item_table, ratings, write_csv

Figures = Mapping[tuple[str, str, str], "pd.Series[float]"]


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state folder of its own, and a ranker that is trained for a moment only."""
    folder = tmp_path_factory.mktemp("settings")
    config = folder / "config"
    shutil.copytree(settings.settings().config, config)
    models = yaml.safe_load((config / "models.yaml").read_text())
    models["recommender"]["ranker"]["network"] |= {"least_steps": 20, "epochs": 2}
    models["recommender"]["ranker"]["trees"]["rounds"] = 20
    (config / "models.yaml").write_text(yaml.safe_dump(models))
    # The command puts the demo's settings into the environment; here they end with the module.
    with mock.patch.dict(os.environ), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_CONFIG", str(config))
        patch.setenv("PERENNIAL_STATE", str(folder))
        settings.settings.cache_clear()
        yield
    settings.settings.cache_clear()


def figures(folder: Path) -> Figures:
    table = pd.read_csv(folder / "figures.csv").set_index(["slice", "way", "measure"])
    return dict(table.iterrows())  # type: ignore[arg-type]


def run(folder: Path, data: Path, **options: object) -> int:
    arguments = {"DATA": data, "OUT": folder} | options
    return evaluate_recommender.main([f"{name}={value}" for name, value in arguments.items()])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baskets, evaluated with a table of the items."""
    folder = tmp_path_factory.mktemp("baskets")
    bought = baskets()
    # One item is sold only in the last weeks.
    late = bought["Invoice"].str.split("-").str[1].astype(int) >= WEEKS - 2
    bought.loc[late & (bought["StockCode"] == "i00"), "StockCode"] = f"i{ITEMS}"
    write_csv(bought, folder / "bought.csv", ";")
    write_csv(item_table(), folder / "items.csv")
    items = {"ITEMS": folder / "items.csv", "CATEGORY": "department,aisle"}
    assert run(folder / "out", folder / "bought.csv", **items) == 0
    return folder


def test_baskets_are_ranked_by_every_source_on_every_slice(shop: Path):
    rows = figures(shop / "out")
    ndcg = {(part, name): row["value"] for (part, name, measure), row in rows.items() if measure == "ndcg_10"}
    assert {part for part, _ in ndcg} == {
        *("all", "repeat", "explore", "cold"),
        *("short history", "middling history", "long history"),
    }
    on_all = {method for part, method in ndcg if part == "all"}
    assert on_all >= {"ranker", "frequency", "popularity", "customer_neighbours", "content", "needs_kind"}
    # Customers keep to one kind, so popularity over all customers predicts little.
    assert ndcg["all", "ranker"] > 1.3 * ndcg["all", "popularity"]
    assert ndcg["explore", "needs_kind"] > 1.3 * ndcg["explore", "popularity"]
    for (_, _, measure), row in rows.items():
        if measure == "ndcg_10":
            assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1


def test_the_report_says_who_wins_and_what_was_read(shop: Path):
    report = (shop / "out" / "report.md").read_text()
    assert (
        "customer from Customer ID, item from StockCode, time from InvoiceDate, order from Invoice" in report
    )
    assert "- All items: " in report
    assert " with NDCG@10 0." in report
    assert "sure, 95 %: " in report
    assert "Cold items (under 10): " in report
    assert "![Who wins where](who_wins.svg)" in report
    assert f"Customers used: {CUSTOMERS}." in report
    assert (shop / "out" / "who_wins.svg").read_text().startswith("<svg")


def test_the_best_method_has_no_difference_to_itself_and_the_others_are_behind(shop: Path):
    rows = figures(shop / "out")
    for part in ("all", "repeat", "explore", "cold"):
        behind = {
            method: row
            for (of_part, method, measure), row in rows.items()
            if (of_part, measure) == (part, "ndcg_10_less_best")
        }
        assert max(row["value"] for row in behind.values()) == 0
        ndcg = {method: rows[part, method, "ndcg_10"]["value"] for method in behind}
        for method, row in behind.items():
            assert row["value"] == pytest.approx(ndcg[method] - max(ndcg.values()), abs=1e-12)


def test_films_that_are_rated_once_leave_the_repeat_slice_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = write_csv(ratings(), tmp_path / "ratings.csv")
    assert run(tmp_path / "out", data, SPLIT="leave-last", MIN_RATING=2) == 0
    output = capsys.readouterr().out
    assert "rows with no rating of 2 or more" in output
    assert "of the items, only their purchases are known" in output
    assert "Bought before: No customer bought an item again" in output
    rows = figures(tmp_path / "out")
    ndcg = {(part, name): row["value"] for (part, name, measure), row in rows.items() if measure == "ndcg_10"}
    assert not [method for part, method in ndcg if part == "repeat"]
    assert not {"content", "needs_kind", "needs_brand_line", "needs_text"} & {method for _, method in ndcg}
    assert ndcg["explore", "tastes_ever"] > ndcg["explore", "popularity"]
    np.testing.assert_allclose(ndcg["all", "ranker"], ndcg["explore", "ranker"], atol=0.02)


def test_the_same_table_gives_the_same_figures_and_orders_need_no_time(tmp_path: Path):
    table = baskets().drop(columns="InvoiceDate").query("`Customer ID` < 'c060'")
    table["order_number"] = table.pop("Invoice").str.split("-").str[1].astype(int)
    data = write_csv(table, tmp_path / "orders.csv")
    for name in ("once", "again"):
        assert run(tmp_path / name, data, ITEM="StockCode") == 0
    once, again = ((tmp_path / name / "figures.csv").read_text() for name in ("once", "again"))
    assert once == again
    assert figures(tmp_path / "once")["all", "ranker", "ndcg_10"]["customers"] > 0.9 * 60


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"SPLIT": "random"}, "found SPLIT=random; allowed are temporal, leave-last"),
        ({"FROM": "soon"}, "found FROM=soon; allowed is a day as YYYY-MM-DD"),
        ({"FROM": "2030-01-01"}, "2030-01-01 as the first day to predict"),
        ({"MIN_RATING": "good"}, "found MIN_RATING=good; allowed is a number"),
        ({"ITEMS": "absent.csv"}, "absent.csv: there is no such file"),
        ({"TIME": "when"}, "found no column 'when' (TIME=)"),
        ({"DATA": ""}, "usage: make evaluate-recommender DATA="),
        ({"COLOUR": "red"}, "found COLOUR; allowed are DATA"),
    ],
)
def test_a_wrong_option_is_refused_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, str], sentence: str
):
    data = write_csv(ratings().head(2000), tmp_path / "ratings.csv")
    assert run(tmp_path / "out", data, **options) in (1, 2)
    assert sentence in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
