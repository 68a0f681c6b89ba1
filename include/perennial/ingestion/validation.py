"""Evaluates the suites with Great Expectations: frames in, verdicts out.

A verdict lists its problems as messages; `check` stops the landing if there are any. It also has the
library's own result, which `data_docs` stores and shows.

Import this module only when it is needed: the library takes seconds to import. It runs in memory; it writes
nothing and sends nothing.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from statistics import median
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations import ExpectationSuite
from great_expectations.core import ExpectationSuiteValidationResult as Result
from great_expectations.core import ExpectationValidationResult
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from perennial.foundation.contracts import Contract
from perennial.foundation.masking import masked
from perennial.foundation.settings import settings
from perennial.ingestion import column_types, suites
from perennial.ingestion.errors import RefusedTableError
from perennial.ingestion.quarantine import Reason
from perennial.ingestion.source_settings import Rules, Source

_SHOWN = 3
_SHOWN_DAYS = 10
_SHOWN_COLUMNS, _SHOWN_CHARACTERS = 20, 80


@dataclass(frozen=True)
class RowVerdict:
    """The result of the row rules.

    reasons: pattern → why rows of this pattern are refused, in the suite's order.
    result: the library's result, with counts in rows.
    """

    reasons: Mapping[int, tuple[Reason, ...]]
    result: Result


@dataclass(frozen=True)
class ColumnVerdict:
    """The result of the column rules for the files of one source.

    problems: messages; if there are any, the table stops.
    new: file → its columns that are not used.
    result: the library's result.
    """

    problems: tuple[str, ...]
    new: Mapping[str, tuple[str, ...]]
    result: Result


@dataclass(frozen=True)
class Measurement:
    """The value that a landing rule checked on a day; `least` and `most` are its limits, in the same unit."""

    day: date
    rule: str
    column: str
    value: float
    least: float | None
    most: float | None
    broken: bool


@dataclass(frozen=True)
class LandingVerdict:
    """The result of the landing rules.

    measured: one measurement for each day and rule that could be evaluated.
    problems: messages; if there are any, the table stops. Broken rules of accepted days are not among them.
    result: the library's result.
    """

    measured: tuple[Measurement, ...]
    problems: tuple[str, ...]
    result: Result


def judge_rows(frame: pd.DataFrame, contract: Contract) -> RowVerdict:
    """Evaluate the row rules once for each pattern.

    Args:
        frame: one row a pattern, as `row_checks.decoded` makes it, and `rows`, the number of landed rows that
            have the pattern.
        contract: the table's contract.
    """
    judged = frame.reset_index(drop=True)
    result = _validated(judged, suites.row_suite(contract), "pattern")
    rows = dict(zip(judged["pattern"], judged["rows"], strict=True))
    reasons: dict[int, list[Reason]] = {}
    for each in result.results:
        meta = _meta(each)
        refused = [int(row["pattern"]) for row in each.result.get("unexpected_index_list") or ()]
        for pattern in refused:
            reasons.setdefault(pattern, []).append(Reason(meta["code"], meta["column"], meta["sentence"]))
        each.result = _counted(each, judged, sum(int(rows[pattern]) for pattern in refused))
    return RowVerdict({pattern: tuple(of_pattern) for pattern, of_pattern in reasons.items()}, result)


def judge_columns(
    headers: Mapping[str, Mapping[str, str]], contract: Contract, source: Source, name: str
) -> ColumnVerdict:
    """Check that files have the required columns, in a type that can be converted; list the unused columns.

    Args:
        headers: file name → column → type (as Arrow or Ibis call it); `TEXT_ONLY` for files without types.
        contract: the table's contract.
        source: the source of the files.
        name: the source's name in `sources.yaml`.
    """
    required, used = source.required(contract), source.used(contract)
    allowed = column_types.allowed_kinds(contract, source)
    rows = [
        {
            "place": f"{file}: {_shown(column)}",
            "file": file,
            "column": column,
            suites.IS_THERE: column in columns or column not in required,
            suites.TYPE_FITS: column not in columns
            or column not in allowed
            or column_types.kind(columns[column]) in allowed[column],
            suites.IS_USED: column in used,
        }
        for file, columns in headers.items()
        for column in dict.fromkeys([*used, *columns])
    ]
    result = _validated(pd.DataFrame(rows), suites.column_suite(contract.name, required), "place")
    problems = [
        f"{contract.name}: {row['file']} (source {name}): column {row['column']} {fault}"
        for row in rows
        if (fault := _column_fault(row, headers[str(row["file"])], required, allowed))
    ]
    new: dict[str, tuple[str, ...]] = {}
    for file, columns in headers.items():
        if unused := sorted(_shown(column) for column in columns if column not in used):
            new[file] = tuple(unused)
    _describe_files(result, suites.IS_USED, [f"{file}: {', '.join(unused)}" for file, unused in new.items()])
    _describe_files(result, suites.IS_THERE, problems)
    return ColumnVerdict(tuple(problems), new, result)


def judge_landings(frame: pd.DataFrame, table: str, rules: Rules) -> LandingVerdict:
    """Evaluate the landing rules for each day.

    Args:
        frame: one row a day. `day`; `landed`, `left_out`, `refused` (rows); `share` (refused ÷ landed);
            `usual` (rows, see `usual_rows`); `times` (landed ÷ usual); `age_days` (from the day of the newest
            row to the landing); `null_<column>` for each column of `rules.nulls`; `drift_<column>` for each
            of `rules.drift` (see `stability_index`); `files` and `reasons` (texts for the message). NaN: not
            evaluated.
        table: the table's name.
        rules: the table's landing rules.
    """
    result = _validated(frame, suites.landing_suite(table, rules), "day")
    days = [{str(name): value for name, value in day.items()} for day in frame.to_dict("records")]
    measured, problems = [], []
    for each in result.results:
        meta = _meta(each)
        broken = {row["day"] for row in each.result.get("unexpected_index_list") or ()}
        least, most, column = meta["least"], meta["most"], meta["column"]
        for day in days:
            on, value = day["day"], float(day[column])
            if math.isnan(value):
                continue
            measured.append(Measurement(on, meta["rule"], column, value, least, most, on in broken))
            if on in broken and on not in rules.accepted_days:
                allowed = {"least": least, "most": most, **_in_rows(day, least, most)}
                message = meta["sentence"].format(**day, **allowed, found=value)
                problems.append(f"{table}: {on}: {message} ({day['files']}{day['reasons']})")
        _describe_days(each, days, broken)
    return LandingVerdict(tuple(measured), tuple(sorted(problems)), result)


def check(problems: Sequence[str], report: str = "") -> None:
    """Stop the landing if there is any problem.

    Args:
        problems: the messages of all verdicts.
        report: the page with the results, relative to the reports folder; empty if there is none.

    Raises:
        RefusedTableError: there is a problem; the message has the first three.
    """
    if problems:
        more = len(problems) - _SHOWN
        message = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise RefusedTableError(
            f"{message}. Nothing was published. All results: {report} in the reports", report
        )


def usual_rows(counts: Mapping[date, int], day: date, weeks: int, known: int) -> float:
    """The median number of rows on the same weekday of the last `weeks` weeks.

    Days without rows do not count. NaN if fewer than `known` of these days have rows.
    """
    before = [counts.get(day - timedelta(weeks=week), 0) for week in range(1, weeks + 1)]
    filled = [rows for rows in before if rows]
    return float(median(filled)) if filled and len(filled) >= known else math.nan


def stability_index(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """The population stability index: how far the shares of the values have moved.

    Σ (qᵢ − pᵢ) · ln(qᵢ ÷ pᵢ) over the values i, with the shares p before and q now: the symmetric Kullback–
    Leibler divergence (Jeffreys 1946; as an index of score cards: Siddiqi, Credit Risk Scorecards, 2006,
    which calls less than 0.1 no change and more than 0.25 a considerable change). Half a row is added to each
    value on both sides, so that a value that is only on one side does not make the index infinite. NaN if one
    side has no rows.
    """
    values = sorted({*before, *now})
    if not sum(before.values()) or not sum(now.values()):
        return math.nan
    p, q = ([(counts.get(value, 0) + 0.5) for value in values] for counts in (before, now))
    shares = zip((part / sum(p) for part in p), (part / sum(q) for part in q), strict=True)
    return sum((there - here) * math.log(there / here) for here, there in shares)


def _describe_days(
    each: ExpectationValidationResult, days: Sequence[Mapping[str, Any]], broken: set[date]
) -> None:
    """Add the values to the rule's description: of the only day, or of the first days that broke it."""
    shown = [day for day in days if day["day"] in broken or len(days) == 1][:_SHOWN_DAYS]
    values = [f"{day['day']}: {day[_meta(each)['column']]:g}" for day in shown]
    _add_found(each, ", ".join(values))


def _in_rows(day: Mapping[str, Any], least: float | None, most: float | None) -> dict[str, int]:
    """The limits of the rule `usual` in rows; empty where the usual number of rows is not known."""
    if least is None or most is None or math.isnan(day.get("usual", math.nan)):
        return {}
    return {"fewest": math.ceil(least * day["usual"]), "largest": math.floor(most * day["usual"])}


def _counted(each: ExpectationValidationResult, frame: pd.DataFrame, refused: int) -> dict[str, Any]:
    """The library's counts, in rows instead of patterns, without any value from the rows."""
    assert each.expectation_config is not None
    column = each.expectation_config.kwargs["column"]
    events = _meta(each)["event_types"]
    rows = frame["rows"] if not events else frame["rows"].where(frame["event_type"].isin(events), 0)
    total = int(rows.sum())
    missing = int(rows[frame[column].isna()].sum())
    return {
        "element_count": total,
        "unexpected_count": refused,
        "unexpected_percent": _percent(refused, total - missing),
        "partial_unexpected_list": [],
        "missing_count": missing,
        "missing_percent": _percent(missing, total),
        "unexpected_percent_total": _percent(refused, total),
        "unexpected_percent_nonmissing": _percent(refused, total - missing),
    }


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _describe_files(result: Result, column: str, found: Sequence[str]) -> None:
    """Add what broke the rule over a column of the frame to its description, which the page shows."""
    for each in result.results:
        if _meta(each)["column"] == column:
            _add_found(each, "; ".join(found[:_SHOWN]))


def _add_found(each: ExpectationValidationResult, found: str) -> None:
    if found and each.expectation_config:
        each.expectation_config.description = f"{each.expectation_config.description}; found {found}"


def _column_fault(
    row: Mapping[str, Any],
    header: Mapping[str, str],
    required: Iterable[str],
    allowed: Mapping[str, Iterable[str]],
) -> str:
    """What is wrong with a column of a file; empty if nothing is wrong."""
    column = row["column"]
    if not row[suites.TYPE_FITS]:
        kind = f"{column_types.kind(header[column])} ({header[column]})"
        return f"has the type {kind}; allowed are {', '.join(allowed[column])}"
    if row[suites.IS_THERE]:
        return ""
    named = ", ".join(map(_shown, list(header)[:_SHOWN_COLUMNS])) or "none"
    more = f" and {len(header) - _SHOWN_COLUMNS} more" if len(header) > _SHOWN_COLUMNS else ""
    return f"is missing; found are {named}{more}; needed are {', '.join(required)}"


def _shown(column: str) -> str:
    """A column's name, masked and short: in a file without a header, the "name" is somebody's data."""
    characters = "".join(filter(str.isprintable, column))
    return masked(characters[:_SHOWN_CHARACTERS], settings().key)


def _validated(frame: pd.DataFrame, suite: ExpectationSuite, name: str) -> Result:
    """The library's result, in the suite's order; the column `name` identifies the rows of the frame.

    Raises:
        RuntimeError: the library could not evaluate an expectation.
    """
    complete = {"result_format": "COMPLETE", "unexpected_index_column_names": [name]}
    batch = _frames().get_batch({"dataframe": frame})
    result = batch.validate(suite, result_format="BASIC")
    # Listing the failing rows takes half as long again, so it is done only for the broken rules.
    rules = {rule.meta["place"]: rule for rule in suite.expectations if rule.meta}
    result.results = [
        each if each.success else batch.validate(rules[_meta(each)["place"]], result_format=complete)
        for each in result.results
    ]
    for each in result.results:
        if each.expectation_config is None or each.exception_info.get("raised_exception") is not False:
            raise RuntimeError(
                f"{suite.name}: {each.expectation_config} could not be evaluated: {each.exception_info}"
            )
    result.results.sort(key=lambda each: _meta(each)["place"])
    return result


def _meta(each: ExpectationValidationResult) -> dict[str, Any]:
    """The rule's `meta`."""
    return (each.expectation_config.meta if each.expectation_config else None) or {}


@cache
def _frames() -> BatchDefinition:
    """The library's source of pandas frames: one context in memory for each process."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("landing").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")
