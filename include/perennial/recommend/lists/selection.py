"""The list of each customer: likely items that the rules allow, varied, with new items drawn by chance."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Self

import numpy as np

from perennial.foundation.arrays import BoolArray, FloatArray, IntArray
from perennial.foundation.chance import KeyedChance, Keys, keys
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.lists.diversity import penalise_popularity, select_diverse
from perennial.recommend.lists.eligibility import EligibilityRules
from perennial.recommend.lists.exploration import insert_new_items
from perennial.recommend.lists.reasons import RankedLists
from perennial.recommend.settings import RecommenderSettings
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources


@dataclass(frozen=True)
class ListSelector:
    """Selects the lists of a day among candidates.

    Args:
        settings: how varied lists are, and how many new items they show.
        sources: of the candidates.
        new_items: those that may be drawn by chance.
        rules: over the catalogue.
        day: a part of the key of chance.
    """

    settings: RecommenderSettings
    sources: CandidateSources
    new_items: NewItems
    rules: EligibilityRules
    day: date

    @classmethod
    def of(
        cls,
        settings: RecommenderSettings,
        sources: CandidateSources,
        new_items: NewItems,
        available: BoolArray,
        day: date,
    ) -> Self:
        """For a day; `available` says which items of the catalogue can be sold on it, shape (items,)."""
        rules = EligibilityRules.of(settings.eligibility, sources.catalogue, available)
        return cls(settings, sources, new_items, rules, day)

    @cached_property
    def _item_keys(self) -> Keys:
        return keys(self.sources.catalogue.item_ids)

    @cached_property
    def _is_new_item(self) -> BoolArray:
        is_new = np.zeros(len(self.sources.catalogue), bool)
        is_new[self.new_items.items] = True
        return is_new

    def select(
        self,
        block: CustomerBlock,
        candidates: Candidates,
        probabilities: FloatArray,
        adult: BoolArray,
        k: int,
    ) -> RankedLists:
        """The lists of the customers of a block.

        Args:
            block: the customers.
            candidates: of the customers.
            probabilities: that each candidate is bought within the window.
            adult: which customers are known to be adults.
            k: length of a list.
        """
        if self.settings.exploration.one_in is not None:
            candidates, probabilities = self._with_new_items(block, candidates, probabilities)
        is_eligible = self.rules.eligible(candidates.rows, candidates.items, block.history, adult)
        candidates, probabilities = candidates.where(is_eligible), probabilities[is_eligible]
        lists = self._select_diverse(block, candidates, probabilities, k)
        chances = np.ones(lists.shape)
        if self.settings.exploration.one_in is not None:
            lists, chances = self._insert_new_items(block, candidates, probabilities, lists)
        return RankedLists(block, candidates, lists, probabilities, chances)

    def _select_diverse(
        self, block: CustomerBlock, candidates: Candidates, probabilities: FloatArray, k: int
    ) -> IntArray:
        """Positions of the best candidates, varied and within the limits of a list, shape (customers, k)."""
        diversity, buyers = self.settings.diversity, self.sources.item_features.buyers_lately
        scores = penalise_popularity(probabilities, candidates.items, buyers, diversity.popularity_penalty)
        return select_diverse(
            candidates.rows,
            candidates.items,
            scores,
            len(block.history),
            k,
            self.rules,
            self.sources.catalogue,
            diversity.strength,
        )

    def _insert_new_items(
        self, block: CustomerBlock, candidates: Candidates, probabilities: FloatArray, lists: IntArray
    ) -> tuple[IntArray, FloatArray]:
        """Lists in which some places hold a new item drawn by chance, and the probability of each place."""
        assert self.settings.exploration.one_in is not None
        return insert_new_items(
            lists,
            candidates.rows,
            candidates.items,
            probabilities,
            self._is_new_item[candidates.items] & (candidates.pair < 0),
            self.rules,
            KeyedChance(keys(block.history.customer_ids), self._item_keys, self.day),
            self.settings.exploration.one_in,
        )

    def _with_new_items(
        self, block: CustomerBlock, candidates: Candidates, probabilities: FloatArray
    ) -> tuple[Candidates, FloatArray]:
        """The candidates, and the likeliest new items among those that each customer never bought."""
        items, width = self.new_items.items, np.int64(len(self.sources.catalogue))
        count = min(self.settings.exploration.named, len(items))
        if not count:
            return candidates, probabilities
        of_new = self.new_items.probability(block.history)
        best = np.sort(np.argpartition(-of_new, count - 1, axis=1)[:, :count], axis=1).ravel()
        customers = np.repeat(np.arange(len(of_new)), count)
        keys_of_new = customers * width + items[best]
        is_known = _is_among(keys_of_new, candidates.rows * width + candidates.items)
        is_known |= _is_among(keys_of_new, block.pairs.keys)
        customers, best = customers[~is_known], best[~is_known]
        order = np.argsort(np.r_[candidates.rows, customers], kind="stable")
        no_scores = np.full((len(customers), candidates.scores.shape[1]), np.nan, candidates.scores.dtype)
        with_new = Candidates(
            np.r_[candidates.rows, customers][order],
            np.r_[candidates.items, items[best]][order],
            np.concatenate([candidates.scores, no_scores])[order],
            np.r_[candidates.pair, np.full(len(customers), -1)][order],
        )
        return with_new, np.r_[probabilities, of_new[customers, best]][order]


def _is_among(keys_: IntArray, ascending: IntArray) -> BoolArray:
    """Which of the keys are among ascending ones."""
    return np.append(ascending, -1)[np.searchsorted(ascending, keys_)] == keys_
