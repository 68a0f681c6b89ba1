"""What each day's landing is like as a whole: the numbers that the table rules judge."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import ibis.expr.types as ir
import pandas as pd

from perennial.foundation.contracts import Contract
from perennial.ingestion.days import Stretch, by_day
from perennial.ingestion.normalise import given
from perennial.ingestion.row_checks import PATTERN
from perennial.ingestion.source_settings import Drift, Rules
from perennial.ingestion.sources import DAY

if TYPE_CHECKING:
    from perennial.ingestion.row_patterns import Scan

_NAMED = 3
Shares = dict[date, Counter[str]]
"""Day → how many rows have each value."""


@dataclass(frozen=True)
class Tallied:
    """Rows by day: all that landed, what of it was left out on purpose, what refused, and by which codes."""

    landed: Counter[date]
    left_out: Counter[date]
    refused: Counter[date]
    codes: Mapping[date, Counter[str]]


def measures(seen: "Scan", rules: Rules) -> pd.DataFrame:
    """By day: `age_days` of the newest row and `null_<column>` shares, as far as rules ask for them."""
    days = sorted(seen.counts[DAY].unique())
    found = pd.DataFrame(index=pd.Index(days, name=DAY, dtype="object"))
    if rules.newest_within_days is not None:
        newest = seen.marks.group_by(DAY).agg(newest=seen.marks._happened.max()).to_pyarrow().to_pylist()
        ages: dict[date, int] = {}
        for row in newest:
            if row["newest"]:
                ages[row[DAY]] = (row[DAY] - row["newest"]).days
        found["age_days"] = [ages.get(day) for day in days]
    for column in rules.nulls:
        filled = seen.counts.merge(seen.patterns[[PATTERN, given(column)]], on=PATTERN)
        filled["filled"] = filled["rows"] * filled[given(column)].astype("int64")
        sums = filled.groupby(DAY)[["filled", "rows"]].sum()
        found[f"null_{column}"] = 1 - sums["filled"] / sums["rows"]
    return found.astype("float64")


def frame(tallied: Tallied, files: Mapping[date, Collection[str]], measured: pd.DataFrame) -> pd.DataFrame:
    """One row for each day that has files or rows, as `judgement.judge_landings` wants it but for history."""
    rows = []
    for day in sorted({*tallied.landed, *files}):
        total = tallied.landed[day] - tallied.left_out[day]
        known = measured.loc[day].to_dict() if day in measured.index else dict.fromkeys(measured.columns)
        rows.append(
            {
                "day": day,
                "landed": total,
                "left_out": tallied.left_out[day],
                "refused": tallied.refused[day],
                "share": tallied.refused[day] / total if total else 0.0,
                "files": _some(sorted(files.get(day, ()))),
                "reasons": _commonest(tallied.codes.get(day, Counter())),
            }
            | {str(name): value for name, value in known.items()}
        )
    # Named, for a file of many days may hold none of these: then there is no row to tell the columns.
    named = ["day", "landed", "left_out", "refused", "share", "files", "reasons", *measured.columns]
    return pd.DataFrame(rows, columns=named).astype(dict.fromkeys(measured.columns, "float64"))


def beside_history(
    frame: pd.DataFrame,
    seen: "Scan",
    held: ir.Table,
    quarantine: ir.Table,
    contract: Contract,
    rules: Rules,
    stretch: Stretch,
) -> pd.DataFrame:
    """The frame with `usual`, `times` and `drift_<column>`: each day beside the days before it.

    Args:
        frame: as `frame` makes it.
        seen: what lands now.
        held: the table as it is.
        quarantine: what was set aside, of any table.
        contract: the table's.
        rules: what is asked for.
        stretch: the days that land now; what the lake holds of them is about to be replaced.
    """
    from perennial.ingestion import validation

    landed = Counter(dict(zip(frame["day"], frame["landed"].tolist(), strict=True)))
    if rules.usual is not None:
        since = stretch.first - timedelta(weeks=rules.usual.weeks)
        aside = quarantine.filter((quarantine.table == contract.name) & quarantine.replayed_on.isnull())
        until = stretch.first - timedelta(days=1)
        for part, day in ((held, str(contract.partition)), (aside, "landed_on")):
            landed += by_day(part.filter(part[day].between(since, until)), day)
        found = [validation.usual(landed, day, rules.usual.weeks, rules.usual.known) for day in frame["day"]]
        normal = pd.Series(found, frame.index, dtype="float64").where(lambda rows: rows >= rules.usual.rows)
        frame = frame.assign(usual=normal, times=frame["landed"] / normal)
    drift = rules.drift or Drift()
    for column in drift.columns:
        shares = _values_seen(seen, column)
        since = stretch.first - timedelta(days=drift.days)
        before = held.filter(held[contract.partition].between(since, stretch.first - timedelta(days=1)))
        shares |= _values(before, column, before[contract.partition])
        found = [_drift(shares, drift, day) for day in frame["day"]]
        frame = frame.assign(**{f"drift_{column}": found})
    return frame


def _values_seen(seen: "Scan", column: str) -> Shares:
    if column not in seen.patterns:
        return _values(seen.rows, column, seen.rows[DAY])
    shares: Shares = {}
    found = seen.counts.merge(seen.patterns[[PATTERN, column]], on=PATTERN)
    for day, value, rows in found[[DAY, column, "rows"]].itertuples(index=False):
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
    """How far the day's shares are from those of the days before it; NaN if either side has few rows."""
    from perennial.ingestion import validation

    earlier: Counter[str] = Counter()
    for other, counts in shares.items():
        if timedelta(0) < day - other <= timedelta(days=drift.days):
            earlier.update(counts)
    today = shares.get(day, Counter())
    enough = min(earlier.total(), today.total()) >= drift.rows
    return validation.stability(earlier, today) if enough else float("nan")


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _commonest(codes: Counter[str]) -> str:
    return "".join(f"; {code}: {rows}" for code, rows in codes.most_common(_NAMED))
