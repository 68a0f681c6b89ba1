"""All sources together: they score the items of a pool, and the best of each become candidates."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.recommend.arrays.parallel import map_blocks
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.settings import POPULARITY_GROUPS, RecommenderSettings
from perennial.recommend.sources.candidate_pool import best_sellers, still_sold
from perennial.recommend.sources.candidates import find_candidates
from perennial.recommend.sources.category_popularity import CategoryPopularity
from perennial.recommend.sources.content import Content
from perennial.recommend.sources.customer_neighbours import CustomerNeighbours
from perennial.recommend.sources.item_neighbours import ItemNeighbours
from perennial.recommend.sources.next_items import NextItems
from perennial.recommend.sources.popularity import Popularity
from perennial.recommend.sources.source import Source

_FILE = "items.npz"


@dataclass(frozen=True)
class CandidateSources:
    """The sources as of the end of a day.

    Args:
        settings: of the recommender.
        catalogue: the items.
        offered: may the item be recommended, shape (items,).
        pool: rows of the items that the sources score, ascending.
        item_features: of all items.
        sources: in the order of their scores.
    """

    settings: RecommenderSettings
    catalogue: Catalogue
    offered: BoolArray
    pool: IntArray
    item_features: ItemFeatures
    sources: tuple[Source, ...]

    @classmethod
    def fit(
        cls,
        history: PurchaseHistory,
        catalogue: Catalogue,
        offered: BoolArray,
        settings: RecommenderSettings,
        promoted: Float32Array | None = None,
    ) -> Self:
        """Learn from the purchases of all customers; the sequence model learns by itself and joins later.

        Args:
            history: of all customers, as known at the end of the day.
            catalogue: the items.
            offered: may the item be recommended, shape (items,); without recent purchases it is not.
            settings: of the recommender.
            promoted: the columns `promotions.NAMES` of each item; None: nothing is promoted.
        """
        item_features = ItemFeatures.of(history, catalogue, promoted)
        offered = still_sold(offered, history, settings.sold_within_days)
        pool = best_sellers(offered, item_features, settings.pool)
        learned: tuple[Source, ...] = (
            *(
                ItemNeighbours.fit(name, history, pool, of_model)
                for name, of_model in settings.item_neighbours.items()
            ),
            CustomerNeighbours.fit(history, pool, settings.customer_neighbours),
        )
        return cls._with_plain_sources(settings, catalogue, offered, pool, item_features, learned)

    @classmethod
    def _with_plain_sources(
        cls,
        settings: RecommenderSettings,
        catalogue: Catalogue,
        offered: BoolArray,
        pool: IntArray,
        item_features: ItemFeatures,
        learned: tuple[Source, ...],
    ) -> Self:
        """The learned sources, and behind them those that need no learning."""
        plain: tuple[Source, ...] = (
            Content(catalogue, pool, settings.content),
            *(CategoryPopularity(group, item_features, pool) for group in POPULARITY_GROUPS),
            Popularity.of(item_features, pool),
        )
        return cls(settings, catalogue, offered, pool, item_features, (*learned, *plain))

    def with_sequence(self, model: SequenceModel) -> Self:
        """The same with a sequence model as of the day, ahead of popularity."""
        return replace(self, sources=(*self.sources[:-1], NextItems(model, self.pool), self.sources[-1]))

    @property
    def sequence(self) -> SequenceModel | None:
        """The sequence model, where there is one."""
        return next((source.model for source in self.sources if isinstance(source, NextItems)), None)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The names of the scores in their order."""
        names = self.settings.scores_by_source
        return tuple(name for source in self.sources for name in names[source.name])

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """The scores of all sources by name, shape (customers, pool) each; higher is wanted more."""
        return {name: scores for source in self.sources for name, scores in source.scores(block).items()}

    def source_of(self, score_name: str) -> Source:
        """The source that gives a score of this name."""
        names = self.settings.scores_by_source
        return next(source for source in self.sources if score_name in names[source.name])

    def candidates_of(self, history: PurchaseHistory) -> tuple[CustomerBlock, Candidates]:
        """The customers of one block with what is known of them, and their candidates."""
        block = CustomerBlock(history, self.catalogue, self.item_features)
        scores, counts = self.scores(block), self.settings.candidates
        return block, find_candidates(block.pairs, scores, self.pool, self.offered, counts)

    def candidates(self, history: PurchaseHistory) -> Iterator[tuple[IntArray, CustomerBlock, Candidates]]:
        """Block by block: rows of the history, the customers of the block, their candidates."""
        return map_blocks(len(history), lambda rows: (rows, *self.candidates_of(history.of(rows))))

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder; the recommender saves catalogue and settings."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / _FILE, offered=self.offered, pool=self.pool, facts=self.item_features.table)
        for source in self.sources:
            source.save(folder)

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, settings: RecommenderSettings) -> Self:
        """Read what `save` wrote."""
        with np.load(folder / _FILE) as arrays:
            offered, pool, item_features = arrays["offered"], arrays["pool"], ItemFeatures(arrays["facts"])
        learned: tuple[Source, ...] = (
            *(
                ItemNeighbours.load(name, folder, of_model)
                for name, of_model in settings.item_neighbours.items()
            ),
            CustomerNeighbours.load(folder, settings.customer_neighbours),
        )
        sources = cls._with_plain_sources(settings, catalogue, offered, pool, item_features, learned)
        if settings.sequence is None:
            return sources
        return sources.with_sequence(NextItems.load(folder, pool).model)
