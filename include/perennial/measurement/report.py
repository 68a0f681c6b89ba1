"""The pages: HTML with the text, tables and pictures of the findings, without external files."""

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
    """A formatted figure, its interval and its number of customers; empty texts if there is no figure."""

    value: str
    interval: str
    n: str


@dataclass(frozen=True)
class Whisker:
    """A small picture of a difference: positions in per cent of the width; `sure` if zero is outside."""

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
    stretch = findings.stretch
    same_start = findings.design is Design.CHOSEN
    running = (0.0, ((findings.campaign.ends_on - stretch.starts_on).days + 1) / 7) if same_start else None
    window_weeks = ceil(stretch.weeks)
    first = findings.pair[0]
    redeemed = [week for week in findings.redemptions if week.segment is first]
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
        groups=[
            (report_text.group(segment), findings.groups[segment].n) for segment in _ordered(findings)
        ],
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
    """The path of a page below the folder of the reports; the campaign's id may have any characters."""
    name = quote(campaign_id, safe="")
    return f"campaigns/{'%2E' + name[1:] if name.startswith('.') else name}/{day}.html"


def cards(findings: Findings, currency: str) -> list[Card]:
    """The headline figures: the campaign's customers and their measures."""
    first, _ = findings.pair
    size = findings.groups[first].n if first in findings.groups else 0
    reach = findings.figures[Measure.REACH, str(first)]
    headline = [Card("In the campaign", f"{size:,}", report_text.reach_note(reach))]
    for measure in (
        Measure.REDEMPTION_RATE,
        Measure.ORDERS_PER_CUSTOMER,
        Measure.AOV,
        Measure.REPURCHASE_RATE,
    ):
        estimate = findings.figures.get((measure, str(first)))
        if estimate and estimate.value is not None:
            cell = _cell(measure, estimate, currency)
            headline.append(Card(DEFINITIONS[measure].label, cell.value, f"{cell.interval}, {cell.n}"))
    return headline


def rows(findings: Findings, currency: str) -> list[Row]:
    """The rows of the table: every measure that at least one group has."""
    table_rows = []
    for measure in _TABLE:
        estimates = [findings.figures.get((measure, str(segment))) for segment in _ordered(findings)]
        if any(estimates):
            gap = findings.figures.get((measure, DIFFERENCE[findings.design]))
            base = findings.figures.get((measure, str(findings.pair[1])))
            table_rows.append(
                Row(
                    DEFINITIONS[measure].label,
                    [_cell(measure, estimate, currency) for estimate in estimates],
                    _cell(measure, gap, currency, signed=True) if gap else None,
                    report_text.relative(gap, base),
                    _whisker(gap),
                )
            )
    return table_rows


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
    """A picture with zero in the middle; the end of the interval that is farther from zero is at the edge."""
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
