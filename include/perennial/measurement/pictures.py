"""Pictures of a campaign as SVG for a page. The same figures give the same bytes."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from perennial.foundation.pages import STYLE, svg
from perennial.measurement.campaigns import Segment
from perennial.measurement.retention import Week, WeeklyRedemptions

COLOURS: Mapping[Segment, str] = {
    Segment.ASSIGNED: "#0f766e",
    Segment.TREATMENT: "#0f766e",
    Segment.OTHERS: "#b45309",
    Segment.HOLDOUT: "#b45309",
    Segment.NONE: "#64748b",
}
_SHADE = "#f0fdfa"


def weekly_orders(
    weeks: Iterable[Week], labels: Mapping[Segment, str], running: tuple[float, float] | None, *, wide: bool
) -> str:
    """Orders per customer and week of each group, before, during (shaded) and after.

    Args:
        weeks: the weeks of all groups; week 0 is the first of the campaign.
        labels: the name of each group.
        running: start and end of the campaign in weeks; None if each customer has a start of their own.
        wide: whether the picture is as wide as two.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _blank(width=10.6 if wide else 5.2)
        if running:
            axes.axvspan(*running, color=_SHADE, linewidth=0)
        axes.axvline(0, color=COLOURS[Segment.ASSIGNED], linewidth=0.8, linestyle=(0, (2, 2)))
        for segment, group in _by_segment(weeks).items():
            middles = [week.n + 0.5 for week in group]
            rates = [week.orders / week.size for week in group]
            _line(axes, middles, rates, segment, labels[segment])
        axes.set_xlabel("weeks since the campaign began" if running else "weeks since the customer came in")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
        _legend(axes)
        return svg(figure)


def retention(weeks: Iterable[Week], labels: Mapping[Segment, str]) -> str:
    """Weekly retention of each group, exact, with its 95 % band; unbounded as a thin dashed line."""
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        for segment, group in _by_segment(week for week in weeks if week.n >= 0).items():
            numbers = [week.n for week in group]
            exact = [week.exact for week in group]
            low, high = [_or_nan(share.low) for share in exact], [_or_nan(share.high) for share in exact]
            axes.fill_between(numbers, low, high, color=COLOURS[segment], alpha=0.15, linewidth=0)
            _line(axes, numbers, [_or_nan(share.value) for share in exact], segment, labels[segment])
            later = [_or_nan(week.unbounded.value) for week in group]
            axes.plot(numbers, later, color=COLOURS[segment], linewidth=1, linestyle=(0, (3, 2)))
        axes.set_xlabel("week of the campaign, from 0")
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
        _legend(axes)
        return svg(figure)


def redemptions(redeemed: Sequence[WeeklyRedemptions], weeks: int, segment: Segment) -> str:
    """Coupons redeemed by a group in each week of the window.

    Args:
        redeemed: the weeks with redemptions.
        weeks: the number of weeks of the window, including a shorter last one.
        segment: the group to show.
    """
    heights = [0] * weeks
    for week in redeemed:
        if week.segment is segment:
            heights[week.n] += week.redemptions
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        axes.bar(range(weeks), heights, width=0.72, color=COLOURS[segment])
        for number, height in enumerate(heights):
            if height:
                axes.annotate(
                    f"{height}",
                    (number, height),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
        axes.set_xlabel("week of the campaign, from 0")
        axes.set_ylim(0, max(*heights, 1) * 1.12)
        axes.set_xlim(-0.6, weeks - 0.4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        return svg(figure)


def _blank(width: float = 5.2) -> tuple[Figure, Axes]:
    """An empty figure of `width` inches with space for the numbers at its sides."""
    figure = Figure(figsize=(width, 2.9))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0.45 / width, 0.17, 1 - 0.5 / width, 0.71))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    return figure, axes


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], segment: Segment, label: str) -> None:
    axes.plot(
        x,
        y,
        color=COLOURS[segment],
        linewidth=2,
        marker="o",
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.8,
        label=label,
        zorder=3,
    )


def _legend(axes: Axes) -> None:
    """Put the legend above the picture, so that it covers nothing."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            ncols=3,
            borderaxespad=0.2,
            handlelength=1.4,
            columnspacing=1.2,
        )


def _by_segment(weeks: Iterable[Week]) -> dict[Segment, list[Week]]:
    """The weeks of each group, in the order of the segments and of time."""
    all_weeks = list(weeks)
    groups = {segment: [week for week in all_weeks if week.segment is segment] for segment in Segment}
    return {segment: sorted(group, key=lambda week: week.n) for segment, group in groups.items() if group}


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
