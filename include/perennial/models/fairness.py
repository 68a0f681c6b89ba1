"""Are customers treated alike? Scores, what became of them, and contacts, by demographic group.

Groups may well differ in how likely they come back. What a score owes each of them is to come true as often
as it says (calibration within groups). It cannot at the same time be mistaken equally often in both
directions for groups that differ (Kleinberg, Mullainathan and Raghavan 2017; Chouldechova 2017), so that is
not asked.

Shares come with Wilson's score interval (1927), means with Student's t interval over customers; 95 % each. A
group is called out when what came true would be a rare accident if what was said of each customer were right
(Poisson-binomial distribution), with Bonferroni's correction for the number of groups looked at.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from perennial.foundation.arrays import FloatArray

DIMENSIONS: Mapping[str, str] = {
    "age": "Age",
    "income": "Income",
    "household_size": "Persons in the household",
    "kids_count": "Children in the household",
}
"""The columns of `users` by which groups are formed, and what a report calls them."""

NOT_KNOWN = "not known"
_LEVEL = 0.05
_EXACT_UP_TO = 20_000
"""From so many customers on a normal distribution says the same."""


@dataclass(frozen=True)
class Figure:
    """A mean or a share of n customers with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Truth:
    """Of the newest whole window: what was said on average, and what share came back.

    `odd`: they differ by more than chance, all groups considered.
    """

    said: float
    came: Figure
    odd: bool

    @property
    def difference(self) -> Figure:
        """By how much more came true than was said."""
        came = self.came
        return Figure(came.value - self.said, came.low - self.said, came.high - self.said, came.n)


@dataclass(frozen=True)
class Group:
    """Customers with the same value in one dimension; `contacted` and `truth` where there is anything."""

    name: str
    score: Figure
    above: Figure
    contacted: Figure | None
    truth: Truth | None


@dataclass(frozen=True)
class Dimension:
    """All groups of one dimension that are large enough, and how many customers are in those that are not."""

    label: str
    groups: list[Group]
    small: int
    left_out: int


def dimensions(today: pa.Table, past: pa.Table | None, threshold: float, least: int) -> list[Dimension]:
    """Every dimension of which anything is known of anybody.

    Args:
        today: a row for each customer: `DIMENSIONS`, `score`, and `contacted` (0 or 1) where there were any
            contacts.
        past: a row for each customer of the newest whole window: `DIMENSIONS`, `said` and `came_back`.
        threshold: from this score on a customer counts as likely to come back.
        least: smaller groups are left out.
    """
    known = {name: label for name, label in DIMENSIONS.items() if today[name].null_count < today.num_rows}
    sizes = {name: _sizes(today, name) for name in known}
    shown = {name: [one for one, n in sizes[name].items() if n >= least] for name in known}
    looked_at = sum(len(names) for names in shown.values())
    found = []
    for column, label in known.items():
        groups = [
            _group(
                name,
                _only(today, column, name),
                None if past is None else _only(past, column, name),
                threshold,
                least,
                looked_at,
            )
            for name in shown[column]
        ]
        small = [n for n in sizes[column].values() if n < least]
        found.append(Dimension(label, groups, len(small), sum(small)))
    return found


def share(flags: FloatArray) -> Figure:
    """The share of ones among zeros."""
    hits, n = int(flags.sum()), len(flags)
    low, high = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return Figure(hits / n, float(low), float(high), n)


def mean(values: FloatArray) -> Figure:
    """The mean of at least two values."""
    n, middle = len(values), float(values.mean())
    reach = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Figure(middle, middle - reach, middle + reach, n)


def _group(
    name: str, today: pa.Table, past: pa.Table | None, threshold: float, least: int, looked_at: int
) -> Group:
    scores = _column(today, "score")
    contacted = share(_column(today, "contacted")) if "contacted" in today.column_names else None
    truth = None if past is None or past.num_rows < least else _truth(past, looked_at)
    return Group(name, mean(scores), share((scores >= threshold).astype(float)), contacted, truth)


def _truth(past: pa.Table, looked_at: int) -> Truth:
    said, came = _column(past, "probability"), _column(past, "came_back")
    return Truth(float(said.mean()), share(came), accident(said, int(came.sum())) < _LEVEL / looked_at)


def accident(said: FloatArray, came: int) -> float:
    """How likely a number at least as odd is, if each came back with just the probability that was said."""
    if len(said) > _EXACT_UP_TO:
        spread = np.sqrt((said * (1 - said)).sum())
        return float(2 * stats.norm.sf(abs(came - said.sum()) / spread))
    chance = stats.poisson_binom(said)
    return float(min(1.0, 2 * min(chance.cdf(came), chance.sf(came - 1))))


def _sizes(rows: pa.Table, column: str) -> dict[str, int]:
    """How many customers each group has, in the order in which a person would put them."""
    counts = pc.value_counts(pc.fill_null(rows[column], NOT_KNOWN)).to_pylist()
    return {one["values"]: one["counts"] for one in sorted(counts, key=lambda one: _place(one["values"]))}


def _place(name: str) -> tuple[bool, float, str]:
    """Bands by their first number, `Under 15K` before `15-24K`, words after numbers, not known at the end."""
    number = re.search(r"\d+", name)
    first = float(number.group()) - 0.5 * name.lower().startswith(("under", "<")) if number else np.inf
    return name == NOT_KNOWN, first, name


def _only(rows: pa.Table, column: str, name: str) -> pa.Table:
    return rows.filter(pc.equal(pc.fill_null(rows[column], NOT_KNOWN), name))


def _column(rows: pa.Table, name: str) -> FloatArray:
    return rows[name].cast(pa.float64()).to_numpy()
