"""The campaigns, and which of them are reported on a day."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

WEEKS_BEFORE = 8
"""The number of weeks before a campaign's start that a report shows."""


class Design(StrEnum):
    """How the customers of a campaign were selected: at random, or by the shop."""

    RANDOMISED = "randomised"
    CHOSEN = "chosen"


class Segment(StrEnum):
    """The groups that are compared: arms if randomised, else the campaign's customers and all others."""

    TREATMENT = "treatment"
    HOLDOUT = "holdout"
    NONE = "none"
    ASSIGNED = "assigned"
    OTHERS = "others"


@dataclass(frozen=True)
class Campaign:
    """A campaign as known on the day of the report; `origin` is `shop` or `perennial`, whoever runs it."""

    campaign_id: str
    name: str
    origin: str
    starts_on: date
    ends_on: date
    measured_until: date
    description: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any], origin: str) -> "Campaign":
        """The campaign in a row of `campaigns` or `campaign_log`."""
        names = ("campaign_id", "name", "starts_on", "ends_on", "measured_until")
        description = row.get("description") or row.get("kind") or ""
        return cls(**{name: row[name] for name in names}, origin=origin, description=description)

    @property
    def shown_from(self) -> date:
        """The first day that its report shows."""
        return self.starts_on - timedelta(weeks=WEEKS_BEFORE)

    def touched_by(self, days: Iterable[date]) -> bool:
        """Whether one of the days is among the days that its report shows."""
        return any(self.shown_from <= day <= self.measured_until for day in days)


@dataclass(frozen=True)
class Updates:
    """What became known after the last report: days of late events, ids of campaigns with late rows."""

    event_days: frozenset[date] = frozenset()
    campaign_ids: frozenset[str] = frozenset()


def due(campaigns: Iterable[Campaign], day: date, before: date | None, updates: Updates) -> list[Campaign]:
    """The campaigns that are reported on `day`, sorted by id.

    Args:
        campaigns: all campaigns known at the end of `day`.
        day: the day of the report.
        before: the day of the previous report; None for the first report, which includes every closed window.
        updates: what became known after `before`.
    """

    def is_due(campaign: Campaign) -> bool:
        if campaign.measured_until > day:
            return False
        if before is None or campaign.measured_until > before:
            return True
        return campaign.campaign_id in updates.campaign_ids or campaign.touched_by(updates.event_days)

    return sorted(
        (campaign for campaign in campaigns if is_due(campaign)), key=lambda campaign: campaign.campaign_id
    )
