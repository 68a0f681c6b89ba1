"""models.yaml: the section of the recommender. The return model's section is read by the return model."""

from typing import Any

from pydantic import Field

from perennial.foundation.config import Part, load


class RecommenderSettings(Part):
    """How the recommender is trained and judged."""

    half_life_days: float = Field(90, gt=0, description="a purchase counts half after so many days")
    items_remembered: int = Field(100, ge=1, le=10_000, description="of each customer, the heaviest")
    popularity_days: int = Field(28, ge=1, description="popular is what many customers bought in this time")
    sold_within_days: int = Field(91, ge=1, description="what nobody bought for longer is not recommended")
    excluded_categories: frozenset[str] = Field(frozenset(), description="any level of an item's category")
    candidates_by_content: int = Field(50, ge=0)
    candidates_by_popularity: int = Field(100, ge=1)
    top: int = Field(20, ge=10, le=1000, description="items kept for each customer")
    margin: float = Field(
        0.01, ge=0, description="extra mean loss (1 - NDCG@10) that is still called not worse"
    )
    group_margin: float = Field(0.02, ge=0, description="extra mean loss that a large group may bear")


class _Models(Part):
    return_model: dict[str, Any]
    recommender: RecommenderSettings
    watch: dict[str, Any] | None = None


def recommender_settings() -> RecommenderSettings:
    """The settings in models.yaml."""
    return load("models", _Models).recommender
