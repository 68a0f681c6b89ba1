"""Who is compared with whom: the members of each campaign's groups, and the stretches they are followed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.measurement.campaigns import WEEKS_BEFORE, Campaign, Design, Segment

WINDOW, BEFORE = "window", "before"


@dataclass(frozen=True)
class Group:
    """One group of a campaign: how many customers, and the smallest and largest propensity among them."""

    campaign_id: str
    segment: Segment
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Stretch:
    """When a campaign is measured, and the weeks before that are shown for comparison."""

    starts_on: date
    until: date
    weeks_before: int
    from_the_start: bool

    @property
    def weeks(self) -> float:
        """The length of the window in weeks."""
        return ((self.until - self.starts_on).days + 1) / 7


def stretch(campaign: Campaign, records_from: date) -> Stretch:
    """A campaign that began before the shop's records do is measured from where they begin."""
    starts_on = max(campaign.starts_on, records_from)
    weeks_before = min(WEEKS_BEFORE, (starts_on - records_from).days // 7)
    return Stretch(starts_on, campaign.measured_until, weeks_before, campaign.starts_on >= records_from)


def designs(campaigns: Iterable[Campaign], assignments: ir.Table) -> dict[str, Design]:
    """Which ones chance decided: ours, and the shop's if every assignment says its arm and propensity."""
    logged = assignments.arm.notnull() & (assignments.propensity > 0)
    arms = assignments.group_by("campaign_id").agg(
        all_logged=logged.fill_null(False).all(),
        both=(assignments.arm == Segment.TREATMENT).any() & (assignments.arm == Segment.HOLDOUT).any(),
    )
    random = {
        row["campaign_id"] for row in arms.to_pyarrow().to_pylist() if row["all_logged"] and row["both"]
    }
    return {
        one.campaign_id: Design.RANDOMISED
        if one.origin == "perennial" or one.campaign_id in random
        else Design.CHOSEN
        for one in campaigns
    }


def members(windows: ir.Table, assignments: ir.Table, arms: ir.Table, users: ir.Table) -> ir.Table:
    """Everybody who is in a group of a campaign.

    Args:
        windows: as `windows_table` makes it.
        assignments: of the shop's campaigns, as known.
        arms: of our own campaigns.
        users: as known.

    Returns:
        `campaign_id, customer_id, segment, since, until, weight`, one row for each campaign and customer.
    """
    chance = windows.filter(windows.randomised)
    drawn = _drawn(
        chance, arms.select("campaign_id", "customer_id", "arm", "propensity", since="eligible_since")
    )
    landed = assignments.filter(assignments.arm.notnull() & (assignments.propensity > 0))
    told = _drawn(
        chance, landed.select("campaign_id", "customer_id", "arm", "propensity", since="assigned_on")
    )
    return ibis.union(drawn, told, _chosen(windows.filter(~windows.randomised), assignments, users))


def periods(members: ir.Table, windows: ir.Table) -> ir.Table:
    """The members once more for the weeks before, so that a group can be held against its own past.

    Returns:
        The members with `period`: `window`, and `before` where the shop's records reach back far enough.
    """
    back = windows.filter(windows.weeks_before > 0).select("campaign_id", days=windows.weeks_before * 7)
    past = members.join(back, "campaign_id")
    past = past.mutate(
        since=past.since - past.days.as_interval("D"),
        until=past.since - ibis.interval(days=1),
    ).drop("days")
    now = members.mutate(period=ibis.literal(WINDOW))
    return now.union(past.mutate(period=ibis.literal(BEFORE)).select(now.columns))


def windows_table(stretches: dict[str, Stretch], designs: dict[str, Design]) -> ir.Table:
    """`campaign_id, starts_on, until, weeks_before, randomised, compared` as a table to join with."""
    ids = sorted(stretches)
    found = [stretches[one] for one in ids]
    return ibis.memtable(
        pa.table(
            {
                "campaign_id": pa.array(ids, pa.string()),
                "starts_on": pa.array([one.starts_on for one in found], pa.date32()),
                "until": pa.array([one.until for one in found], pa.date32()),
                "weeks_before": pa.array([one.weeks_before for one in found], pa.int64()),
                "randomised": pa.array([designs[one] is Design.RANDOMISED for one in ids], pa.bool_()),
                "compared": pa.array([one.from_the_start for one in found], pa.bool_()),
            }
        )
    )


def sizes(members: ir.Table) -> list[Group]:
    """Every group with its size and its propensities, in order."""
    found = members.group_by(["campaign_id", "segment"]).agg(
        n=members.count(), low=1 / members.weight.max(), high=1 / members.weight.min()
    )
    rows = found.order_by(["campaign_id", "segment"]).to_pyarrow().to_pylist()
    return [Group(**{**row, "segment": Segment(row["segment"])}) for row in rows]


def _drawn(windows: ir.Table, arms: ir.Table) -> ir.Table:
    found = arms.join(windows.select("campaign_id", "until"), "campaign_id")
    found = found.filter(found.since <= found.until)
    return found.select(
        "campaign_id", "customer_id", "since", "until", segment="arm", weight=1 / found.propensity
    ).select(*_COLUMNS)


_COLUMNS = ("campaign_id", "customer_id", "segment", "since", "until", "weight")


def _chosen(windows: ir.Table, assignments: ir.Table, users: ir.Table) -> ir.Table:
    """Whoever the shop had chosen, and the others who were its customers when the campaign began."""
    windows = windows.select("campaign_id", "until", "compared", since="starts_on")
    chosen = assignments.select("campaign_id", "customer_id").distinct().join(windows, "campaign_id")
    people = users.select("customer_id", "joined_on").cross_join(windows.filter(windows.compared))
    people = people.filter(people.joined_on <= people.since)
    others = people.anti_join(chosen, ["campaign_id", "customer_id"])
    return ibis.union(_as(chosen, Segment.ASSIGNED), _as(others, Segment.OTHERS))


def _as(people: ir.Table, segment: Segment) -> ir.Table:
    return people.mutate(segment=ibis.literal(str(segment)), weight=ibis.literal(1.0)).select(*_COLUMNS)
