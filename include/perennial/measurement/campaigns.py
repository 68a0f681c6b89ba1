"""Which campaigns there are, and which of them a day reports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

WEEKS_BEFORE = 8
"""How far a report looks back before a campaign began."""


class Design(StrEnum):
    """Who decided which customers were approached."""

    RANDOMISED = "randomised"
    CHOSEN = "chosen"


class Segment(StrEnum):
    """The groups that are compared: arms where chance decided, else who was in the campaign and who not."""

    TREATMENT = "treatment"
    HOLDOUT = "holdout"
    NONE = "none"
    ASSIGNED = "assigned"
    OTHERS = "others"


@dataclass(frozen=True)
class Campaign:
    """A campaign as known on the day of the report; `origin` is who runs it: shop or perennial."""

    campaign_id: str
    name: str
    origin: str
    starts_on: date
    ends_on: date
    measured_until: date
    description: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any], origin: str) -> "Campaign":
        """From a row of `campaigns` or `campaign_log`."""
        names = ("campaign_id", "name", "starts_on", "ends_on", "measured_until")
        said = row.get("description") or row.get("kind") or ""
        return cls(**{name: row[name] for name in names}, origin=origin, description=said)

    @property
    def looks_back_to(self) -> date:
        """The first day that its report shows."""
        return self.starts_on - timedelta(weeks=WEEKS_BEFORE)

    def touched_by(self, days: Iterable[date]) -> bool:
        """Does one of the days fall into the stretch that its report shows?"""
        return any(self.looks_back_to <= day <= self.measured_until for day in days)


@dataclass(frozen=True)
class News:
    """What became known since the last report: days of late events, campaigns with late rows of their own."""

    event_days: frozenset[date] = frozenset()
    campaign_ids: frozenset[str] = frozenset()


def due(campaigns: Iterable[Campaign], day: date, before: date | None, news: News) -> list[Campaign]:
    """The campaigns that `day` reports, by id.

    Args:
        campaigns: all that are known at the end of `day`.
        day: the day of the report.
        before: the day of the report before; None for the first one, which reports every closed window.
        news: what became known after `before`.
    """

    def is_due(campaign: Campaign) -> bool:
        if campaign.measured_until > day:
            return False
        if before is None or campaign.measured_until > before:
            return True
        return campaign.campaign_id in news.campaign_ids or campaign.touched_by(news.event_days)

    return sorted((one for one in campaigns if is_due(one)), key=lambda one: one.campaign_id)
