import ibis
import pyarrow as pa
import pytest

from perennial.profiles import preferences
from perennial.profiles.purchases import UNIT
from perennial.profiles.settings import PreferencesSettings
from tests.profiles.tables import rows_of

OWN = PreferencesSettings(half_life_days=10, category_level=2, purchases_of_population=0, left_out=("FUEL",))
LEANING = OWN.model_copy(update={"purchases_of_population": 4})


def items(*rows: tuple) -> ibis.Table:
    names = ("item", "category", "brand")
    schema = pa.schema([("item", pa.int64()), ("category", pa.string()), ("brand", pa.string())])
    return ibis.memtable(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema))


def weights(*cells: tuple) -> ibis.Table:
    names = ("customer", "item", "weight")
    rows = [dict(zip(names, cell, strict=True)) for cell in cells]
    return ibis.memtable(pa.Table.from_pylist([row | {"weight": row["weight"] * UNIT} for row in rows]))


def customers(*numbers: int) -> ibis.Table:
    return ibis.memtable(pa.table({"customer": list(numbers)}))


def named(found: list[dict]) -> list[tuple]:
    return [(one["name"], pytest.approx(one["weight"])) for one in found]


def test_categories_are_of_the_level_asked_for_or_the_last_there_is():
    shelf = items(
        (0, "FOOD > SOUP > TOMATO", "A"), (1, "FOOD > SOUP", "B"), (2, "TOYS", None), (3, None, "B")
    )
    bought = weights((0, 0, 2), (0, 1, 3), (0, 2, 5), (0, 3, 90), (1, 3, 1))
    rows = rows_of(preferences.categories(bought, shelf, customers(0, 1), OWN), "customer")
    assert set(rows) == {0}
    assert named(rows[0]["categories"]) == [("SOUP", 0.5), ("TOYS", 0.5)]


def test_brands_are_ordered_by_weight_and_then_by_name_and_ten_are_kept():
    shelf = items(*((n, "FOOD", f"brand {n:02}") for n in range(12)))
    bought = weights(*((7, n, 1) for n in range(11)), (7, 11, 9))
    rows = rows_of(preferences.brands(bought, shelf, customers(7), OWN), "customer")
    assert named(rows[7]["brands"]) == [
        ("brand 11", 9 / 20),
        *((f"brand {n:02}", 1 / 20) for n in range(9)),
    ]


def test_shares_lean_on_everybodys_and_whoever_bought_nothing_has_these():
    shelf = items(*((n, "FOOD", f"brand {n:02}") for n in range(12)))
    bought = weights((0, 0, 6), *((1, n, 1) for n in range(12)), (2, 3, 0))
    rows = rows_of(preferences.brands(bought, shelf, customers(0, 1, 2, -1), LEANING), "customer")
    everybody = [("brand 00", 7 / 18), *((f"brand {n:02}", 1 / 18) for n in range(1, 10))]
    assert named(rows[-1]["brands"]) == named(rows[2]["brands"]) == everybody
    assert named(rows[0]["brands"])[:2] == [
        ("brand 00", (6 + 4 * 7 / 18) / (6 + 4)),
        ("brand 01", (4 / 18) / (6 + 4)),
    ]
    assert named(rows[1]["brands"])[1] == ("brand 01", (1 + 4 / 18) / (12 + 4))


def test_items_that_say_nothing_about_taste_are_left_out():
    shelf = items((0, "FUEL > GASOLINE", "A"), (1, "FOOD", "A"), (2, None, "A"), (3, "FOOD > FUEL", "A"))
    assert sorted(preferences.relevant_items(shelf, OWN).item.to_pyarrow().to_pylist()) == [1, 2, 3]


@pytest.mark.parametrize("chosen", [OWN, LEANING])
def test_where_no_purchase_weighs_anything_any_more_nothing_is_preferred(chosen: PreferencesSettings):
    found = preferences.brands(weights((0, 0, 0)), items((0, "FOOD", "A")), customers(0, -1), chosen)
    assert rows_of(found, "customer") == {}
