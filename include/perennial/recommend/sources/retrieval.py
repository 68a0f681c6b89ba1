"""The sources together: each says of every item of the pool how much a customer may want it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.recommend.arrays import parallel
from perennial.recommend.arrays.nearest_items import strongest_evidence
from perennial.recommend.arrays.parallel import Found
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.settings import RecommenderSettings
from perennial.recommend.sources import candidates
from perennial.recommend.sources.category_popularity import CategoryPopularity
from perennial.recommend.sources.content import Content
from perennial.recommend.sources.customer_neighbours import CustomerNeighbours
from perennial.recommend.sources.item_neighbours import ItemNeighbours
from perennial.recommend.sources.popularity import Popularity


@dataclass(frozen=True)
class CandidateSources:
    """The sources as of the end of a day.

    Args:
        chosen: their settings.
        catalogue: the items.
        offered: may the item be recommended, shape (items,).
        pool: rows of the items that may be recommended to somebody who never bought them, ascending.
        item_features: of the items.
        item_neighbours: what goes together, by name.
        customer_neighbours: what those buy who buy alike.
        sequence: what comes after what, if it is asked; its weights may be older than the day.
    """

    chosen: RecommenderSettings
    catalogue: Catalogue
    offered: BoolArray
    pool: IntArray
    item_features: ItemFeatures
    item_neighbours: Mapping[str, ItemNeighbours]
    customer_neighbours: CustomerNeighbours
    sequence: SequenceModel | None = None

    @classmethod
    def fit(
        cls,
        history: PurchaseHistory,
        catalogue: Catalogue,
        offered: BoolArray,
        chosen: RecommenderSettings,
        promoted: Float32Array | None = None,
    ) -> Self:
        """Learn from what everybody bought.

        Args:
            history: of all customers, as known at the end of the day.
            catalogue: the items.
            offered: may the item be recommended at all, shape (items,); what nobody bought for long is not.
            chosen: how.
            promoted: what `promotions` says of each item; None: nothing is promoted.
        """
        item_features = ItemFeatures.of(history, catalogue, promoted)
        lately = np.zeros(len(catalogue), bool)
        lately[history.items[history.ages < chosen.sold_within_days]] = True
        offered = offered & lately
        bought = np.where(offered, item_features.buyers_lately, 0)
        most = np.argsort(-bought, kind="stable")[: chosen.pool]
        pool = np.sort(most[bought[most] > 0])
        return cls(
            chosen=chosen,
            catalogue=catalogue,
            offered=offered,
            pool=pool,
            item_features=item_features,
            item_neighbours={
                name: ItemNeighbours.fit(history, pool, how) for name, how in chosen.item_neighbours.items()
            },
            customer_neighbours=CustomerNeighbours.fit(history, pool, chosen.customer_neighbours),
        )

    @cached_property
    def content(self) -> Content:
        """What is like what a customer bought."""
        return Content(self.catalogue, self.pool, self.chosen.content)

    @cached_property
    def needs(self) -> CategoryPopularity:
        """What is mostly bought of the kinds of things that a customer buys."""
        return CategoryPopularity(self.item_features, self.pool)

    @cached_property
    def popularity(self) -> Popularity:
        """What many buy."""
        return Popularity.of(self.item_features, self.pool)

    @cached_property
    def _followed(self) -> sparse.csr_array:
        assert self.sequence is not None
        return self.sequence.alike(self.pool)

    @property
    def names(self) -> tuple[str, ...]:
        """The sources in the order of their scores."""
        return self.chosen.sources

    def scores(self, block: CustomerBlock) -> dict[str, Float32Array]:
        """What each source says, shape (customers, pool) each; more is wanted more."""
        history = block.history
        return {
            **{
                f"{name}_{one}": said
                for name, model in self.item_neighbours.items()
                for one, said in model.scores(history, quick=True).items()
            },
            "customer_neighbours": self.customer_neighbours.scores(history),
            "content": self.content.scores(history),
            **{f"needs_{name}": said for name, said in self.needs.scores(block).items()},
            **({} if self.sequence is None else {"sequence": self.sequence.new(history, self.pool)}),
            "popularity": self.popularity.scores(history),
        }

    def each(
        self, history: PurchaseHistory, work: Callable[[IntArray, CustomerBlock, Candidates], Found]
    ) -> Iterator[Found]:
        """What becomes of the candidates of each block of customers, in order.

        Args:
            history: of the customers.
            work: from rows of the history, what is known of them, and what is considered for them; called by
                several threads at once.
        """

        def one(rows: IntArray) -> Found:
            block = CustomerBlock(history.of(rows), self.catalogue, self.item_features)
            counts = self.chosen.candidates
            found = candidates.find_candidates(
                block.pairs, self.scores(block), self.pool, self.offered, counts
            )
            return work(rows, block, found)

        return parallel.map_blocks(len(history), one)

    def candidates(self, history: PurchaseHistory) -> Iterator[tuple[IntArray, CustomerBlock, Candidates]]:
        """What is considered for each customer: rows of the history, what is known of them, candidates."""
        return self.each(history, lambda rows, block, found: (rows, block, found))

    def evidence(self, name: str, block: CustomerBlock, rows: IntArray, items: IntArray) -> IntArray:
        """What each customer bought on which a source's score for an item of the pool rests, −1 for nothing.

        Args:
            name: the source.
            block: the customers.
            rows: customers, shape (n,).
            items: rows of items of the pool in the catalogue.
        """
        columns = np.searchsorted(self.pool, items)
        model = self.item_neighbours.get(name.partition("_")[0])
        if model is not None:
            return model.evidence(block.history, rows, columns)
        if name == "content":
            return self.content.evidence(block.history, rows, columns)
        if name.startswith("needs"):
            return self.needs.evidence(block, name.removeprefix("needs_"), rows, columns)
        if name == "sequence":
            return strongest_evidence(self._followed[columns], block.history.bought[rows])
        return np.full(len(rows), -1, np.int64)

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder; catalogue and settings are kept by whoever holds them."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "items.npz", offered=self.offered, pool=self.pool, facts=self.item_features.table)
        for name, model in self.item_neighbours.items():
            model.save(folder / f"item_neighbours_{name}.npz")
        self.customer_neighbours.save(folder / "customer_neighbours.npz")
        if self.sequence is not None:
            self.sequence.save(folder / "sequence")

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, chosen: RecommenderSettings) -> Self:
        """Read what `save` wrote."""
        with np.load(folder / "items.npz") as held:
            offered, pool, item_features = held["offered"], held["pool"], ItemFeatures(held["facts"])
        return cls(
            chosen,
            catalogue,
            offered,
            pool,
            item_features,
            item_neighbours={
                name: ItemNeighbours.load(folder / f"item_neighbours_{name}.npz", how)
                for name, how in chosen.item_neighbours.items()
            },
            customer_neighbours=CustomerNeighbours.load(
                folder / "customer_neighbours.npz", chosen.customer_neighbours
            ),
            sequence=None if chosen.sequence is None else SequenceModel.load(folder / "sequence"),
        )
