"""models.yaml: the section of the recommender. The return model's section is read by the return model."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, PositiveInt, model_validator

from perennial.foundation.config import Part, load
from perennial.foundation.modelling.boosting import TreesSettings

LEVELS = 3
"""How many levels of a category are told apart; an item with fewer repeats its last one."""
POPULARITY_GROUPS = ("kind", "brand_line", "text")
"""Where popularity is counted by group: third level of the category, brand within the second level, text."""


class SequenceSettings(Part):
    """The transformer over orders."""

    width: int = Field(64, ge=2, description="of an item's vector and of the state")
    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1, description="while it learns")
    orders: int = Field(128, ge=1, description="it reads so many last orders of a customer")
    lines_for_own: int = Field(10, ge=1, description="an item bought less often has its text's vector alone")
    weeks: int = Field(
        8, ge=1, description="it learns from moments in so many last weeks, half of all at most"
    )
    drawn: int = Field(5_000, ge=1, description="items in the softmax beside those of the customer, about")
    customers: int = Field(32, ge=1, description="in a step")
    moments: int = Field(8, ge=1, description="in a step, of each customer")
    learning_rate: float = Field(0.005, gt=0, le=1)
    vectors_rate: float = Field(0.005, ge=0, description="of that, for the vectors of items")
    decay: float = Field(0.01, ge=0, description="of the weights, for each unit of the learning rate")
    averaged: float = Field(0.99, ge=0, lt=1, description="of the mean of the weights, kept at each step")
    steps: int = Field(100_000, ge=0, description="of learning, at most")
    seconds: float = Field(60, gt=0, description="of learning, at most")
    warm: bool = Field(False, description="it starts from the weights of the version in force")


class ItemSelector(Part):
    """Some items; all that is given must hold of them."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    category: str | None = Field(None, min_length=1, description="a > b from the top, or any level's name")
    brand: str | None = Field(None, min_length=1)
    item: str | None = Field(None, min_length=1, description="item_id")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.category is None and self.brand is None and self.item is None:
            raise ValueError("category, brand or item is needed")
        return self


class Again(StrEnum):
    """What may still be shown to who has bought something for good."""

    NOTHING = "nothing"
    OTHER_ITEMS = "other items"


class BoughtForGood(ItemSelector):
    """Items that nobody buys twice in a while."""

    days: PositiveInt = Field(description="for so long after the purchase")
    again: Again = Field(Again.NOTHING, description="of these items")


class ListLimits(Part):
    """Items that one list may hold at most, null for no limit."""

    category: tuple[PositiveInt | None, ...] = Field(
        (), max_length=LEVELS, description="of each category, from the widest level on"
    )
    brand: PositiveInt | None = Field(None, description="of each brand")


class EligibilitySettings(Part):
    """What may be shown to whom, and together."""

    never: tuple[ItemSelector, ...] = ()
    adults_only: tuple[ItemSelector, ...] = ()
    adult_age: int = Field(18, ge=1, le=120)
    bought_for_good: tuple[BoughtForGood, ...] = ()
    apart: tuple[tuple[ItemSelector, ItemSelector], ...] = ()
    most: ListLimits = ListLimits()


class ExplorationSettings(Part):
    """How much room new items get."""

    one_in: int | None = Field(
        20, ge=2, description="one new item in every so many places of a list; null: none"
    )
    few_buyers: int = Field(5, ge=0, description="what more customers bought is not new any more")
    items: int = Field(1000, ge=1, description="new items that are considered, those of much bought kinds")
    named: int = Field(20, ge=1, description="… and of these, so many for each customer")


class DiversitySettings(Part):
    """How varied a list is, and how far it leans away from what everybody buys."""

    strength: float = Field(0.0, ge=0, le=1, description="0: by score alone; 1: by variety alone")
    popularity_penalty: float = Field(
        0.0, ge=0, le=1, description="a score is divided by the item's buyers to the power of this"
    )


ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
"""Part of file names and of the names of scores."""
SEQUENCE = "sequence"
"""The name of the sequence model among the sources."""
EVER = "ever"
"""The question of item neighbours that is always asked: what goes with a history at all."""


class PurchaseWeighting(Part):
    """How purchases count: 0.5 ** (age / half-life), summed, to a power; a power of 0 asks only whether."""

    half_life_days: float | None = Field(None, gt=0, description="none: all purchases count the same")
    power: float = Field(1, ge=0, le=8)
    newest_only: bool = Field(False, description="of an item only the customer's newest purchase counts")


class ItemNeighboursSettings(Part):
    """The linear item-item model."""

    weighing: PurchaseWeighting
    customers: int = Field(5000, ge=10, description="it learns from at most so many, drawn by chance")
    ridge: float = Field(gt=0, description="L2 penalty; more of it: only what many buy together counts")
    lately_days: tuple[PositiveInt, ...] = Field(
        (), description="also asked: what went with it in the last days"
    )
    new_days: tuple[PositiveInt, ...] = Field(
        (), description="… and what those bought first in the last days"
    )

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
    item_neighbours: dict[ModelName, ItemNeighboursSettings] = Field(
        min_length=1, description="models by name"
    )
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
    def scores_by_source(self) -> dict[str, tuple[str, ...]]:
        """The names of the scores that each source gives, by the name of the source, in their order."""
        neighbours = {
            name: tuple(f"{name}_{question}" for question in of_model.questions)
            for name, of_model in self.item_neighbours.items()
        }
        return neighbours | {name: (name,) for name in self._other_sources}

    @property
    def score_names(self) -> tuple[str, ...]:
        """The names of the scores of all sources in their order."""
        return tuple(name for names in self.scores_by_source.values() for name in names)

    @property
    def _other_sources(self) -> tuple[str, ...]:
        by_group = (f"needs_{group}" for group in POPULARITY_GROUPS)
        sequence = () if self.sequence is None else (SEQUENCE,)
        return "customer_neighbours", "content", *by_group, *sequence, "popularity"

    @model_validator(mode="after")
    def _each_name_means_one_score(self) -> Self:
        reserved = {*self._other_sources, SEQUENCE}
        names = [name for model in self.item_neighbours for name in (model, *self.scores_by_source[model])]
        taken = [name for name in names if name in reserved or names.count(name) > 1]
        if taken:
            raise ValueError(
                f"item_neighbours: {taken[0]!r} names another score too; allowed is any name but those of "
                f"{', '.join(sorted(reserved))}, and of scores of other models"
            )
        return self

    @model_validator(mode="after")
    def _candidates_are_of_scores(self) -> Self:
        unknown = [name for name in self.candidates if name not in self.score_names]
        if unknown:
            off = " (sequence is null: off)" if unknown[0] == SEQUENCE else ""
            raise ValueError(
                f"candidates: found {unknown[0]!r}{off}; allowed are {', '.join(self.score_names)}"
            )
        return self


class _Models(Part):
    return_model: dict[str, Any]
    recommender: RecommenderSettings
    watch: dict[str, Any] | None = None


def recommender_settings() -> RecommenderSettings:
    """The settings in models.yaml."""
    return load("models", _Models).recommender
