"""models.yaml: the sections of the return model and of its monitoring.

The recommender reads its own section.
"""

from typing import Any, Self

from pydantic import Field, model_validator

from perennial.foundation.config import Part, load
from perennial.foundation.modelling.boosting import TreesSettings

_ROUNDING = 1e-9


class OrderHazardSettings(Part):
    """The network over a customer's sequence of orders."""

    share: float = Field(0.3, ge=0, le=1, description="of the blend")
    hidden: int = Field(96, ge=1, description="units of a layer")
    dropout: float = Field(0.1, ge=0, lt=1)
    epochs: int = Field(40, ge=1, description="passes over the training orders")
    most_steps: int = Field(
        4000, ge=1, description="upper limit of optimiser steps, whatever the number of orders"
    )
    batch: int = Field(2048, ge=1, description="orders in a step")
    learning_rate: float = Field(0.006, gt=0, le=1)
    customers: int = Field(20_000, ge=1, description="the most customers it is trained on, drawn at random")


class TreesInBlendSettings(TreesSettings):
    """Boosted trees over the profile."""

    share: float = Field(0.35, ge=0, le=1, description="of the blend")


class ReturnModelSettings(Part):
    """How the return model is trained and evaluated."""

    cutoffs: int = Field(5, ge=2, le=26, description="past days with training cases, 28 days apart")
    trees: TreesInBlendSettings = Field(description="many shallow trees")
    deep_trees: TreesInBlendSettings = Field(description="fewer trees with more leaves")
    rhythm: OrderHazardSettings = OrderHazardSettings()
    rehearsals: int = Field(3, ge=0, description="past windows on which the level correction is estimated")
    level_carried: float = Field(
        0.75, ge=0, le=1, description="share of the mean error of the rehearsals that is corrected"
    )
    margin: float = Field(
        0.01, ge=0, description="extra mean log loss up to which a candidate counts as not worse"
    )
    group_margin: float = Field(0.02, ge=0, description="extra mean log loss allowed for a large group")
    contact_threshold: float = Field(
        0.5, gt=0, lt=1, description="probability from which a customer counts as likely to come back"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.trees.share + self.deep_trees.share + self.rhythm.share
        if abs(total - 1) > _ROUNDING:
            raise ValueError(f"the shares of trees, deep_trees and rhythm must add up to 1, not {total:g}")
        return self


class MonitoringSettings(Part):
    """Monitoring of the return model: drift and fairness, and the thresholds of the alert."""

    shifting: float = Field(
        0.1, gt=0, description="population stability index above which a measure is shifting"
    )
    shifted: float = Field(0.25, gt=0, description="population stability index above which it has shifted")
    growing: frozenset[str] = Field(
        frozenset({"tenure_days", "orders", "active_windows"}),
        description="measures that never raise the alert",
    )
    days_shown: int = Field(28, ge=1, le=366, description="days in the picture of drift")
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
    """The section `return_model` of models.yaml."""
    return load("models", _Models).return_model


def monitoring_settings() -> MonitoringSettings:
    """The section `watch` of models.yaml."""
    return load("models", _Models).watch
