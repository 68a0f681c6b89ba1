import pyarrow as pa
import pytest

from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.settings import PurchaseWeighting
from perennial.recommend.sources.new_items import NewItems
from tests.recommend.goods import catalogue_of, history_of

OLD = {
    "ale": ("Drinks > Beer", "North"),
    "lager": ("Drinks > Beer", "South"),
    "cot": ("Baby > Beds", "East"),
    "gin": ("Drinks > Spirits", "West"),
}
NEW = {
    "stout": ("Drinks > Beer", "North"),
    "bitter": ("Drinks > Beer", "nobody's"),
    "cradle": ("Baby > Beds", "East"),
    "rum": ("Drinks > Spirits", "West"),
}
Bought = dict[str, list[tuple[str, int]]]


def scores(catalogue: Catalogue, bought: Bought) -> dict[str, dict[str, float]]:
    """What each customer is thought to want of the new items."""
    history = history_of(catalogue, bought)
    items = catalogue.find(pa.array(list(NEW)))
    found = NewItems.fit(history, catalogue, items, PurchaseWeighting(half_life_days=90, power=1)).scores(
        history
    )
    assert (found > 0).all()
    return {who: dict(zip(NEW, row, strict=True)) for who, row in zip(bought, found.tolist(), strict=True)}


def test_a_new_item_is_for_those_who_buy_its_kind_and_more_so_its_brand():
    bought: Bought = {"drinker": [("ale", 9)] * 5, "other": [("lager", 9)] * 5, "parent": [("cot", 9)]}
    found = scores(catalogue_of(OLD | NEW), bought)
    assert found["drinker"]["stout"] > found["drinker"]["bitter"] > found["drinker"]["cradle"]
    assert found["other"]["bitter"] > found["other"]["stout"]
    assert found["parent"]["cradle"] > found["parent"]["bitter"]


def test_where_new_items_of_a_kind_did_well_the_next_one_may_too():
    early: Bought = {who: [("ale", 300), ("gin", 20)] for who in ("a", "b", "c")}
    found = scores(catalogue_of(OLD | NEW), {**early, "d": [("cot", 20)], "nobody": []})["nobody"]
    assert found == pytest.approx({"stout": 2, "bitter": 2, "cradle": 1.75, "rum": 2.25})


def test_of_two_of_a_line_the_one_whose_text_is_like_what_was_bought_comes_first():
    names = ["ale", *NEW]
    texts = pa.table({"item_id": names, "text_hash": names})
    vectors = pa.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0], [0, -1]], pa.list_(pa.float32(), 2))
    goods = pa.table({"item_id": names, "title": names, "category": ["Drinks"] * 5, "brand": ["North"] * 5})
    catalogue = Catalogue.of(goods, texts, pa.table({"text_hash": names, "vector": vectors}))
    found = scores(catalogue, {"drinker": [("ale", 9)], "nobody": []})
    assert sorted(found["drinker"], key=found["drinker"].__getitem__, reverse=True)[0] == "stout"
    assert len(set(found["nobody"].values())) == 1
