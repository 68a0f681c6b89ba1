"""The settings in profiles.yaml."""

from enum import StrEnum

from pydantic import Field

from perennial.foundation.config import Part, load


class PreferencesSettings(Part):
    """Preferences for categories and brands (`preferences`)."""

    half_life_days: float = Field(gt=0)
    category_level: int = Field(ge=1)
    purchases_of_population: float = Field(ge=0)
    left_out: tuple[str, ...] = ()


class VectorKind(StrEnum):
    """What the taste vector is computed from: the mean of item vectors, or a sentence of titles."""

    MEAN = "mean"
    SENTENCE = "sentence"


class TasteVectorSettings(Part):
    """The taste vector of a customer's purchases (`history`)."""

    kind: VectorKind
    half_life_days: float = Field(gt=0)
    value_exponent: float = Field(ge=0, le=1)
    weight_exponent: float = Field(gt=0, le=10)
    titles: int = Field(ge=1)


class PriceResponseSettings(Part):
    """A customer's response to discounts (`price_response`)."""

    weeks_compared: int = Field(ge=4)
    pieces_counted: int = Field(ge=1)


class ActiveHoursSettings(Part):
    """The hours of the week in which a customer orders (`active_hours`)."""

    hour: float = Field(gt=0)
    weekday: float = Field(gt=0)
    hour_of_week: float = Field(gt=0)


class ResponsivenessSettings(Part):
    """Response rates to messages and campaigns (`responses`)."""

    messages_of_population: float = Field(gt=0)
    campaigns_of_population: float = Field(gt=0)


class OrderRegularitySettings(Part):
    """How many gaps between orders the word of `rhythm` needs (`gaps`)."""

    least: int = Field(ge=2)


class LifeCycleSettings(Part):
    """The thresholds of the stages of the life cycle (`life_cycle`)."""

    new_days: int = Field(ge=0)
    own_gaps_needed: int = Field(ge=1)
    lapsing_gaps: float = Field(gt=0)
    lapsing_days: int = Field(gt=0)
    lapsed_gaps: float = Field(gt=0)
    lapsed_days: int = Field(gt=0)
    returned_days: int = Field(ge=0)


class CutoffSettings(Part):
    """The past days whose profiles are computed for training (`cutoffs`)."""

    count: int = Field(ge=0)
    every_days: int = Field(ge=1)
    history_days: int = Field(ge=0)


class ProfileSettings(Part):
    """The file profiles.yaml."""

    preferences: PreferencesSettings
    history: TasteVectorSettings
    price_response: PriceResponseSettings
    active_hours: ActiveHoursSettings
    responses: ResponsivenessSettings
    gaps: OrderRegularitySettings
    life_cycle: LifeCycleSettings
    cutoffs: CutoffSettings


def profile_settings() -> ProfileSettings:
    """The settings in profiles.yaml."""
    return load("profiles", ProfileSettings)
