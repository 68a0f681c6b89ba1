"""models.yaml: the section of the return model. The recommender's section is read by the recommender."""

from typing import Any

from pydantic import Field

from perennial.foundation.config import Part, load


class ReturnModelSettings(Part):
    """How the return model is trained and judged."""

    cutoffs: int = Field(5, ge=2, le=26, description="past days it learns from, 28 days apart")
    rounds: int = Field(200, ge=1, description="trees")
    learning_rate: float = Field(0.025, gt=0, le=1)
    leaves: int = Field(6, ge=2, description="of a tree, at most")
    least_cases_in_leaf: int = Field(80, ge=1)
    feature_share: float = Field(0.4, gt=0, le=1, description="features that a tree may look at")
    ridge: float = Field(5.0, ge=0, description="L2 penalty on the leaves")
    margin: float = Field(0.01, ge=0, description="extra mean log loss that is still called not worse")


class _Models(Part):
    return_model: ReturnModelSettings
    recommender: dict[str, Any]


def return_model_settings() -> ReturnModelSettings:
    """The settings in models.yaml."""
    return load("models", _Models).return_model
