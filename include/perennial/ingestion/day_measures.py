"""What each day's landing is like as a whole: the numbers that the landing rules check."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import ibis.expr.types as ir
import pandas as pd

from perennial.foundation.contracts import Contract
from perennial.ingestion.days import Period, by_day
from perennial.ingestion.normalise import given
from perennial.ingestion.row_checks import PATTERN
from perennial.ingestion.source_settings import Drift, Rules
from perennial.ingestion.sources import DAY

if TYPE_CHECKING:
    from perennial.ingestion.row_patterns import Scan

_SHOWN = 3
Shares = dict[date, Counter[str]]
"""Day → value → number of rows."""


@dataclass(frozen=True)
class DayCounts:
    """Rows by day.

    landed: all rows, those left out and refused included.
    left_out: rows that `where` or `keep` left out.
    refused: rows that go to quarantine.
    failed: refused rows by day and code; a row counts under each of its codes.
    """

    landed: Counter[date]
    left_out: Counter[date]
    refused: Counter[date]
    failed: Counter[tuple[date, str]]

    def codes(self) -> dict[date, Counter[str]]:
        """Day → code → number of refused rows."""
        codes: dict[date, Counter[str]] = {}
        for (day, code), rows in self.failed.items():
            codes.setdefault(day, Counter())[code] += rows
        return codes


def measures(seen: "Scan", rules: Rules) -> pd.DataFrame:
    """The measures that the rules need, one row a day.

    `age_days`: days from the newest row to the landing; `null_<column>`: share of rows without a value.
    """
    days = sorted(seen.counts[DAY].unique())
    measured = pd.DataFrame(index=pd.Index(days, name=DAY, dtype="object"))
    if rules.newest_within_days is not None:
        newest = (
            seen.row_patterns.group_by(DAY)
            .agg(newest=seen.row_patterns._happened.max())
            .to_pyarrow()
            .to_pylist()
        )
        ages: dict[date, int] = {}
        for row in newest:
            if row["newest"]:
                ages[row[DAY]] = (row[DAY] - row["newest"]).days
        measured["age_days"] = [ages.get(day) for day in days]
    for column in rules.nulls:
        filled = seen.counts.merge(seen.patterns[[PATTERN, given(column)]], on=PATTERN)
        filled["filled"] = filled["rows"] * filled[given(column)].astype("int64")
        sums = filled.groupby(DAY)[["filled", "rows"]].sum()
        measured[f"null_{column}"] = 1 - sums["filled"] / sums["rows"]
    return measured.astype("float64")


def day_frame(
    counts: DayCounts, files: Mapping[date, Collection[str]], measured: pd.DataFrame
) -> pd.DataFrame:
    """One row for each day with files or rows: the input of `validation.judge_landings`, without history."""
    rows, codes = [], counts.codes()
    for day in sorted({*counts.landed, *files}):
        total = counts.landed[day] - counts.left_out[day]
        measures_of_day = (
            measured.loc[day].to_dict() if day in measured.index else dict.fromkeys(measured.columns)
        )
        rows.append(
            {
                "day": day,
                "landed": total,
                "left_out": counts.left_out[day],
                "refused": counts.refused[day],
                "share": counts.refused[day] / total if total else 0.0,
                "files": _first_names(sorted(files.get(day, ()))),
                "reasons": _commonest(codes.get(day, Counter())),
            }
            | {str(name): value for name, value in measures_of_day.items()}
        )
    # The columns are given explicitly: a file of many days may have no row of these days.
    columns = ["day", "landed", "left_out", "refused", "share", "files", "reasons", *measured.columns]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(measured.columns, "float64"))


def with_history(
    frame: pd.DataFrame,
    seen: "Scan",
    published: ir.Table,
    quarantine: ir.Table,
    contract: Contract,
    rules: Rules,
    period: Period,
) -> pd.DataFrame:
    """The frame with `usual`, `times` and `drift_<column>`, which compare each day with earlier days.

    Args:
        frame: as `frame` makes it.
        seen: the scan of this landing.
        published: the table as it is in the lake.
        quarantine: the quarantined rows of all tables.
        contract: the table's contract.
        rules: the table's landing rules.
        period: the days that land now; their rows in the lake are about to be replaced.
    """
    from perennial.ingestion import validation

    landed = Counter(dict(zip(frame["day"], frame["landed"].tolist(), strict=True)))
    if rules.usual is not None:
        since = period.first - timedelta(weeks=rules.usual.weeks)
        quarantined = quarantine.filter((quarantine.table == contract.name) & quarantine.replayed_on.isnull())
        until = period.first - timedelta(days=1)
        for part, day in ((published, str(contract.partition)), (quarantined, "landed_on")):
            landed += by_day(part.filter(part[day].between(since, until)), day)
        medians = [
            validation.usual_rows(landed, day, rules.usual.weeks, rules.usual.known) for day in frame["day"]
        ]
        usual = pd.Series(medians, frame.index, dtype="float64").where(lambda rows: rows >= rules.usual.rows)
        frame = frame.assign(usual=usual, times=frame["landed"] / usual)
    drift = rules.drift or Drift()
    for column in drift.columns:
        shares = _landed_values(seen, column)
        since = period.first - timedelta(days=drift.days)
        before = published.filter(
            published[contract.partition].between(since, period.first - timedelta(days=1))
        )
        shares |= _values(before, column, before[contract.partition])
        indexes = [_drift(shares, drift, day) for day in frame["day"]]
        frame = frame.assign(**{f"drift_{column}": indexes})
    return frame


def _landed_values(seen: "Scan", column: str) -> Shares:
    """How many rows of each landed day have each value of the column."""
    if column not in seen.patterns:
        return _values(seen.rows, column, seen.rows[DAY])
    shares: Shares = {}
    counted = seen.counts.merge(seen.patterns[[PATTERN, column]], on=PATTERN)
    for day, value, rows in counted[[DAY, column, "rows"]].itertuples(index=False):
        shares.setdefault(day, Counter())[str(value)] += rows
    return shares


def _values(rows: ir.Table, column: str, day: ir.DateValue) -> Shares:
    """How many rows of each day have each value of the column."""
    counted = rows.group_by(day=day, value=rows[column].cast("string")).agg(rows=rows.count()).to_pyarrow()
    shares: Shares = {}
    for row in counted.to_pylist():
        shares.setdefault(row["day"], Counter())[str(row["value"])] += row["rows"]
    return shares


def _drift(shares: Shares, drift: Drift, day: date) -> float:
    """The stability index of the day against the days before it; NaN if either side has too few rows."""
    from perennial.ingestion import validation

    earlier: Counter[str] = Counter()
    for earlier_day, counts in shares.items():
        if timedelta(0) < day - earlier_day <= timedelta(days=drift.days):
            earlier.update(counts)
    today = shares.get(day, Counter())
    enough = min(earlier.total(), today.total()) >= drift.rows
    return validation.stability_index(earlier, today) if enough else float("nan")


def _first_names(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _commonest(codes: Counter[str]) -> str:
    return "".join(f"; {code}: {rows}" for code, rows in codes.most_common(_SHOWN))
