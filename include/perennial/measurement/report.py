"""The pages: findings turned into words, tables and pictures, and those into HTML that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil
from pathlib import Path
from urllib.parse import quote

from perennial.foundation.measures import DEFINITIONS, Measure
from perennial.foundation.pages import ReportWords, date_of, templates
from perennial.measurement import report_text
from perennial.measurement.campaigns import Design, Segment
from perennial.measurement.effects import DIFFERENCE, Findings
from perennial.measurement.lift_intervals import Estimate
from perennial.measurement.report_text import Kind

_TABLE = (
    *(Measure.ORDER_RATE, Measure.ORDERS_PER_CUSTOMER, Measure.REVENUE_PER_CUSTOMER, Measure.AOV),
    *(Measure.REPURCHASE_RATE, Measure.REDEMPTION_RATE, Measure.CTR, Measure.CVR, Measure.CVR_DELIVERED),
)
_TEMPLATES = Path(__file__).parent / "templates"
_MONEY = {Measure.REVENUE_PER_CUSTOMER, Measure.AOV}


@dataclass(frozen=True)
class Cell:
    """A figure in words: itself, its interval and the customers behind it; empty where there is none."""

    value: str
    interval: str
    n: str


@dataclass(frozen=True)
class Whisker:
    """A difference drawn small: ends, point and zero in per cent of the width; `sure` leaves out zero."""

    low: float
    high: float
    point: float
    zero: float
    sure: bool


@dataclass(frozen=True)
class Row:
    """One measure: a cell for each group, the difference and its picture."""

    label: str
    cells: list[Cell]
    difference: Cell | None
    relative: str
    whisker: Whisker | None


@dataclass(frozen=True)
class Card:
    """A headline figure."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Entry:
    """A campaign in the list of all reports, with its pages, the newest first."""

    campaign_id: str
    name: str
    window: str
    randomised: bool
    figures: list[Card]
    pages: list[tuple[str, str]]


def page(findings: Findings, day: date, words: ReportWords) -> str:
    """The report of one campaign, as known at the end of `day`."""
    from perennial.measurement import pictures

    labels = {segment: report_text.group(segment) for segment in findings.groups}
    about = findings.stretch
    together = findings.design is Design.CHOSEN
    running = (0.0, ((findings.campaign.ends_on - about.starts_on).days + 1) / 7) if together else None
    window_weeks = ceil(about.weeks)
    first = findings.pair[0]
    redeemed = [one for one in findings.redemptions if one.segment is first]
    return templates(_TEMPLATES).get_template("campaign.html.j2").render(
        words=words,
        campaign=findings.campaign,
        day=day,
        banner=report_text.banner(findings),
        headline=report_text.headline(findings),
        running=running,
        summary=report_text.summary(findings, words.currency),
        notes=report_text.notes(findings),
        cards=cards(findings, words.currency),
        groups=[(report_text.group(one), findings.groups[one].n) for one in _ordered(findings)],
        rows=rows(findings, words.currency),
        difference_label=report_text.difference(findings.design),
        compared=findings.compared,
        orders_picture=pictures.weekly_orders(findings.weeks, labels, running, wide=bool(redeemed)),
        retention_picture=pictures.retention(findings.weeks, labels),
        redemptions_picture=pictures.redemptions(redeemed, window_weeks, first) if redeemed else "",
        retention=[_retention_row(findings, segment) for segment in _ordered(findings)],
        definitions=[DEFINITIONS[measure] for measure in _shown(findings)],
        date_of=date_of,
    )  # fmt: skip


def index(entries: Sequence[Entry], words: ReportWords) -> str:
    """The list of all reports."""
    return templates(_TEMPLATES).get_template("index.html.j2").render(entries=entries, words=words)


def path_of(campaign_id: str, day: date) -> str:
    """Where a page lies below the folder of the reports, whatever characters the shop's ids are made of."""
    name = quote(campaign_id, safe="")
    return f"campaigns/{'%2E' + name[1:] if name.startswith('.') else name}/{day}.html"


def cards(findings: Findings, currency: str) -> list[Card]:
    """The headline figures: for whom it was, and what they did."""
    first, _ = findings.pair
    size = findings.groups[first].n if first in findings.groups else 0
    reach = findings.figures[Measure.REACH, str(first)]
    found = [Card("In the campaign", f"{size:,}", report_text.reach_note(reach))]
    for measure in (
        Measure.REDEMPTION_RATE,
        Measure.ORDERS_PER_CUSTOMER,
        Measure.AOV,
        Measure.REPURCHASE_RATE,
    ):
        estimate = findings.figures.get((measure, str(first)))
        if estimate and estimate.value is not None:
            cell = _cell(measure, estimate, currency)
            found.append(Card(DEFINITIONS[measure].label, cell.value, f"{cell.interval}, {cell.n}"))
    return found


def rows(findings: Findings, currency: str) -> list[Row]:
    """The table: every measure that any group has."""
    found = []
    for measure in _TABLE:
        each = [findings.figures.get((measure, str(segment))) for segment in _ordered(findings)]
        if any(each):
            gap = findings.figures.get((measure, DIFFERENCE[findings.design]))
            base = findings.figures.get((measure, str(findings.pair[1])))
            found.append(
                Row(
                    DEFINITIONS[measure].label,
                    [_cell(measure, one, currency) for one in each],
                    _cell(measure, gap, currency, signed=True) if gap else None,
                    report_text.relative(gap, base),
                    _whisker(gap),
                )
            )
    return found


def _ordered(findings: Findings) -> list[Segment]:
    return [segment for segment in Segment if segment in findings.groups]


def _shown(findings: Findings) -> list[Measure]:
    present = {measure for measure, _ in findings.figures}
    return [measure for measure in Measure if measure in present]


def _cell(measure: Measure, estimate: Estimate | None, currency: str, *, signed: bool = False) -> Cell:
    if estimate is None or estimate.value is None:
        return Cell("–", "", "")
    kind = Kind.SHARE if DEFINITIONS[measure].is_share else Kind.MONEY if measure in _MONEY else Kind.NUMBER
    value = report_text.figure(estimate.value, kind, currency, signed=signed)
    interval = report_text.interval(estimate, kind, currency, signed=signed)
    return Cell(value, interval, f"n = {estimate.n:,}")


def _whisker(estimate: Estimate | None) -> Whisker | None:
    """Zero in the middle, the farther end of the interval at the edge."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    widest = max(abs(estimate.low), abs(estimate.high)) or 1.0

    def at(value: float) -> float:
        return round(50 + 46 * value / widest, 2)

    sure = estimate.low > 0 or estimate.high < 0
    return Whisker(at(estimate.low), at(estimate.high), at(estimate.value), 50.0, sure)


def _retention_row(findings: Findings, segment: Segment) -> tuple[str, list[Cell]]:
    """A group's exact weekly retention as a row of cells."""
    weeks = [week for week in findings.weeks if week.segment is segment and week.n >= 0]
    return report_text.group(segment), [_cell(Measure.WEEKLY_RETENTION, week.exact, "") for week in weeks]
