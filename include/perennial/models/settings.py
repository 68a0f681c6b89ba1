"""models.yaml: the sections of the return model and of what is watched of it.

The recommender's section is read by the recommender.
"""

from typing import Any, Self

from pydantic import Field, model_validator

from perennial.foundation.config import Part, load
from perennial.foundation.modelling.boosting import TreesSettings

_ROUNDING = 1e-9


class OrderHazardSettings(Part):
    """The network over the sequence of orders."""

    share: float = Field(0.3, ge=0, le=1, description="of the blend")
    hidden: int = Field(96, ge=1, description="units of a layer")
    dropout: float = Field(0.1, ge=0, lt=1)
    epochs: int = Field(40, ge=1, description="how often it sees every order")
    most_steps: int = Field(4000, ge=1, description="of the optimiser, however many orders there are")
    batch: int = Field(2048, ge=1, description="orders in a step")
    learning_rate: float = Field(0.006, gt=0, le=1)
    customers: int = Field(20_000, ge=1, description="it learns from at most so many, drawn at random")


class TreesInBlendSettings(TreesSettings):
    """Boosted trees over the profile."""

    share: float = Field(0.35, ge=0, le=1, description="of the blend")


class ReturnModelSettings(Part):
    """How the return model is trained and judged."""

    cutoffs: int = Field(5, ge=2, le=26, description="past days it learns from, 28 days apart")
    trees: TreesInBlendSettings = Field(description="many shallow ones")
    deep_trees: TreesInBlendSettings = Field(description="fewer, with more leaves")
    rhythm: OrderHazardSettings = OrderHazardSettings()
    rehearsals: int = Field(3, ge=0, description="past windows on which the level is looked up")
    level_carried: float = Field(
        0.75, ge=0, le=1, description="of what was off in the rehearsals, this part is made good"
    )
    margin: float = Field(0.01, ge=0, description="extra mean log loss that is still called not worse")
    group_margin: float = Field(0.02, ge=0, description="extra mean log loss that a large group may bear")
    contact_threshold: float = Field(
        0.5, gt=0, lt=1, description="from this probability on a customer counts as likely to come back"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.trees.share + self.deep_trees.share + self.rhythm.share
        if abs(total - 1) > _ROUNDING:
            raise ValueError(f"the shares of trees, deep_trees and rhythm must add up to 1, not {total:g}")
        return self


class MonitoringSettings(Part):
    """What is watched of the return model beside its scores, and when the alert is called."""

    shifting: float = Field(0.1, gt=0, description="stability index above which a measure is shifting")
    shifted: float = Field(0.25, gt=0, description="stability index above which it has shifted")
    growing: frozenset[str] = Field(
        frozenset({"tenure_days", "orders", "active_windows"}),
        description="measures that never call the alert",
    )
    days_shown: int = Field(28, ge=1, le=366, description="in the picture of drift")
    smallest_group: int = Field(50, ge=2, description="smaller demographic groups are left out")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.shifting > self.shifted:
            raise ValueError(f"shifting {self.shifting:g} must not exceed shifted {self.shifted:g}")
        return self


class _Models(Part):
    return_model: ReturnModelSettings
    recommender: dict[str, Any]
    watch: MonitoringSettings = MonitoringSettings()


def return_model_settings() -> ReturnModelSettings:
    """The settings in models.yaml."""
    return load("models", _Models).return_model


def monitoring_settings() -> MonitoringSettings:
    """The settings in models.yaml."""
    return load("models", _Models).watch
