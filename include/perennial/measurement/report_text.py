"""What the reports say, in sentences that follow from the figures."""

from enum import StrEnum

from perennial.foundation.measures import Measure
from perennial.foundation.pages import date_of
from perennial.measurement.campaigns import Design, Segment
from perennial.measurement.effects import DIFFERENCE, Findings
from perennial.measurement.groups import BEFORE, WINDOW
from perennial.measurement.lift_intervals import Estimate


class Kind(StrEnum):
    """How a figure is written."""

    SHARE = "share"
    MONEY = "money"
    NUMBER = "number"


_PER_CENT, _POINTS = "\u00a0%", "\u00a0points"
"""With a space at which no line breaks."""
_GROUPS = {
    Segment.TREATMENT: "in the campaign",
    Segment.HOLDOUT: "held out",
    Segment.NONE: "held out of all",
    Segment.ASSIGNED: "in the campaign",
    Segment.OTHERS: "not in the campaign",
}
SMALL = 100
"""Below so many customers the t intervals of orders and revenue, which are skewed, promise too much."""
NOT_RANDOM = (
    "Not a randomised campaign. The shop chose who was in it, so the groups may well have differed before. "
    "The figures show what went along with the campaign; they do not show what it caused."
)
RANDOM = (
    "A randomised campaign. Chance decided who was in it and who was held out, so a difference whose "
    "interval leaves out zero is what the campaign changed."
)
ALONE = (
    "Not a randomised campaign. The shop chose who was in it, and there is nobody to hold them against. The "
    "figures show what customers in the campaign did; they do not show what it caused."
)
UNCONTROLLED = (
    "Nobody was held out of this campaign, so there is nothing to hold it against: "
    "the figures do not show what it caused."
)
UNDELIVERED = (
    "A randomised campaign of which no delivery is on record. Whatever differs between the groups differs by "
    "chance."
)
MISMATCH = (
    "Sample-ratio mismatch: the groups do not have the sizes that chance should have given them. Find out "
    "why before you believe any difference below."
)


def group(segment: Segment) -> str:
    """What people call a group."""
    return _GROUPS[segment]


def difference(design: Design) -> str:
    """What a difference between groups is called at the head of the table."""
    return "Lift" if design is Design.RANDOMISED else "Difference (not an effect)"


def banner(findings: Findings) -> tuple[str, str]:
    """The tone (`chance`, `chosen` or `wrong`) and the sentence at the top of the page."""
    if findings.design is Design.CHOSEN:
        return "chosen", NOT_RANDOM if findings.compared else ALONE
    if not findings.compared:
        return "chosen", UNCONTROLLED
    if findings.sample_ratio and not findings.sample_ratio.fits:
        return "wrong", f"{RANDOM} {MISMATCH} (p = {findings.sample_ratio.p:.1g})"
    if undelivered(findings):
        return "chosen", UNDELIVERED
    return "chance", RANDOM


def undelivered(findings: Findings) -> bool:
    """Is it a campaign of ours of which nobody got anything, as far as we know?"""
    return findings.campaign.origin == "perennial" and not findings.delivered


def headline(findings: Findings) -> str:
    """Over the table of measures."""
    if findings.design is Design.CHOSEN:
        return "What went along with it"
    return "What differs" if undelivered(findings) or not findings.compared else "What it changed"


def summary(findings: Findings, currency: str) -> list[str]:
    """The report in three sentences."""
    first, second = findings.pair
    if first not in findings.groups:
        return ["Nobody was in this campaign."]
    said = [_reached(findings, first)]
    orders = Measure.ORDERS_PER_CUSTOMER
    if findings.compared:
        one, other = findings.figures[orders, str(first)], findings.figures[orders, str(second)]
        said.append(
            f"Until {date_of(findings.stretch.until)} customers {group(first)} placed "
            f"{figure(one.value, Kind.NUMBER)} orders each, customers {group(second)} "
            f"{figure(other.value, Kind.NUMBER)}."
        )
    said += _past(findings) if findings.design is Design.CHOSEN else _lifted(findings, currency)
    return said


def notes(findings: Findings) -> list[str]:
    """What a reader has to know of how it was measured."""
    about, campaign = findings.stretch, findings.campaign
    said = []
    if not about.from_the_start:
        said.append(
            f"The campaign began on {date_of(campaign.starts_on)}, before the shop's records do. It is "
            f"measured from {date_of(about.starts_on)} and not held against other customers: nobody knows "
            "who had been a customer by then."
        )
    elif findings.design is Design.CHOSEN:
        said.append(
            "Held against the campaign's customers are all others who had been customers when it began."
        )
    if findings.design is Design.RANDOMISED:
        said.append(
            "Customers count from the day they came into the campaign's audience, whether or not a message "
            "reached them (intention to treat)."
        )
        said.append(_ratio_note(findings))
    if any(one.n < SMALL for one in findings.groups.values()):
        said.append(
            f"A group has fewer than {SMALL} customers: intervals of orders and revenue are rough there."
        )
    return said


def reach_note(reach: Estimate) -> str:
    """The share of the shop's customers that this is."""
    if reach.value is None:
        return ""
    return f"reach {figure(reach.value, Kind.SHARE)} of the shop's {reach.n:,} customers"


def figure(value: float | None, kind: Kind, currency: str = "", *, signed: bool = False) -> str:
    """A figure as people write it; shares as per cent, their differences as points."""
    if value is None:
        return "–"
    sign = "−" if value < 0 else "+" if signed and value > 0 else ""
    size = abs(value)
    if kind is Kind.SHARE:
        return f"{sign}{size * 100:.1f}{_POINTS if signed else _PER_CENT}"
    if kind is Kind.MONEY:
        return f"{sign}{currency}{size:,.2f}"
    return f"{sign}{size:,.2f}"


def interval(estimate: Estimate, kind: Kind, currency: str = "", *, signed: bool = False) -> str:
    """From … to …, or that there is too little for an interval."""
    if estimate.low is None or estimate.high is None:
        return "too few for an interval"
    ends = [figure(end, kind, currency, signed=signed) for end in (estimate.low, estimate.high)]
    if kind is Kind.SHARE:
        ends[0] = ends[0].removesuffix(_POINTS if signed else _PER_CENT)
    return f"{ends[0]} to {ends[1]}"


def relative(gap: Estimate | None, base: Estimate | None) -> str:
    """The difference in per cent of the group it is held against."""
    if gap is None or base is None or gap.value is None or not base.value:
        return ""
    return f"{gap.value / base.value * 100:+.0f}{_PER_CENT}".replace("-", "−")


def _reached(findings: Findings, first: Segment) -> str:
    reach = findings.figures[Measure.REACH, str(first)]
    size = findings.groups[first].n
    said = f"{size:,} of the shop's {reach.n:,} customers were in it"
    redeemed = findings.figures.get((Measure.REDEMPTION_RATE, str(first)))
    if redeemed is None or not redeemed.value:
        return f"{said}; none of them redeemed a coupon of the campaign."
    return f"{said}; {figure(redeemed.value, Kind.SHARE)} of them redeemed a coupon of the campaign."


def _past(findings: Findings) -> list[str]:
    """What the weeks before say of a campaign that chance did not decide."""
    first, second = findings.pair
    weekly = Measure.ORDERS_PER_WEEK
    held = [findings.figures.get((weekly, f"{segment}, {BEFORE}")) for segment in (first, second)]
    gap = findings.figures.get((weekly, f"{DIFFERENCE[findings.design]}, {BEFORE}"))
    now = findings.figures.get((weekly, f"{DIFFERENCE[findings.design]}, {WINDOW}"))
    if not held[0] or not held[1] or not gap or not now or gap.low is None or gap.high is None:
        return []
    before, after = figure(gap.value, Kind.NUMBER, signed=True), figure(now.value, Kind.NUMBER, signed=True)
    apart = "already differed" if gap.low > 0 or gap.high < 0 else "were not clearly apart"
    return [
        f"In the {findings.stretch.weeks_before} weeks before, the two groups {apart}: "
        f"{figure(held[0].value, Kind.NUMBER)} orders a week against {figure(held[1].value, Kind.NUMBER)}. "
        f"The gap was {before} before, and {after} from the day the campaign began."
    ]


def _lifted(findings: Findings, currency: str) -> list[str]:
    if undelivered(findings):
        return []
    gap = findings.figures.get((Measure.REVENUE_PER_CUSTOMER, DIFFERENCE[findings.design]))
    if gap is None or gap.value is None or gap.low is None or gap.high is None:
        return []
    sure = gap.low > 0 or gap.high < 0
    said = figure(gap.value, Kind.MONEY, currency, signed=True)
    ends = interval(gap, Kind.MONEY, currency, signed=True)
    verdict = "That is more than chance would do." if sure else "That may well be chance."
    return [f"The campaign changed revenue by {said} a customer (95 % interval {ends}). {verdict}"]


def _ratio_note(findings: Findings) -> str:
    found = findings.sample_ratio
    if found is None:
        return "The shares held out changed while the campaign ran; customers are weighted by 1 ÷ propensity."
    sizes = ", ".join(
        f"{group(segment)} {findings.groups[segment].n:,} (expected {found.expected[segment]:,.0f})"
        for segment in Segment
        if segment in findings.groups
    )
    verdict = "as it should be" if found.fits else "a mismatch"
    return f"Sample-ratio check: {sizes}; p = {found.p:.2f}, {verdict}."
