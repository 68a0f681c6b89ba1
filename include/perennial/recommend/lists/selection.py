"""The lists of a day: what the rules allow, likeliest first, as varied as asked, with drawn new items."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Self

import numpy as np

from perennial.foundation.arrays import BoolArray, FloatArray, IntArray
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.lists.diversity import penalise_popularity, select_diverse
from perennial.recommend.lists.eligibility import EligibilityRules
from perennial.recommend.lists.exploration import KeyedChance, Keys, insert_new_items, keys
from perennial.recommend.lists.reasons import RankedLists
from perennial.recommend.settings import RecommenderSettings
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources


@dataclass(frozen=True)
class ListSelector:
    """How the lists of a day are chosen among candidates.

    Args:
        chosen: how varied, and how much room new items get.
        sources: of the catalogue.
        new_items: those that chance may show.
        rules: over the catalogue.
        day: decides how the dice fall.
    """

    chosen: RecommenderSettings
    sources: CandidateSources
    new_items: NewItems
    rules: EligibilityRules
    day: date

    @classmethod
    def of(
        cls,
        chosen: RecommenderSettings,
        sources: CandidateSources,
        new_items: NewItems,
        available: BoolArray,
        day: date,
    ) -> Self:
        """For a day on which some items of the catalogue are available."""
        rules = EligibilityRules.of(chosen.eligibility, sources.catalogue, available)
        return cls(chosen, sources, new_items, rules, day)

    @cached_property
    def _items(self) -> Keys:
        return keys(self.sources.catalogue.item_ids)

    @cached_property
    def _new(self) -> BoolArray:
        found = np.zeros(len(self.sources.catalogue), bool)
        found[self.new_items.items] = True
        return found

    def choose(
        self, block: CustomerBlock, found: Candidates, scores: FloatArray, adult: BoolArray, k: int
    ) -> RankedLists:
        """The lists of the customers of a block.

        Args:
            block: the customers.
            found: what is considered for them.
            scores: probability of buying it within the window, of each candidate.
            adult: which customers are known to be adults.
            k: length of a list.
        """
        diversity, exploration = self.chosen.diversity, self.chosen.exploration
        if exploration.one_in is not None:
            found, scores = self._with_new(block, found, scores)
        kept = self.rules.eligible(found.rows, found.items, block.history, adult)
        found, scores = found.where(kept), scores[kept]
        buyers, catalogue, size = (
            self.sources.item_features.buyers_lately,
            self.sources.catalogue,
            len(block.history),
        )
        wanted = penalise_popularity(scores, found.items, buyers, diversity.popularity_penalty)
        lists = select_diverse(
            found.rows, found.items, wanted, size, k, self.rules, catalogue, diversity.strength
        )
        chances = np.ones(lists.shape)
        if exploration.one_in is not None:
            chance = KeyedChance(keys(block.history.customer_ids), self._items, self.day)
            new = self._new[found.items] & (found.pair < 0)
            lists, chances = insert_new_items(
                lists, found.rows, found.items, scores, new, self.rules, chance, exploration.one_in
            )
        return RankedLists(block, found, lists, scores, chances)

    def _with_new(
        self, block: CustomerBlock, found: Candidates, scores: FloatArray
    ) -> tuple[Candidates, FloatArray]:
        """The candidates and, of what each customer never bought, the likeliest new items."""
        items, width = self.new_items.items, np.int64(len(self.sources.catalogue))
        count = min(self.chosen.exploration.named, len(items))
        if not count:
            return found, scores
        said = self.new_items.probability(block.history)
        best = np.sort(np.argpartition(-said, count - 1, axis=1)[:, :count], axis=1)
        rows, named = np.repeat(np.arange(len(said)), count), items[best.ravel()]
        asked = rows * width + named
        there = _among(found.rows * width + found.items, asked) | _among(block.pairs.keys, asked)
        rows, named, likely = rows[~there], named[~there], said[rows, best.ravel()][~there]
        order = np.argsort(np.r_[found.rows, rows], kind="stable")
        nothing = np.full((len(rows), found.scores.shape[1]), np.nan, found.scores.dtype)
        both = Candidates(
            np.r_[found.rows, rows][order],
            np.r_[found.items, named][order],
            np.concatenate([found.scores, nothing])[order],
            np.r_[found.pair, np.full(len(rows), -1)][order],
        )
        return both, np.r_[scores, likely][order]


def _among(keys: IntArray, asked: IntArray) -> BoolArray:
    """Which of the asked are among ascending keys."""
    return np.append(keys, -1)[np.searchsorted(keys, asked)] == asked
