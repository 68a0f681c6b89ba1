"""Data Docs: the results of each rule for each landing, stored and shown as self-contained pages.

In the reports folder there is a folder for each period that was judged together (most often one day):

    data_docs/index.html                    all periods and tables: passed, warned or stopped
    data_docs/quarantine.html               quarantined and replayed rows, by table, reason and day
    data_docs/2017-12-01/index.html         one period: the broken rules, with numbers of rows
    data_docs/2017-12-01/events.html        one table: Great Expectations' own validation page
    data_docs/2017-12-01/events.json        the validation result itself, as Great Expectations writes it
    data_docs/2017-12-01/summary.json       the content of the two indexes; written last

The library's renderers make the content of a table's page. The frame around it and the index are ours: the
library's load styles and scripts from other servers, and its index reads every stored result. Names and
contents do not depend on the clock, so the same period writes the same files again. No value of a landed row
is stored, except values of closed sets, and of these only that they were refused.
"""

import html
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape

from perennial.foundation import contracts

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult as Result
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.render.view import DefaultJinjaPageView

FOLDER = "data_docs"
_TEMPLATES = Path(__file__).parent / "templates"
_SUMMARY = "summary.json"
_QUARANTINE = "quarantine.html"
_SHOWN_DAYS = 60
_LANDING = "The landing as a whole"
_NO_SUITE_PAGE = re.compile(r'<a href="[./]*/expectations/[^"]*" *>(.*?)</a>')
"""A link of the library to a suite's page. We do not make these pages: the table's page shows the rules."""


class Status(StrEnum):
    """The result of a table's landing."""

    PASSED = "passed"
    WARNED = "warned"
    STOPPED = "stopped"


def write_pages(
    reports: Path,
    results: "Mapping[str, Sequence[Result]]",
    first: date,
    last: date,
    stopped: Collection[str] = (),
) -> str:
    """Store the results of a period and write its pages; earlier ones of the same period are replaced.

    Args:
        reports: the folder of the published pages.
        results: for each table that landed, the results of its column, row and landing rules.
        first: the first day of the period.
        last: its last day. All days of the period share one page for each table.
        stopped: the tables that stopped the period, because a rule was broken.

    Returns:
        The period's page, relative to the reports folder.
    """
    name = first.isoformat() if first == last else f"{first}_{last}"
    folder = reports / FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    tables = {}
    for table, parts in results.items():
        merged = _merged(table, parts, name, last)
        merged.success = table not in stopped
        tables[table] = _summary(merged)
        write(folder / f"{table}.json", json.dumps(merged.to_json_dict(), indent=1, ensure_ascii=False))
        write(folder / f"{table}.html", page(merged))
    period = {"name": name, "first": first.isoformat(), "last": last.isoformat(), "tables": tables}
    write(folder / "index.html", templates().get_template("data_docs_day.html.j2").render(period=period))
    write(folder / _SUMMARY, json.dumps(period, indent=1, ensure_ascii=False))
    for table in set(contracts.LANDED_TABLES) - set(tables):
        for ending in (".html", ".json"):
            (folder / f"{table}{ending}").unlink(missing_ok=True)
    build_index(reports)
    return f"{FOLDER}/{name}/index.html"


def write_quarantine_page(reports: Path, rows: ir.Table) -> str:
    """Write the page that counts refused rows; return its path, relative to the reports folder.

    Args:
        reports: the folder of the published pages.
        rows: the table `quarantine`.
    """
    replayed = rows.replayed_on.notnull().sum()
    tables = rows.group_by("table").agg(rows=rows.count(), replayed=replayed)
    by_reason = rows.mutate(reason=rows.reasons.unnest())
    by_reason = by_reason.mutate(reason=by_reason.reason.split(":")[0])
    grouped = by_reason.group_by("table", "reason", "landed_on").agg(
        rows=by_reason.count(), replayed=by_reason.replayed_on.notnull().sum()
    )
    ranked = grouped.mutate(_age=ibis.dense_rank().over(order_by=ibis.desc(grouped.landed_on)))
    days = ranked.filter(ranked._age < _SHOWN_DAYS).drop("_age")
    reasons = grouped.group_by("table", "reason").agg(
        rows=grouped.rows.sum(),
        replayed=grouped.replayed.sum(),
        first=grouped.landed_on.min(),
        last=grouped.landed_on.max(),
    )
    text = (
        templates()
        .get_template("data_docs_quarantine.html.j2")
        .render(
            tables=tables.order_by("table").to_pyarrow().to_pylist(),
            reasons=reasons.order_by("table", ibis.desc("rows"), "reason").to_pyarrow().to_pylist(),
            days=days.order_by(ibis.desc("landed_on"), "table", "reason").to_pyarrow().to_pylist(),
            shown_days=_SHOWN_DAYS,
        )
    )
    (reports / FOLDER).mkdir(parents=True, exist_ok=True)
    write(reports / FOLDER / _QUARANTINE, text)
    return f"{FOLDER}/{_QUARANTINE}"


def build_index(reports: Path) -> None:
    """Write the index of all stored periods; one that another process adds meanwhile is not lost."""
    indexed: list[Path] | None = None
    while (summaries := sorted((reports / FOLDER).glob(f"*/{_SUMMARY}"), reverse=True)) != indexed:
        periods = [json.loads(path.read_text(encoding="utf-8")) for path in summaries]
        periods.sort(key=lambda period: (period["last"], period["first"]), reverse=True)
        tables = list(dict.fromkeys(table for period in periods for table in period["tables"]))
        template = templates().get_template("data_docs_index.html.j2")
        quarantine = _QUARANTINE if (reports / FOLDER / _QUARANTINE).exists() else ""
        text = template.render(periods=periods, tables=tables, quarantine=quarantine)
        write(reports / FOLDER / "index.html", text)
        indexed = summaries


def page(whole: "Result") -> str:
    """One table's validation page, by the library's own renderer."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    shown = deepcopy(whole)
    for each in shown.results:
        _readable(each)
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(shown)
    text: str = _view().render(document, days=whole.meta["batch_spec"]["data_asset_name"])
    return "\n".join(line.strip() for line in _NO_SUITE_PAGE.sub(r"\1", text).splitlines() if line.strip())


def _merged(table: str, parts: "Iterable[Result]", name: str, last: date) -> "Result":
    """One result for all rules of the table, with its days in place of the time of the run."""
    from great_expectations.core import ExpectationSuiteValidationResult

    parts = list(parts)
    results = [_plain(each) for part in parts for each in part.results]
    passed = sum(bool(each.success) for each in results)
    return ExpectationSuiteValidationResult(
        success=passed == len(results),
        results=results,
        suite_name=table,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": 100 * passed / len(results) if results else None,
        },
        meta={
            "great_expectations_version": next(
                (part.meta["great_expectations_version"] for part in parts), None
            ),
            "batch_spec": {"data_asset_name": f"landing of {name.replace('_', ' to ')}"},
            "run_id": {"run_name": name, "run_time": f"{last.isoformat()}T00:00:00+00:00"},
        },
    )


def _plain(each: "ExpectationValidationResult") -> "ExpectationValidationResult":
    """A copy without the library's duplicate lists."""
    kept = ("element_count", "missing_count", "missing_percent", "unexpected_count", "unexpected_percent")
    more = ("unexpected_percent_total", "unexpected_percent_nonmissing", "partial_unexpected_counts")
    copy = deepcopy(each)
    copy.result = {name: each.result[name] for name in (*kept, *more) if name in each.result}
    copy.result["partial_unexpected_list"] = each.result.get("partial_unexpected_list", [])
    if "rule" in _meta(each):
        # The description of a landing rule has the values, with their days.
        copy.result |= {"partial_unexpected_counts": [], "partial_unexpected_list": []}
    if copy.expectation_config is not None:
        copy.expectation_config.kwargs.pop("batch_id", None)
    return copy


def _readable(each: "ExpectationValidationResult") -> None:
    """Prepare a result for the page: under the column that the rule is about, with all values escaped."""
    rule = each.expectation_config
    if rule is None:
        return
    meta = _meta(each)
    column = _LANDING if "rule" in meta else meta.get("column", "")
    rule.kwargs["column"] = html.escape(str(column))
    rule.description = html.escape(rule.description or "")
    each.result["partial_unexpected_counts"] = [
        {"value": _escaped(counted["value"]), "count": counted["count"]}
        for counted in each.result.get("partial_unexpected_counts", ())
    ]
    each.result["partial_unexpected_list"] = [
        _escaped(value) for value in each.result.get("partial_unexpected_list", ())
    ]


def _escaped(value: object) -> object:
    return html.escape(value) if isinstance(value, str) else value


def _status(whole: "Result") -> Status:
    if not whole.success:
        return Status.STOPPED
    return Status.WARNED if whole.statistics["unsuccessful_expectations"] else Status.PASSED


def _summary(whole: "Result") -> dict[str, Any]:
    """The table's entry in the indexes: status, number of rows, each broken rule with its number of rows."""
    judged = [(each.result, _meta(each)) for each in whole.results]
    rows = [result.get("element_count", 0) for result, meta in judged if "code" in meta]
    broken = [_broken(each, stopped=not whole.success) for each in whole.results if not each.success]
    return {
        "status": _status(whole).value,
        "rules": len(judged),
        "rows": max(rows, default=None),
        "broken": sorted(broken, key=lambda rule: not rule["stops"]),
    }


def _broken(each: "ExpectationValidationResult", *, stopped: bool) -> dict[str, Any]:
    """A broken rule in words, and the number of rows that broke it if it is a row rule."""
    meta, rule = _meta(each), each.expectation_config
    values = ", ".join(str(value) for value in each.result["partial_unexpected_list"] if value is not None)
    text = (
        meta.get("code") or f"{meta.get('broken') or (rule and rule.description)}{values and f': {values}'}"
    )
    return {
        "rule": text,
        "rows": each.result["unexpected_count"] if "code" in meta else None,
        "stops": stopped and rule is not None and rule.severity == "critical",
    }


def _meta(each: "ExpectationValidationResult") -> dict[str, Any]:
    """The rule's `meta`."""
    return (each.expectation_config.meta if each.expectation_config else None) or {}


@cache
def templates() -> Environment:
    """The pages' templates. They escape all values."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(default_for_string=True, default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _view() -> "DefaultJinjaPageView":
    """The library's view; our templates come before its own of the same name."""
    from great_expectations.render.view import DefaultJinjaPageView

    view = DefaultJinjaPageView()
    view.env.loader = ChoiceLoader([FileSystemLoader(_TEMPLATES), *filter(None, [view.env.loader])])
    return view


def write(path: Path, text: str) -> None:
    """Write the whole file or nothing: a reader never sees half a page."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
