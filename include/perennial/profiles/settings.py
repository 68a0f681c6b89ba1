"""The settings in profiles.yaml."""

from enum import StrEnum

from pydantic import Field

from perennial.foundation.config import Part, load


class Preferences(Part):
    """What a customer likes."""

    half_life_days: float = Field(gt=0)
    category_level: int = Field(ge=1)
    purchases_of_population: float = Field(ge=0)
    left_out: tuple[str, ...] = ()


class HistoryKind(StrEnum):
    """What the vector of a history is made of."""

    MEAN = "mean"
    SENTENCE = "sentence"


class History(Part):
    """The vector of the history."""

    kind: HistoryKind
    half_life_days: float = Field(gt=0)
    value_exponent: float = Field(ge=0, le=1)
    weight_exponent: float = Field(gt=0, le=10)
    titles: int = Field(ge=1)


class PriceResponse(Part):
    """How a customer answers discounts."""

    weeks_compared: int = Field(ge=4)
    pieces_counted: int = Field(ge=1)


class ActiveHours(Part):
    """When a customer shops."""

    hour: float = Field(gt=0)
    weekday: float = Field(gt=0)
    hour_of_week: float = Field(gt=0)


class Responses(Part):
    """How a customer answers messages and campaigns."""

    messages_of_population: float = Field(gt=0)
    campaigns_of_population: float = Field(gt=0)


class Gaps(Part):
    """Whether a customer orders regularly."""

    least: int = Field(ge=2)


class LifeCycle(Part):
    """The thresholds of the stages."""

    new_days: int = Field(ge=0)
    own_gaps_needed: int = Field(ge=1)
    lapsing_gaps: float = Field(gt=0)
    lapsing_days: int = Field(gt=0)
    lapsed_gaps: float = Field(gt=0)
    lapsed_days: int = Field(gt=0)
    returned_days: int = Field(ge=0)


class Cutoffs(Part):
    """The past days that training needs profiles of."""

    count: int = Field(ge=0)
    every_days: int = Field(ge=1)
    history_days: int = Field(ge=0)


class ProfileSettings(Part):
    """profiles.yaml."""

    preferences: Preferences
    history: History
    price_response: PriceResponse
    active_hours: ActiveHours
    responses: Responses
    gaps: Gaps
    life_cycle: LifeCycle
    cutoffs: Cutoffs


def profile_settings() -> ProfileSettings:
    """The settings in profiles.yaml."""
    return load("profiles", ProfileSettings)
