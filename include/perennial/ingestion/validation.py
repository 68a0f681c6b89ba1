"""Great Expectations judges: frames and suites in, verdicts out.

A verdict says what broke, in sentences; whoever publishes stops on them (`check`). It also carries the
library's own result, for `data_docs` to keep and show.

Import this module when there is something to judge: the library takes seconds. It runs in memory; nothing is
written by it and nothing is sent.
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

_NAMED = 3
_NAMED_DAYS = 10
_NAMED_COLUMNS, _NAMED_LETTERS = 20, 80


@dataclass(frozen=True)
class RowVerdict:
    """What the row rules say of the patterns.

    reasons: pattern → why rows that look like it are refused, in the suite's order.
    result: the library's, its counts in rows.
    """

    reasons: Mapping[int, tuple[Reason, ...]]
    result: Result


@dataclass(frozen=True)
class ColumnVerdict:
    """What the column rules say of the files of one source.

    sentences: what stops the table; empty if nothing does.
    new: file → the columns that it brings and nothing is made of.
    """

    sentences: tuple[str, ...]
    new: Mapping[str, tuple[str, ...]]
    result: Result


@dataclass(frozen=True)
class Measured:
    """What a landing rule found on a day; `least` and `most` are what it allows, in the unit of `found`."""

    day: date
    rule: str
    column: str
    found: float
    least: float | None
    most: float | None
    broken: bool


@dataclass(frozen=True)
class LandingVerdict:
    """What the landing rules say of each day.

    measured: one for each day and rule that could be judged.
    sentences: what stops the table; broken rules of accepted days are not among them.
    """

    measured: tuple[Measured, ...]
    sentences: tuple[str, ...]
    result: Result


def judge_rows(frame: pd.DataFrame, contract: Contract) -> RowVerdict:
    """Judge patterns: rows that look alike to the suite, each of them once.

    Args:
        frame: the columns of `facts.judged`; `pattern`, the number that the answer names the row by; and
            `rows`, how many rows of the landing look like it.
        contract: the table's.
    """
    judged = frame.reset_index(drop=True)
    result = _validated(judged, suites.row_suite(contract), "pattern")
    weight = dict(zip(judged["pattern"], judged["rows"], strict=True))
    reasons: dict[int, list[Reason]] = {}
    for each in result.results:
        meta = _meta(each)
        refused = [int(row["pattern"]) for row in each.result.get("unexpected_index_list") or ()]
        for pattern in refused:
            reasons.setdefault(pattern, []).append(Reason(meta["code"], meta["column"], meta["sentence"]))
        each.result = _counted(each, judged, sum(int(weight[pattern]) for pattern in refused))
    return RowVerdict({pattern: tuple(found) for pattern, found in reasons.items()}, result)


def judge_columns(
    headers: Mapping[str, Mapping[str, str]], contract: Contract, source: Source, name: str
) -> ColumnVerdict:
    """Files must bring the needed columns, in a type that can become the contract's; new ones are named.

    Args:
        headers: file name → its columns → their types (Arrow's names, or Ibis's); `TEXT_ONLY` for a file
            that has no types.
        contract: the table's.
        source: the source that the files belong to.
        name: its name in `sources.yaml`.
    """
    required, used = source.required(contract), source.used(contract)
    allowed = column_types.allowed(contract, source)
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
    sentences = [
        f"{contract.name}: {row['file']} (source {name}): column {row['column']} {said}"
        for row in rows
        if (said := _about_column(row, headers[str(row["file"])], required, allowed))
    ]
    new: dict[str, tuple[str, ...]] = {}
    for file, columns in headers.items():
        if others := sorted(_shown(column) for column in columns if column not in used):
            new[file] = tuple(others)
    _say(result, suites.IS_USED, [f"{file}: {', '.join(others)}" for file, others in new.items()])
    _say(result, suites.IS_THERE, sentences)
    return ColumnVerdict(tuple(sentences), new, result)


def judge_landings(frame: pd.DataFrame, table: str, rules: Rules) -> LandingVerdict:
    """Judge each day's landing as a whole.

    Args:
        frame: one row a day: `day`, `landed`, `left_out`, `refused` (rows), `share` (refused ÷ landed),
            `usual` (rows, as `usual` computes them), `times` (landed ÷ usual), `age_days` (from the newest
            row's day to the landing's), `null_<column>` for each column of `rules.nulls`, `drift_<column>`
            for each of `rules.drift` (as `stability` computes it), `files` and `reasons` (texts for the
            message). NaN: not judged.
        table: its name.
        rules: the thresholds.
    """
    result = _validated(frame, suites.landing_suite(table, rules), "day")
    days = [{str(name): value for name, value in day.items()} for day in frame.to_dict("records")]
    measured, sentences = [], []
    for each in result.results:
        meta = _meta(each)
        broken = {row["day"] for row in each.result.get("unexpected_index_list") or ()}
        least, most, column = meta["least"], meta["most"], meta["column"]
        for day in days:
            on, found = day["day"], float(day[column])
            if math.isnan(found):
                continue
            measured.append(Measured(on, meta["rule"], column, found, least, most, on in broken))
            if on in broken and on not in rules.accepted_days:
                allowed = {"least": least, "most": most, **_in_rows(day, least, most)}
                said = meta["sentence"].format(**day, **allowed, found=found)
                sentences.append(f"{table}: {on}: {said} ({day['files']}{day['reasons']})")
        _tell(each, days, broken)
    return LandingVerdict(tuple(measured), tuple(sorted(sentences)), result)


def check(sentences: Sequence[str], report: str = "") -> None:
    """Stop if any table rule failed.

    Args:
        sentences: of all verdicts.
        report: the page that shows the results, relative to the reports folder; empty if there is none.

    Raises:
        RefusedTableError: with the first few of the sentences.
    """
    if sentences:
        more = len(sentences) - _NAMED
        said = "; ".join(sentences[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise RefusedTableError(
            f"{said}. Nothing was published. All results: {report} in the reports", report
        )


def usual(counts: Mapping[date, int], day: date, weeks: int, known: int) -> float:
    """The median rows of the same weekday in the weeks before; NaN if fewer than `known` have rows."""
    before = [counts.get(day - timedelta(weeks=week), 0) for week in range(1, weeks + 1)]
    found = [rows for rows in before if rows]
    return float(median(found)) if found and len(found) >= known else math.nan


def stability(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """How far the shares of the values have moved: the population stability index.

    Σ (qᵢ − pᵢ) · ln(qᵢ ÷ pᵢ) over the values i, with the shares p before and q now: the symmetric Kullback–
    Leibler divergence (Jeffreys 1946; as an index of score cards: Siddiqi, Credit Risk Scorecards, 2006,
    which calls less than 0.1 no change and more than 0.25 a considerable one). So that a value that one side
    lacks does not make it infinite, half a row is added to every value on both sides. NaN without rows.
    """
    values = sorted({*before, *now})
    if not sum(before.values()) or not sum(now.values()):
        return math.nan
    p, q = ([(counts.get(value, 0) + 0.5) for value in values] for counts in (before, now))
    shares = zip((part / sum(p) for part in p), (part / sum(q) for part in q), strict=True)
    return sum((there - here) * math.log(there / here) for here, there in shares)


def _tell(each: ExpectationValidationResult, days: Sequence[Mapping[str, Any]], broken: set[date]) -> None:
    """Add what was found to what the rule expects: on the only day, else on the first days that broke it."""
    shown = [day for day in days if day["day"] in broken or len(days) == 1][:_NAMED_DAYS]
    found = [f"{day['day']}: {day[_meta(each)['column']]:g}" for day in shown]
    _add_found(each, ", ".join(found))


def _in_rows(day: Mapping[str, Any], least: float | None, most: float | None) -> dict[str, int]:
    """How many rows the limits of the usual rows are; nothing where that is not known."""
    if least is None or most is None or math.isnan(day.get("usual", math.nan)):
        return {}
    return {"fewest": math.ceil(least * day["usual"]), "largest": math.floor(most * day["usual"])}


def _counted(each: ExpectationValidationResult, frame: pd.DataFrame, refused: int) -> dict[str, Any]:
    """The library's counts, in rows instead of patterns, and without any value that was found."""
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


def _say(result: Result, fact: str, found: Sequence[str]) -> None:
    """Say on the page of the results what broke the rule over a fact."""
    for each in result.results:
        if _meta(each)["column"] == fact:
            _add_found(each, "; ".join(found[:_NAMED]))


def _add_found(each: ExpectationValidationResult, found: str) -> None:
    if found and each.expectation_config:
        each.expectation_config.description = f"{each.expectation_config.description}; found {found}"


def _about_column(
    row: Mapping[str, Any],
    found: Mapping[str, str],
    required: Iterable[str],
    allowed: Mapping[str, Iterable[str]],
) -> str:
    """What is wrong with a column of a file; empty if nothing is."""
    column = row["column"]
    if not row[suites.TYPE_FITS]:
        kind = f"{column_types.kind(found[column])} ({found[column]})"
        return f"has the type {kind}; allowed are {', '.join(allowed[column])}"
    if row[suites.IS_THERE]:
        return ""
    named = ", ".join(map(_shown, list(found)[:_NAMED_COLUMNS])) or "none"
    more = f" and {len(found) - _NAMED_COLUMNS} more" if len(found) > _NAMED_COLUMNS else ""
    return f"is missing; found are {named}{more}; needed are {', '.join(required)}"


def _shown(column: str) -> str:
    """A column's name as it may be shown: in a file without a header it is somebody's data."""
    letters = "".join(filter(str.isprintable, column))
    return masked(letters[:_NAMED_LETTERS], settings().key)


def _validated(frame: pd.DataFrame, suite: ExpectationSuite, name: str) -> Result:
    """The library's result, its parts in the suite's order; `name` names the rows of the frame.

    Raises:
        RuntimeError: the library could not evaluate an expectation.
    """
    wanted = {"result_format": "COMPLETE", "unexpected_index_column_names": [name]}
    batch = _frames().get_batch({"dataframe": frame})
    result = batch.validate(suite, result_format="BASIC")
    # To name the failing rows costs the library half as much again: only of the rules that were broken.
    rules = {rule.meta["place"]: rule for rule in suite.expectations if rule.meta}
    result.results = [
        each if each.success else batch.validate(rules[_meta(each)["place"]], result_format=wanted)
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
    """What the rule says of itself."""
    return (each.expectation_config.meta if each.expectation_config else None) or {}


@cache
def _frames() -> BatchDefinition:
    """Where the library takes pandas frames from: one context in memory for the process."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("landing").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")
