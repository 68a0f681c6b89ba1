"""The settings of campaigns: audiences (`audiences.yaml`) and our own campaigns (`campaigns.yaml`)."""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from perennial.audience.rules import Audiences
from perennial.foundation.config import ConfigError, Part, load, path_of

Share = Annotated[float, Field(ge=0, le=0.9)]
CampaignId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Channel = Literal["email", "sms", "push"]


class GlobalHoldout(Part):
    """The customers whom none of our campaigns contacts; drawn once, for all campaigns and permanently."""

    share: Share
    salt: str = Field(min_length=1)


class Campaign(Part):
    """One campaign of ours."""

    name: str = Field(min_length=1)
    description: str = Field(min_length=1)
    audience: str
    starts_on: date
    ends_on: date
    measured_until: date
    holdout: Share
    channels: tuple[Channel, ...] = Field(min_length=1)
    priority: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> "Campaign":
        days = [
            ("starts_on", self.starts_on),
            ("ends_on", self.ends_on),
            ("measured_until", self.measured_until),
        ]
        for (earlier_key, earlier), (later_key, later) in pairwise(days):
            if later < earlier:
                raise _error(
                    f"{later_key} {later} is before {earlier_key} {earlier}; allowed is {earlier} or later"
                )
        return self

    def runs_on(self, day: date) -> bool:
        """Can customers enter the campaign on this day?"""
        return self.starts_on <= day <= self.ends_on


class Campaigns(Part):
    """The file campaigns.yaml."""

    global_holdout: GlobalHoldout
    campaigns: dict[CampaignId, Campaign]


@dataclass(frozen=True)
class CampaignSettings:
    """Both files, checked against each other."""

    audiences: Audiences
    campaigns: Campaigns


def campaign_settings(folder: Path | None = None) -> CampaignSettings:
    """The settings in both files (by default from the configuration folder).

    Raises:
        ConfigError: a file is wrong, or a campaign names an audience that audiences.yaml does not have.
    """
    settings = CampaignSettings(load("audiences", Audiences, folder), load("campaigns", Campaigns, folder))
    audiences = settings.audiences.audiences
    for name, campaign in settings.campaigns.campaigns.items():
        if campaign.audience not in audiences:
            raise ConfigError(
                f"{path_of('campaigns', folder)}: campaigns.{name}.audience: no such audience; "
                f"found {campaign.audience!r}, allowed are {', '.join(sorted(audiences))}"
            )
    return settings


def _error(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("campaign", "{sentence}", {"sentence": sentence})
