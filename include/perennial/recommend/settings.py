"""models.yaml: the section of the recommender. The return model's section is read by the return model."""

from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import sparse

from perennial.foundation.config import Part, load
from perennial.foundation.modelling.boosting import TreesSettings
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.lists.diversity import DiversitySettings
from perennial.recommend.lists.eligibility import EligibilitySettings
from perennial.recommend.lists.exploration import ExplorationSettings
from perennial.recommend.sequence.settings import SequenceSettings
from perennial.recommend.sources.category_popularity import GROUPS

EVER = "ever"
"""The question of item neighbours that is always asked: what goes with a history at all."""


class PurchaseWeighting(Part):
    """How purchases count: 0.5 ** (age / half-life), summed, to a power; a power of 0 asks only whether."""

    half_life_days: float | None = Field(None, gt=0, description="none: all purchases count the same")
    power: float = Field(1, ge=0, le=8)
    newest_only: bool = Field(False, description="of an item only the customer's newest purchase counts")

    def matrix(self, history: PurchaseHistory) -> sparse.csr_array:
        """Shape (customers, items), float32."""
        found = history.weights(self.half_life_days, newest_only=self.newest_only)
        found.data = found.data ** np.float32(self.power)
        return found


class ItemNeighboursSettings(Part):
    """The linear item-item model."""

    weighing: PurchaseWeighting
    customers: int = Field(5000, ge=10, description="it learns from at most so many, drawn by chance")
    ridge: float = Field(gt=0, description="L2 penalty; more of it: only what many buy together counts")
    lately_days: tuple[int, ...] = Field((), description="also asked: what went with it in the last days")
    new_days: tuple[int, ...] = Field((), description="… and what those bought first in the last days")

    @property
    def questions(self) -> tuple[str, ...]:
        """What it is asked, by name."""
        lately = (f"{days}_days" for days in self.lately_days)
        return EVER, *lately, *(f"new_in_{days}_days" for days in self.new_days)


class CustomerNeighboursSettings(Part):
    """TIFU-KNN."""

    half_life_days: float = Field(90, gt=0, description="a purchase counts half after so many days")
    customers: int = Field(5000, ge=10, description="of whom the neighbours are chosen, drawn by chance")
    neighbours: int = Field(100, ge=1, description="customers that are asked")
    own_share: float = Field(0.7, ge=0, le=1, description="of the customer's own purchases in the score")


class ListwiseSettings(Part):
    """The network of the ranker that compares candidates."""

    hidden: tuple[int, ...] = Field((64, 32), min_length=1, description="units of each layer")
    networks: int = Field(2, ge=1, description="their answers are averaged")
    dropout: float = Field(0.1, ge=0, lt=1)
    epochs: int = Field(4, ge=1, description="how often it sees every list")
    least_steps: int = Field(200, ge=1, description="… in a small shop more often, for so many steps")
    batch: int = Field(128, ge=1, description="lists in a step")
    learning_rate: float = Field(0.003, gt=0, le=1)
    decay: float = Field(0.01, ge=0, description="of the weights")


class RankerSettings(Part):
    """What the ranker learns from, and how."""

    windows: int = Field(3, ge=1, le=26, description="past windows of 28 days")
    every_days: int = Field(28, ge=1, le=28, description="they begin so many days apart")
    negatives: float = Field(1.0, gt=0, le=1, description="of what was not bought, this share is looked at")
    trees: TreesSettings = Field(description="that judge what the customer bought before")
    network: ListwiseSettings = Field(ListwiseSettings(), description="that compares candidates")


class RecommenderSettings(Part):
    """How the recommender is trained and judged."""

    excluded_categories: frozenset[str] = Field(frozenset(), description="any level of an item's category")
    sold_within_days: int = Field(91, ge=1, description="what nobody bought for longer is not recommended")
    customers: int = Field(20_000, ge=100, description="it learns from at most so many, drawn by chance")
    pool: int = Field(1000, ge=10, description="items with most buyers, for whoever never bought them")
    item_neighbours: dict[str, ItemNeighboursSettings] = Field(min_length=1, description="models by name")
    customer_neighbours: CustomerNeighboursSettings = CustomerNeighboursSettings()
    content: PurchaseWeighting = Field(
        PurchaseWeighting(half_life_days=90, power=3), description="of a text in a customer's taste"
    )
    sequence: SequenceSettings | None = Field(None, description="none: it is not asked")
    candidates: dict[str, int] = Field(description="never bought items that each source names")
    ranker: RankerSettings
    eligibility: EligibilitySettings = EligibilitySettings()
    diversity: DiversitySettings = DiversitySettings()
    exploration: ExplorationSettings = ExplorationSettings()
    top: int = Field(20, ge=10, le=1000, description="items kept for each customer")
    customers_per_shard: int = Field(200_000, ge=1, description="one task recommends to so many")
    margin: float = Field(
        0.01, ge=0, description="extra mean loss (1 - NDCG@10) that is still called not worse"
    )
    group_margin: float = Field(0.02, ge=0, description="extra mean loss that a large group may bear")

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources in the order of their scores."""
        neighbours = (
            f"{name}_{question}" for name, one in self.item_neighbours.items() for question in one.questions
        )
        by_group = (f"needs_{group}" for group in GROUPS)
        followed = () if self.sequence is None else ("sequence",)
        return *neighbours, "customer_neighbours", "content", *by_group, *followed, "popularity"

    @model_validator(mode="after")
    def _candidates_are_of_sources(self) -> Self:
        unknown = [name for name in self.candidates if name not in self.sources]
        if unknown:
            off = " (sequence is null: off)" if unknown[0] == "sequence" else ""
            raise ValueError(f"candidates: found {unknown[0]!r}{off}; allowed are {', '.join(self.sources)}")
        return self


class _Models(Part):
    return_model: dict[str, Any]
    recommender: RecommenderSettings
    watch: dict[str, Any] | None = None


def recommender_settings() -> RecommenderSettings:
    """The settings in models.yaml."""
    return load("models", _Models).recommender
