import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
import yaml
from ibis.config import Config

from perennial.foundation import contracts, settings
from perennial.foundation.embedding_spaces import ENCODER, embedding_settings
from perennial.foundation.item_texts import Template, texts
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import model_log
from perennial.foundation.modelling.model_log import PROMOTED, Record
from perennial.profiles import (
    active_hours,
    discounts,
    life_cycle,
    order_regularity,
    orders,
    pipeline,
    preferences,
    price_curve,
    price_population,
    price_response,
    purchases,
    responsiveness,
)
from perennial.profiles.settings import profile_settings
from tests.content import rows as content
from tests.profiles.conftest import HAT, embed, land, since
from tests.profiles.tables import day, event, landed, noon


class SparkOptions(Config):
    treat_nan_as_null: bool = False


def profiles(lake: Lake, on: date) -> dict[str, dict]:
    return {row["customer_id"]: row for row in content(lake, "profiles") if row["day"] == on}


def test_every_known_customer_has_one_row_with_all_that_is_known_of_them(stocked: Lake):
    assert pipeline.build(str(day(8))) == 3
    found = profiles(stocked, day(8))
    assert set(found) == {"c1", "c2", "silent"}
    c1 = found["c1"]
    assert (c1["orders"], c1["recency_days"], c1["tenure_days"], c1["gap_mean_days"]) == (9, 0, 9, 1)
    assert (c1["spend"], c1["average_order_value"]) == (Decimal(36), Decimal(4))
    assert [order["value"] for order in c1["recent_orders"]] == [float(number) for number in range(9)]
    assert [one["name"] for one in c1["categories"]] == ["SOUP", "HATS"]
    assert (c1["discount_share"], c1["redemptions"], c1["life_cycle"]) == (0, 0, "new")
    assert (c1["average_order_lines"], c1["rhythm"], c1["thin"]) == (1, "regular", False)
    assert (c1["life_cycle_since"], c1["lapsing_on"], c1["lapsed_on"]) == (day(-1), day(29), day(64))
    assert (c1["price_response"], c1["price_response_known"]) == (None, False)


def test_the_history_leaves_out_what_says_nothing_about_taste(stocked: Lake):
    pipeline.build(str(day(8)))
    assert {who: row["vector"] for who, row in profiles(stocked, day(8)).items()} == {
        "c1": pytest.approx([-(0.5**0.5), 0.5**0.5], abs=1e-5),
        "c2": pytest.approx([0.5**0.5, -(0.5**0.5)]),
        "silent": None,
    }


def test_hours_are_the_customers_own_and_the_shops_where_the_zone_is_unknown(stocked: Lake):
    pipeline.build(str(day(0)))
    found = profiles(stocked, day(0))
    assert (found["c1"]["best_hour"], found["c2"]["best_hour"]) == (7, 12)


def test_a_customer_who_never_bought_has_zeros_and_what_the_population_has(stocked: Lake):
    pipeline.build(str(day(8)))
    silent = profiles(stocked, day(8))["silent"]
    empty = ("recent_orders", "channels")
    zero = ("orders", "orders_28", "orders_91", "spend", "spend_28", "spend_91", "redemptions")
    unknown = (
        "first_order_on",
        "recency_days",
        "average_order_value",
        "gap_mean_days",
        "discount_share",
        "vector",
    )
    assert silent["thin"]
    assert [silent[name] for name in empty] == [[]] * 2
    assert [one["name"] for one in silent["categories"]] == ["SOUP", "HATS"]
    assert [one["weight"] for one in silent["brands"]] == [1]
    assert [silent[name] for name in zero] == [0] * 7
    assert [silent[name] for name in unknown] == [None] * 6
    assert sum(silent["active_hours"]) == pytest.approx(1)


def test_discounts_messages_and_campaigns_are_in_the_profile_as_of_the_day(busy: Lake):
    pipeline.build(str(day(39)))
    pipeline.build(str(day(40)))
    before, after = (profiles(busy, day(number)) for number in (39, 40))
    c1, c2, silent = (after[who] for who in ("c1", "c2", "silent"))
    assert c1["price_response"] > silent["price_response"] > 1
    assert c1["price_response_low"] < c1["price_response"] < c1["price_response_high"]
    assert [before["c2"]["channels"][0][name] for name in ("delivered", "clicked")] == [31, 0]
    assert c2["channels"][0]["clicked"] == 1
    assert before["silent"]["channels"][0]["response"] == 0 < silent["channels"][0]["response"]
    figures = ("campaigns_received", "campaigns_answered")
    assert [[row["c1"][name] for name in figures] for row in (before, after)] == [[1, 0], [1, 1]]
    assert before["silent"]["campaign_response"] < after["silent"]["campaign_response"]


def test_what_a_later_day_landed_does_not_change_a_past_profile(stocked: Lake):
    pipeline.build(str(day(4)))
    before = profiles(stocked, day(4))
    land(
        stocked,
        "events",
        event(9, "late", revenue=500, occurred_at=noon(2)),
        event(9, "a3", revenue=700, occurred_at=noon(3)),
        event(9, "back", event_type="return", order_id="a1", revenue=-1),
    )
    land(
        stocked, "items", {"item_id": "soup", "title": "Other", "category": HAT, "available": True} | since(9)
    )
    land(stocked, "users", {"customer_id": "c1", "joined_on": day(9), "consents": []} | since(9))
    embed(stocked, {"Other": [0.0, -1.0]})
    pipeline.build(str(day(4)))
    assert profiles(stocked, day(4)) == before
    pipeline.build(str(day(9)))
    assert profiles(stocked, day(9))["c1"]["spend"] == 36 - 3 + 500 + 700 - 1


def test_a_day_among_others_is_the_day_alone(stocked: Lake):
    written = pipeline.fill_cutoffs(str(day(60)), cutoffs=2)
    assert written == []
    earlier = landed("events", event(-90, "first", customer_id="c2"))
    stocked.replace("events", earlier, day(-90))
    written = pipeline.fill_cutoffs(str(day(36)), cutoffs=3)
    assert written == [str(day(8)), str(day(-20))]
    together = profiles(stocked, day(8))
    pipeline.build(str(day(8)))
    assert profiles(stocked, day(8)) == together


def test_cutoffs_that_have_profiles_are_left_alone(stocked: Lake):
    stocked.replace("events", landed("events", event(-90, "first")), day(-90))
    pipeline.build(str(day(8)))
    version = stocked.version("profiles")
    assert pipeline.fill_cutoffs(str(day(36)), cutoffs=1) == []
    assert stocked.version("profiles") == version
    assert pipeline.fill_cutoffs(str(day(35)), cutoffs=1) == [str(day(7))]


def test_an_empty_shop_has_no_profiles(lake: Lake):
    assert pipeline.build(str(day(0))) == 0
    assert pipeline.fill_cutoffs(str(day(100))) == []


def test_building_a_day_again_replaces_it(stocked: Lake):
    for _ in range(2):
        assert pipeline.build(str(day(8))) == 3
    assert len(content(stocked, "profiles")) == 3


def test_each_day_is_drawn_in_the_space_in_force_on_it(stocked: Lake):
    start = embedding_settings().start
    other = start.model_copy(update={"text": Template(parts=("{title}",))})
    said = texts(stocked.read("items"), other.text).drop("item_id").to_pyarrow().to_pylist()
    ends = {"Diesel": [0.0, 0.0, 1.0], "Red hat": [0.0, 1.0, 0.0], "Tomato soup": [1.0, 0.0, 0.0]}
    rows = [row | {"encoder": other.key, "vector": ends[row["text"]]} for row in said]
    stocked.add("item_embeddings", pa.Table.from_pylist(rows, schema=contracts.ITEM_EMBEDDINGS.schema))
    for number, space in ((0, start), (7, other)):
        on, figures = day(number), space.model_dump_json()
        row = Record(ENCODER, on, 1, None, on, PROMOTED, "a test", figures)
        model_log.add(stocked, [row])
    for number in (7, 6):
        pipeline.build(str(day(number)))
    assert [len(profiles(stocked, day(number))["c1"]["vector"]) for number in (6, 7)] == [2, 3]


def test_days_are_those_of_the_shops_own_time_zone(stocked: Lake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENNIAL_SHOP_TIME_ZONE", "Pacific/Auckland")
    settings.settings.cache_clear()
    pipeline.build(str(day(8)))
    # Noon in UTC is the next day in Auckland: the order of day 8 has not happened yet.
    found = profiles(stocked, day(8))["c1"]
    assert (found["orders"], found["last_order_on"]) == (8, day(8))


def test_as_many_cutoffs_are_drawn_as_the_return_model_learns_from():
    models = yaml.safe_load((settings.settings().config / "models.yaml").read_text())
    assert profile_settings().cutoffs.count >= models["return_model"]["cutoffs"]


def test_a_wrong_setting_is_named(shop: Path, monkeypatch: pytest.MonkeyPatch):
    config = shop / "config"
    shutil.copytree(settings.settings().config, config)
    path = config / "profiles.yaml"
    path.write_text(path.read_text().replace("half_life_days: 90", "half_life_days: 0"))
    monkeypatch.setenv("PERENNIAL_CONFIG", str(config))
    settings.settings.cache_clear()
    with pytest.raises(
        ValueError, match=r"profiles.yaml: preferences.half_life_days: .* greater than 0; found 0"
    ):
        profile_settings()


def held(steps: dict[str, ir.Table], name: str) -> ir.Table:
    """A table as `kept` would give it."""
    return ibis.table(steps[name].schema(), name=name)


def test_the_sections_are_expressions_for_spark_as_well(monkeypatch: pytest.MonkeyPatch):
    # What Ibis's Spark backend would set by itself; Spark is not needed to see that it could run them.
    monkeypatch.setattr(ibis.options, "pyspark", SparkOptions())
    chosen = profile_settings()
    events = ibis.table(ibis.Schema.from_pyarrow(contracts.EVENTS.schema), name="events")
    events = events.mutate(occurred_on=events.occurred_at.date())
    dated = purchases.dated(events, purchases.repeated(events))
    lines = purchases.lines(dated)
    parts = purchases.as_of(purchases.order_parts(lines), day(0))
    bought = purchases.orders(parts)
    customers = ibis.table(ibis.Schema.from_pyarrow(contracts.USERS.schema), name="users")
    numbers = [purchases.numbered(lines, name) for name in ("customer_id", "item_id")]
    baskets = purchases.baskets(lines, *numbers)
    weights = ibis.table({"customer": "int64", "item": "int64", "weight": "int64"}, name="weights")
    people = ibis.table({"customer": "int64"}, name="people")
    weeks = price_curve.weeks(baskets, bought, baskets.select("item"), chosen.price_response)
    steps = {"weeks": weeks}
    steps["ratios"] = price_curve.ratios(held(steps, "weeks"))
    steps["curve"] = price_curve.curve(held(steps, "ratios"))
    steps["offers"] = price_response.offers(held(steps, "weeks"), held(steps, "curve"))
    steps["compared"] = price_response.compared(held(steps, "offers"))
    seen = held(steps, "offers"), held(steps, "compared")
    steps["evidence"] = price_response.evidence(baskets, *seen, chosen.price_response)
    steps["means"] = price_population.means(held(steps, "evidence"))
    steps["population"] = price_population.population(held(steps, "evidence"), held(steps, "means"))
    learnt = price_response.Learnt(*(held(steps, name) for name in ("curve", "evidence", "population")))
    counted = ibis.table({"place": "int64", "hour": "int64", "n": "int64"}, name="counted")
    shares = active_hours._shares(counted.select("place"), counted, chosen.active_hours)
    touches = responsiveness.touches(dated)
    assignments = ibis.table(ibis.Schema.from_pyarrow(contracts.ASSIGNMENTS.schema), name="assignments")
    items = ibis.table({"item": "int64", "category": "string", "brand": "string"}, name="items")
    for section in (
        orders.rhythm(bought, day(0)),
        orders.money(parts, day(0)),
        orders.recent(bought),
        discounts.shares(parts),
        purchases.item_weights(baskets, day(0), 90, 0.5),
        preferences.categories(weights, items, people, chosen.preferences),
        preferences.brands(weights, items, people, chosen.preferences),
        *steps.values(),
        price_response.responses(learnt, people),
        order_regularity.regularity(bought, chosen.gaps),
        responsiveness.channels(touches, customers, chosen.responses),
        responsiveness.campaigns(assignments, touches, customers, chosen.responses),
        life_cycle.stages(bought, customers, day(0), chosen.life_cycle),
        active_hours._confidence(shares, active_hours._ranked(shares)),
    ):
        assert "SELECT" in ibis.to_sql(section, dialect="pyspark")
