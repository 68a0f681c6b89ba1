"""The list of all reports, and the metrics and parameters of one report for MLflow."""

from collections.abc import Iterable, Mapping
from typing import Any

import ibis.expr.types as ir

from perennial.foundation.measures import DEFINITIONS, Measure
from perennial.foundation.pages import date_of
from perennial.measurement import report_text
from perennial.measurement.campaigns import Campaign, Segment
from perennial.measurement.effects import DIFFERENCE, Findings
from perennial.measurement.report import Card, Entry, path_of
from perennial.measurement.report_text import Kind

_FIGURES = {
    Measure.REACH: Kind.SHARE,
    Measure.REDEMPTION_RATE: Kind.SHARE,
    Measure.ORDERS_PER_CUSTOMER: Kind.NUMBER,
    Measure.AOV: Kind.MONEY,
}
_FIRST = (Segment.ASSIGNED, Segment.TREATMENT)


def figures(effects: ir.Table) -> ir.Table:
    """The rows of `effects` that the list of reports shows, sorted by campaign, day and measure."""
    shown = effects.measure.isin([str(measure) for measure in _FIGURES])
    rows = effects.filter(shown & effects.segment.isin([str(segment) for segment in _FIRST]))
    return rows.order_by(["campaign_id", "day", "measure"])


def entries(rows: Iterable[Mapping[str, Any]], known: Mapping[str, Campaign], currency: str) -> list[Entry]:
    """One entry for each campaign with the figures of its newest report, sorted by the window, latest first.

    Args:
        rows: as `figures` gives them, in that order.
        known: the campaigns by id.
        currency: written before amounts.
    """
    by_campaign: dict[str, dict[Any, dict[str, Mapping[str, Any]]]] = {}
    for row in rows:
        by_campaign.setdefault(row["campaign_id"], {}).setdefault(row["day"], {})[row["measure"]] = row
    listed = []
    for campaign_id, reports in by_campaign.items():
        days = sorted(reports, reverse=True)
        newest = reports[days[0]]
        campaign = known.get(campaign_id)
        window = "" if campaign is None else _window(campaign)
        listed.append(
            Entry(
                campaign_id,
                campaign.name if campaign else campaign_id,
                window,
                newest[Measure.REACH]["segment"] == Segment.TREATMENT,
                [_card(measure, newest.get(measure), currency) for measure in _FIGURES],
                [(str(day), path_of(campaign_id, day)) for day in days],
            )
        )
    ends = {campaign.campaign_id: str(campaign.measured_until) for campaign in known.values()}
    return sorted(
        listed, key=lambda entry: (ends.get(entry.campaign_id, ""), entry.campaign_id), reverse=True
    )


def metrics(findings: Findings) -> dict[str, float]:
    """Metrics for MLflow: of the campaign's customers, and the difference with its interval."""
    values: dict[str, float] = {}
    names = {str(findings.pair[0]): "", DIFFERENCE[findings.design]: f"{DIFFERENCE[findings.design]}_"}
    for (measure, segment), estimate in findings.figures.items():
        if segment in names:
            ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            values |= {f"{names[segment]}{measure}{end}": v for end, v in ends.items() if v is not None}
    values |= {f"customers_{group.segment}": float(group.n) for group in findings.groups.values()}
    return values


def parameters(findings: Findings) -> dict[str, object]:
    """Parameters for MLflow: the campaign, its design and its days."""
    campaign = findings.campaign
    return {
        "campaign": campaign.campaign_id,
        "name": campaign.name,
        "origin": campaign.origin,
        "design": findings.design,
        "starts_on": campaign.starts_on,
        "ends_on": campaign.ends_on,
        "measured_until": campaign.measured_until,
        "measured_from": findings.stretch.starts_on,
    }


def _window(campaign: Campaign) -> str:
    return f"{date_of(campaign.starts_on)} to {date_of(campaign.ends_on)}"


def _card(measure: Measure, row: Mapping[str, Any] | None, currency: str) -> Card:
    label = DEFINITIONS[measure].label
    if row is None or row["estimate"] is None:
        return Card(label, "–", "")
    value = report_text.figure(row["estimate"], _FIGURES[measure], currency)
    if measure is Measure.REACH:
        return Card(label, value, f"{round(row['estimate'] * row['n']):,} customers")
    return Card(label, value, f"n = {row['n']:,}")
