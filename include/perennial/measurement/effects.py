"""All figures of a campaign: the measures of each group, their difference, and the weeks before."""

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
from perennial.measurement.retention import Week, WeeklyRedemptions

DIFFERENCE = {Design.RANDOMISED: "lift", Design.CHOSEN: "difference"}
"""The name of a difference between two groups, in `effects` and MLflow."""
PAIRS = {
    Design.RANDOMISED: (Segment.TREATMENT, Segment.HOLDOUT),
    Design.CHOSEN: (Segment.ASSIGNED, Segment.OTHERS),
}
"""The campaign's customers, and the customers they are compared with."""
ONE_SIDED = {Measure.CTR, Measure.CVR, Measure.CVR_DELIVERED, Measure.REDEMPTION_RATE}
"""Measures of actions that only the campaign's customers can take: a difference to others has no meaning."""

Key = tuple[str, str, Segment, Measure]


@dataclass(frozen=True)
class Inputs:
    """The tables as known on a day; `orders` and `contacts` as returned by `foundation.activity`."""

    orders: ir.Table
    contacts: ir.Table
    assignments: ir.Table
    arms: ir.Table
    users: ir.Table
    records_from: date


@dataclass(frozen=True)
class Findings:
    """The contents of one campaign's report; figures by (measure, segment) in the order of the page."""

    campaign: Campaign
    design: Design
    stretch: Stretch
    groups: dict[Segment, Group]
    figures: dict[tuple[Measure, str], Estimate]
    weeks: list[Week]
    redemptions: list[WeeklyRedemptions]
    sample_ratio: SampleRatio | None

    @property
    def pair(self) -> tuple[Segment, Segment]:
        """The campaign's customers, and the customers they are compared with."""
        return PAIRS[self.design]

    @property
    def delivered(self) -> int:
        """The number of the campaign's customers to whom a message of it was delivered."""
        estimate = self.figures.get((Measure.CVR_DELIVERED, str(self.pair[0])))
        return estimate.n if estimate else 0

    @property
    def compared(self) -> bool:
        """Whether both groups of the pair have customers."""
        return all(segment in self.groups for segment in self.pair)


def measure(campaigns: list[Campaign], inputs: Inputs) -> list[Findings]:
    """The findings of all campaigns, in their order; each table is read once."""
    designs = groups.designs(campaigns, inputs.assignments)
    stretches = {
        campaign.campaign_id: groups.stretch(campaign, inputs.records_from) for campaign in campaigns
    }
    windows = groups.windows_table(stretches, designs)
    with kept(groups.members(windows, inputs.assignments, inputs.arms, inputs.users)) as members:
        with kept(counts(groups.periods(members, windows), inputs.orders, inputs.contacts)) as counted:
            sums = _sums(counted)
        sizes = _by_campaign(groups.sizes(members))
        weeks = _by_campaign(retention.weeks(members, inputs.orders))
        redeemed = _by_campaign(retention.redemptions(members, inputs.contacts))
    shop_sizes = _shop_sizes(windows, inputs.users)
    results = []
    for campaign in campaigns:
        name = campaign.campaign_id
        stretch = stretches[name]
        findings = Findings(
            campaign,
            designs[name],
            stretch,
            {group.segment: group for group in sizes[name]},
            {},
            retention.recorded(weeks[name], stretch.starts_on, inputs.records_from),
            redeemed[name],
            None,
        )
        results.append(_with_figures(findings, sums, shop_sizes.get(name, 0)))
    return results


def table(reported: Iterable[Findings], day: date) -> pa.Table:
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
        for findings in reported
        for (measured, segment), estimate in findings.figures.items()
    ]
    return pa.Table.from_pylist(rows, EFFECTS.schema)


def _with_figures(findings: Findings, sums: Mapping[Key, Sums], shop_size: int) -> Findings:
    """The findings with every figure filled in."""
    figures: dict[tuple[Measure, str], Estimate] = {}
    first = findings.groups.get(findings.pair[0])
    n = first.n if first else 0
    figures[Measure.REACH, str(findings.pair[0])] = Estimate(
        n / shop_size if shop_size else None, None, None, "count", shop_size
    )
    for measured in RATIOS:
        figures.update(_measured(findings, WINDOW, measured, sums))
    if findings.stretch.weeks_before:
        figures.update(_per_week(findings, BEFORE, findings.stretch.weeks_before, sums))
    if findings.design is Design.CHOSEN:
        figures.update(_per_week(findings, WINDOW, findings.stretch.weeks, sums))
    for week in (week for week in findings.weeks if week.n >= 0):
        segment = f"{week.segment}, week {week.n:02d}"
        figures[Measure.WEEKLY_RETENTION, segment] = week.exact
        figures[Measure.WEEKLY_RETENTION_UNBOUNDED, segment] = week.unbounded
    return replace(findings, figures=figures, sample_ratio=_sample_ratio(findings))


def _measured(
    findings: Findings, period: str, measured: Measure, sums: Mapping[Key, Sums]
) -> dict[tuple[Measure, str], Estimate]:
    """One measure of each group with a denominator, and the difference of the pair if both have one."""
    name = findings.campaign.campaign_id
    sums_of = {segment: sums.get((name, period, segment, measured)) for segment in findings.groups}
    known = {segment: total for segment, total in sums_of.items() if total and total.by}
    weighted = any(group.high - group.low > 1e-9 for group in findings.groups.values())
    plain_share = DEFINITIONS[measured].is_share and not weighted
    estimates = {
        segment: share(total.of, total.n) if plain_share else ratio(total, weighted=weighted)
        for segment, total in known.items()
    }
    figures = {(measured, str(segment)): estimate for segment, estimate in estimates.items()}
    first, second = findings.pair
    if first in known and second in known and measured not in ONE_SIDED:
        figures[measured, DIFFERENCE[findings.design]] = (
            difference_of_shares(estimates[first], estimates[second])
            if plain_share
            else difference_of_ratios(known[first], known[second], weighted=weighted)
        )
    return figures


def _per_week(
    findings: Findings, period: str, weeks: float, sums: Mapping[Key, Sums]
) -> dict[tuple[Measure, str], Estimate]:
    """Orders per week and customer in a period of `weeks` weeks, equally long for all customers."""
    figures = _measured(findings, period, Measure.ORDERS_PER_CUSTOMER, sums)
    return {
        (Measure.ORDERS_PER_WEEK, f"{segment}, {period}"): _scaled(estimate, 1 / weeks)
        for (_, segment), estimate in figures.items()
    }


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if end is None else end * factor for end in ends)
    return replace(estimate, value=value, low=low, high=high)


def _sample_ratio(findings: Findings) -> SampleRatio | None:
    """The test of the groups' sizes; None unless randomised with the same probabilities for all customers."""
    compared = findings.groups.values()
    weighted = any(group.high - group.low > 1e-9 for group in compared)
    if findings.design is Design.CHOSEN or not compared or weighted:
        return None
    return sample_ratio(
        {group.segment: group.n for group in compared}, {group.segment: group.low for group in compared}
    )


def _sums(counted: ir.Table) -> dict[Key, Sums]:
    rows = totals(counted, ["campaign_id", "period", "segment"]).to_pyarrow().to_pylist()
    return {
        (
            row.pop("campaign_id"),
            row.pop("period"),
            Segment(row.pop("segment")),
            Measure(row.pop("measure")),
        ): Sums(**{name: _rounded(value) for name, value in row.items()})
        for row in rows
    }


def _rounded(value: Any) -> Any:
    """The value with ten significant digits; further digits of a float sum depend on the order of rows."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def _shop_sizes(windows: ir.Table, users: ir.Table) -> dict[str, int]:
    """The number of the shop's customers at the end of each window, by campaign id."""
    people = windows.select("campaign_id", "until").cross_join(users.select("customer_id", "joined_on"))
    people = people.filter(people.joined_on <= people.until)
    counts = people.group_by("campaign_id").agg(n=ibis._.count()).to_pyarrow().to_pylist()
    return {row["campaign_id"]: row["n"] for row in counts}


def _by_campaign(rows: Iterable[Any]) -> dict[str, list[Any]]:
    by_campaign: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_campaign[row.campaign_id].append(row)
    return by_campaign
