"""Every figure of a campaign: each group's measures, their difference, and the weeks before."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation.activity import counts
from perennial.foundation.contracts import EFFECTS
from perennial.foundation.engine import kept
from perennial.foundation.measures import DEFINITIONS, RATIOS, Measure, totals
from perennial.measurement import groups, retention
from perennial.measurement.campaigns import Campaign, Design, Segment
from perennial.measurement.groups import BEFORE, WINDOW, Group, Stretch
from perennial.measurement.lift_intervals import (
    Estimate,
    SampleRatio,
    Sums,
    difference_of_ratios,
    difference_of_shares,
    ratio,
    sample_ratio,
    share,
)
from perennial.measurement.retention import Redeemed, Week

DIFFERENCE = {Design.RANDOMISED: "lift", Design.CHOSEN: "difference"}
"""What a difference between groups is called."""
PAIRS = {
    Design.RANDOMISED: (Segment.TREATMENT, Segment.HOLDOUT),
    Design.CHOSEN: (Segment.ASSIGNED, Segment.OTHERS),
}
"""Whom a campaign was for, and whom they are held against."""
ONE_SIDED = {Measure.CTR, Measure.CVR, Measure.CVR_DELIVERED, Measure.REDEMPTION_RATE}
"""What only customers in the campaign can do: a difference to others would say nothing."""

Key = tuple[str, str, Segment, Measure]


@dataclass(frozen=True)
class Inputs:
    """The tables as known on a day; `orders` and `contacts` as `foundation.activity` makes them."""

    orders: ir.Table
    contacts: ir.Table
    assignments: ir.Table
    arms: ir.Table
    users: ir.Table
    records_from: date


@dataclass(frozen=True)
class Findings:
    """All that a report says of one campaign; figures by (measure, segment) in the order of the page."""

    campaign: Campaign
    design: Design
    stretch: Stretch
    groups: dict[Segment, Group]
    figures: dict[tuple[Measure, str], Estimate]
    weeks: list[Week]
    redemptions: list[Redeemed]
    sample_ratio: SampleRatio | None

    @property
    def pair(self) -> tuple[Segment, Segment]:
        """Whom the campaign was for, and whom they are held against."""
        return PAIRS[self.design]

    @property
    def delivered(self) -> int:
        """Customers of the campaign who got a message of it."""
        found = self.figures.get((Measure.CVR_DELIVERED, str(self.pair[0])))
        return found.n if found else 0

    @property
    def compared(self) -> bool:
        """Are there customers on both sides?"""
        return all(segment in self.groups for segment in self.pair)


def measure(campaigns: list[Campaign], inputs: Inputs) -> list[Findings]:
    """Measure all campaigns at once, in their order."""
    designs = groups.designs(campaigns, inputs.assignments)
    stretches = {one.campaign_id: groups.stretch(one, inputs.records_from) for one in campaigns}
    windows = groups.windows_table(stretches, designs)
    with kept(groups.members(windows, inputs.assignments, inputs.arms, inputs.users)) as members:
        with kept(counts(groups.periods(members, windows), inputs.orders, inputs.contacts)) as counted:
            sums = _sums(counted)
        sizes = _by_campaign(groups.sizes(members))
        weeks = _by_campaign(retention.weeks(members, inputs.orders))
        redeemed = _by_campaign(retention.redemptions(members, inputs.contacts))
    shop = _shop_sizes(windows, inputs.users)
    found = []
    for campaign in campaigns:
        name = campaign.campaign_id
        about = stretches[name]
        findings = Findings(
            campaign,
            designs[name],
            about,
            {group.segment: group for group in sizes[name]},
            {},
            retention.recorded(weeks[name], about.starts_on, inputs.records_from),
            redeemed[name],
            None,
        )
        found.append(_judged(findings, sums, shop.get(name, 0)))
    return found


def table(found: Iterable[Findings], day: date) -> pa.Table:
    """Rows of the table `effects`."""
    rows = [
        {
            "day": day,
            "campaign_id": findings.campaign.campaign_id,
            "measure": str(measured),
            "segment": segment,
            "estimate": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "method": estimate.method,
            "n": estimate.n,
        }
        for findings in found
        for (measured, segment), estimate in findings.figures.items()
    ]
    return pa.Table.from_pylist(rows, EFFECTS.schema)


def _judged(findings: Findings, sums: Mapping[Key, Sums], shop_size: int) -> Findings:
    """The findings with every figure filled in."""
    figures: dict[tuple[Measure, str], Estimate] = {}
    first = findings.groups.get(findings.pair[0])
    n = first.n if first else 0
    figures[Measure.REACH, str(findings.pair[0])] = Estimate(
        n / shop_size if shop_size else None, None, None, "count", shop_size
    )
    for measured in RATIOS:
        figures.update(_compared(findings, WINDOW, measured, sums))
    if findings.stretch.weeks_before:
        figures.update(_per_week(findings, BEFORE, findings.stretch.weeks_before, sums))
    if findings.design is Design.CHOSEN:
        figures.update(_per_week(findings, WINDOW, findings.stretch.weeks, sums))
    for week in (week for week in findings.weeks if week.n >= 0):
        segment = f"{week.segment}, week {week.n:02d}"
        figures[Measure.WEEKLY_RETENTION, segment] = week.exact
        figures[Measure.WEEKLY_RETENTION_UNBOUNDED, segment] = week.unbounded
    return replace(findings, figures=figures, sample_ratio=_sample_ratio(findings))


def _compared(
    findings: Findings, period: str, measured: Measure, sums: Mapping[Key, Sums]
) -> dict[tuple[Measure, str], Estimate]:
    """One measure of each group, and the difference of the pair; nothing where no group has a denominator."""
    name = findings.campaign.campaign_id
    held = {segment: sums.get((name, period, segment, measured)) for segment in findings.groups}
    known = {segment: found for segment, found in held.items() if found and found.by}
    weighted = any(group.high - group.low > 1e-9 for group in findings.groups.values())
    plain_share = DEFINITIONS[measured].is_share and not weighted
    each = {
        segment: share(found.of, found.n) if plain_share else ratio(found, weighted=weighted)
        for segment, found in known.items()
    }
    figures = {(measured, str(segment)): estimate for segment, estimate in each.items()}
    one, other = findings.pair
    if one in known and other in known and measured not in ONE_SIDED:
        figures[measured, DIFFERENCE[findings.design]] = (
            difference_of_shares(each[one], each[other])
            if plain_share
            else difference_of_ratios(known[one], known[other], weighted=weighted)
        )
    return figures


def _per_week(
    findings: Findings, period: str, weeks: float, sums: Mapping[Key, Sums]
) -> dict[tuple[Measure, str], Estimate]:
    """Orders per week and customer in a period that is equally long for everybody."""
    found = _compared(findings, period, Measure.ORDERS_PER_CUSTOMER, sums)
    return {
        (Measure.ORDERS_PER_WEEK, f"{segment}, {period}"): _scaled(estimate, 1 / weeks)
        for (_, segment), estimate in found.items()
    }


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if end is None else end * factor for end in ends)
    return replace(estimate, value=value, low=low, high=high)


def _sample_ratio(findings: Findings) -> SampleRatio | None:
    """Only where chance decided, and with the same probabilities for all."""
    found = findings.groups.values()
    if findings.design is Design.CHOSEN or not found or any(group.high - group.low > 1e-9 for group in found):
        return None
    return sample_ratio({one.segment: one.n for one in found}, {one.segment: one.low for one in found})


def _sums(counted: ir.Table) -> dict[Key, Sums]:
    found = totals(counted, ["campaign_id", "period", "segment"]).to_pyarrow().to_pylist()
    return {
        (
            row.pop("campaign_id"),
            row.pop("period"),
            Segment(row.pop("segment")),
            Measure(row.pop("measure")),
        ): Sums(**{name: _steady(value) for name, value in row.items()})
        for row in found
    }


def _steady(value: Any) -> Any:
    """Float sums differ in the last digits with the order of the rows; ten digits do not."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def _shop_sizes(windows: ir.Table, users: ir.Table) -> dict[str, int]:
    """Customers of the shop by the end of each window."""
    people = windows.select("campaign_id", "until").cross_join(users.select("customer_id", "joined_on"))
    people = people.filter(people.joined_on <= people.until)
    found = people.group_by("campaign_id").agg(n=ibis._.count()).to_pyarrow().to_pylist()
    return {row["campaign_id"]: row["n"] for row in found}


def _by_campaign(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.campaign_id].append(row)
    return found
