"""The comparison of two codes: what counts as the same, and what does not."""

import json
import math
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.foundation.modelling.model_log import KEPT, PROMOTED, Record
from tests.acceptance import house_goes_on, house_steps
from tests.acceptance.house_comparison import agreement, compare
from tests.acceptance.house_figures import metric_differs, places_equal, rows_differ

KEY = ["customer_id"]
PLACE = ["customer_id", "rank"]


def customers(**columns: list | pa.Array) -> pa.Table:
    return pa.table({"customer_id": ["a", "b", "c"], **columns})


def places(*items: str, scores: list[float] | None = None, reasons: list[str] | None = None) -> pa.Table:
    n = len(items)
    return pa.table(
        {
            "customer_id": ["a"] * n,
            "rank": list(range(1, n + 1)),
            "item_id": list(items),
            "score": scores or [0.5] * n,
            "reason": reasons or ["popular"] * n,
        }
    )


def test_the_order_of_rows_is_no_difference():
    base = customers(orders=[1, 2, 3])
    assert compare(base, base.take([2, 0, 1]), KEY).rows == 0


def test_whole_numbers_and_words_are_exact():
    difference = compare(customers(orders=[1, 2, 3]), customers(orders=[1, 2, 4]), KEY)
    assert (difference.rows, difference.of, difference.columns) == (1, 3, {"orders": 1})
    assert difference.first == "orders of c: 3 and 4"
    assert compare(customers(stage=["x", "y", None]), customers(stage=["x", "y", "z"]), KEY).rows == 1


@pytest.mark.parametrize(("kind", "near", "far"), [(pa.float64(), 1e-10, 1e-8), (pa.float32(), 1e-6, 1e-4)])
def test_floats_may_differ_by_what_their_type_allows(kind: pa.DataType, near: float, far: float):
    base = customers(spend=pa.array([1000.0, math.nan, None], kind))

    def moved(part: float) -> pa.Table:
        return customers(spend=pa.array([1000.0 * (1 + part), math.nan, None], kind))

    assert compare(base, moved(near), KEY).rows == 0
    assert compare(base, moved(far), KEY).columns == {"spend": 1}


def test_lists_are_compared_element_by_element():
    kind = pa.list_(pa.struct([("name", pa.string()), ("weight", pa.float64())]))

    def brands(*rows: list[tuple[str, float]]) -> pa.Table:
        return customers(brands=pa.array([[{"name": n, "weight": w} for n, w in row] for row in rows], kind))

    base = brands([("x", 0.5)], [("y", 0.25), ("z", 0.1)], [])
    assert compare(base, brands([("x", 0.5 + 1e-12)], [("y", 0.25), ("z", 0.1)], []), KEY).rows == 0
    assert compare(base, brands([("x", 0.6)], [("y", 0.25), ("z", 0.1)], []), KEY).rows == 1
    assert compare(base, brands([("x", 0.5)], [("z", 0.1), ("y", 0.25)], [("w", 1.0)]), KEY).rows == 2


def test_a_row_that_only_one_has_is_a_difference():
    base = customers(orders=[1, 2, 3])
    other = pa.table({"customer_id": ["a", "b", "d"], "orders": [1, 2, 3]})
    difference = compare(base, other, KEY)
    assert (difference.rows, difference.of) == (2, 4)
    with pytest.raises(ValueError, match="1 rows have a key that is there already"):
        compare(base, pa.table({"customer_id": ["a", "a"], "orders": [1, 2]}), KEY)


def test_a_column_that_comes_is_named_and_one_that_goes_is_a_difference():
    few, many = customers(orders=[1, 2, 3]), customers(orders=[1, 2, 3], thin=[True, False, True])
    assert compare(few, many, KEY).rows == 0
    assert str(compare(few, many, KEY)) == "0 of 3 rows differ; new columns: thin"
    assert compare(many, few, KEY).columns == {"thin": 3}


def test_recommendations_agree_place_by_place():
    base = places("x", "y", "z", "w")
    agreed = agreement(base, places("x", "z", "y", "w", scores=[0.5, 0.9, 0.9, 0.75]), PLACE)
    assert (agreed.places, agreed.equal, agreed.greatest) == (4, 0.5, 0.25)
    assert agreed.columns == {"score": 1}
    assert agreement(base, places("x", "y", "z"), PLACE).equal == 0.75
    assert agreement(base, places("x", "y", "z", "w", reasons=["new"] * 4), PLACE).columns == {"reason": 4}


def test_the_bar_is_what_the_base_differs_from_itself():
    base, other = customers(orders=[1, 2, 3]), customers(orders=[1, 2, 4])
    nothing, one = compare(base, base, KEY), compare(base, other, KEY)
    assert rows_differ("p", nothing, nothing).ok
    assert rows_differ("p", one, one).ok
    assert not rows_differ("p", one, nothing).ok
    assert str(rows_differ("p", one, nothing)).startswith("ACCEPT p 1_rows_differ(orders_of_c:_3_and_4)_of_3")
    equal = agreement(places("x", "y"), places("x", "y"), PLACE)
    apart = agreement(places("x", "y"), places("x", "y", scores=[0.5, 0.6]), PLACE)
    assert places_equal("r", equal, equal).ok
    assert not places_equal("r", apart, equal).ok
    assert not places_equal("r", agreement(places("x", "y"), places("x", "z"), PLACE), equal).ok


def test_a_models_figure_may_be_as_far_off_as_the_bases_own():
    assert metric_differs("m", 0.4, 0.4, 0.4 + 1e-12).ok
    assert not metric_differs("m", 0.4, 0.4, 0.41).ok
    assert metric_differs("m", 0.4, 0.42, 0.41).ok
    assert not metric_differs("m", 0.4, 0.4, None).ok


@pytest.mark.parametrize("name", house_steps._PLACES)
def test_this_code_has_every_step_at_one_of_the_places(name: str):
    assert callable(house_steps._step(name))


def record(day: date, version: int, verdict: str, reason: str, **figures: float) -> Record:
    return Record("recommender", day, 1, version, day, verdict, reason, json.dumps(figures))


def test_a_further_days_verdict_speaks_of_the_champion_of_before():
    old = record(date(2017, 12, 3), 4, PROMOTED, "fresher and better", extra_loss=-0.1)
    day = house_goes_on.FURTHER_DAY

    def right(*rows: Record) -> bool:
        return house_goes_on.verdict("recommender", old, [old, *rows]).ok

    assert house_goes_on.champion([old]) == old
    assert right(record(day, 5, PROMOTED, "fresher and not worse", extra_loss=0.0))
    assert right(record(day, 5, KEPT, "clearly worse", extra_loss=0.2))
    assert right(
        record(day, 5, PROMOTED, "no champion to ask: recommender version 4 was saved by other code")
    )
    assert not right(record(day, 5, PROMOTED, "the first of its kind: there is no champion yet"))
    assert not right()


def test_a_state_folder_is_put_back_where_it_was_made(tmp_path: Path):
    place, copy = tmp_path / "shop" / ".perennial", tmp_path / "copy"
    for folder, word in ((place, "mine"), (copy, "old")):
        (folder / "mlflow").mkdir(parents=True)
        (folder / "word").write_text(word)
        (folder / "mlflow" / "auth.ini").write_text(
            f"[mlflow]\ndatabase_uri = sqlite:///{place}/mlflow/auth.db\n"
        )
    with house_goes_on.restored(copy) as there:
        assert there == place
        assert (place / "word").read_text() == "old"
        (place / "word").write_text("changed")
    assert (place / "word").read_text() == "mine"
    assert (copy / "word").read_text() == "old"
    with house_goes_on.restored(place):
        (place / "word").write_text("changed")
    assert (place / "word").read_text() == "mine"
