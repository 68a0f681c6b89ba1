"""Which source a recommended item is due to, whatever the models are called."""

from dataclasses import replace

import numpy as np
import pytest

from perennial.foundation import contracts
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.lists.phrases import languages
from perennial.recommend.lists.reasons import RankedLists, recommendation_table
from perennial.recommend.settings import ItemNeighboursSettings, PurchaseWeighting, recommender_settings
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources
from perennial.recommend.sources.source import Reason
from tests.recommend.goods import GOODS, catalogue_of, history_of

SEEN_TOGETHER = {f"c{n:02}": [("ale", 20 + n), ("milk", 10 + n)] for n in range(20)}


def sources(name: str) -> CandidateSources:
    """Sources whose one model of item neighbours has this name; it knows that ale goes with milk."""
    model = ItemNeighboursSettings(weighing=PurchaseWeighting(power=0), ridge=1)
    settings = recommender_settings().model_copy(
        update={"item_neighbours": {name: model}, "candidates": {f"{name}_ever": 5}}
    )
    history = history_of(catalogue_of(), SEEN_TOGETHER | {"x": [("juice", 3)], "y": [("novel", 9)]})
    return CandidateSources.fit(history, catalogue_of(), np.ones(len(GOODS), bool), settings)


@pytest.mark.parametrize("name", ["tastes", "my_tastes", "customer", "needs", "content_of_baskets"])
def test_a_model_of_item_neighbours_of_any_name_gets_its_reason_and_its_evidence(name: str):
    fitted = sources(name)
    catalogue = fitted.catalogue
    ale, milk = (int(np.flatnonzero(catalogue.item_ids == one)[0]) for one in ("ale", "milk"))
    history = history_of(catalogue_of(), {"asked": [("ale", 5)]})
    block, candidates = fitted.candidates_of(history)
    scores = np.full((1, len(fitted.score_names)), 0.0, np.float32)
    scores[0, fitted.score_names.index(f"{name}_ever")] = 1
    others = Candidates(
        np.zeros(2, np.int64), np.array([milk, milk]), np.vstack([scores, scores * 0 + 0.5]), np.full(2, -1)
    )
    lists = RankedLists(block, others, np.array([[0]]), np.array([0.4, 0.1]), np.ones((1, 1)))
    nothing = NewItems.fit(history, catalogue, np.zeros(0, np.int64), fitted.settings.content)
    (row,) = recommendation_table(lists, fitted, nothing, languages(), np.zeros(1, np.int64)).to_pylist()
    assert row["source"] == "item_neighbours"
    assert row["evidence"] == ["ale"]
    assert row["reason"] == f"often bought with {catalogue.titles[ale]}"
    assert len(candidates)


def test_every_reason_is_a_value_of_the_contract():
    assert tuple(Reason) == contracts.RECOMMENDATIONS.allowed("source")


def test_the_names_of_the_scores_are_those_that_the_sources_give():
    fitted = sources("tastes")
    block, _ = fitted.candidates_of(history_of(catalogue_of(), {"asked": [("ale", 5)]}))
    assert tuple(fitted.scores(block)) == fitted.score_names == fitted.settings.score_names
    assert [fitted.source_of(name).name for name in fitted.score_names] == [
        one.name for one in fitted.sources
    ]
    assert replace(fitted, sources=fitted.sources[1:]).score_names == fitted.score_names[1:]
