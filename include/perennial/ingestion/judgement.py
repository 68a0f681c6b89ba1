"""Great Expectations judges: frames and suites in, refused rows or a failed table out.

Import this module when there is something to judge: the library takes seconds. It runs in memory; nothing is
written by it and nothing is sent.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations import ExpectationSuite
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from perennial.foundation.contracts import Contract
from perennial.ingestion import expectations
from perennial.ingestion.declarations import Source, column_names
from perennial.ingestion.quarantine import Reason

_NAMED_DAYS = 3


class RefusedTableError(RuntimeError):
    """A table rule failed; the message says which table, day and file, what was found and what is allowed."""


@dataclass(frozen=True)
class Failure:
    """An expectation that was not met: its `meta`, and the rows that did not meet it."""

    meta: dict[str, Any]
    rows: list[dict[str, Any]]


def judge_rows(frame: pd.DataFrame, contract: Contract) -> dict[int, list[Reason]]:
    """The rows that a row rule refuses, each with every reason, in the suite's order.

    Args:
        frame: the columns of `facts.judged`, and `pattern`, the number that the answer names the row by.
        contract: the table's.
    """
    reasons: dict[int, list[Reason]] = {}
    for failure in _judge(frame, expectations.row_suite(contract), "pattern"):
        reason = Reason(**{name: failure.meta[name] for name in ("code", "column", "sentence")})
        for row in failure.rows:
            reasons.setdefault(int(row["pattern"]), []).append(reason)
    return reasons


def judge_columns(headers: Mapping[str, tuple[str, ...]], contract: Contract, source: Source) -> None:
    """Files must bring the required columns and no unknown one. `headers`: file name → its columns.

    Raises:
        RefusedTableError: a file does not.
    """
    suite = expectations.column_suite(contract, source)
    names = column_names(contract, source)
    required = [own for name, own in names.items() if name in contract.required]
    for file, columns in headers.items():
        frame = pd.DataFrame({"column": pd.Series(columns, dtype="str")})
        if _judge(frame, suite, "column"):
            missing, unknown = (
                sorted(set(required) - set(columns)),
                sorted(set(columns) - set(names.values())),
            )
            raise RefusedTableError(
                f"{contract.name}: {file}: missing columns {missing}, unknown columns {unknown}; "
                f"required are {', '.join(required)}; allowed are {', '.join(names.values())}. "
                "Nothing was published."
            )


def judge_landings(frame: pd.DataFrame, table: str, source: Source) -> None:
    """A day's landing must bring enough rows, and not too many that are refused.

    Args:
        frame: one row a day: `day`, `files`, `landed`, `refused` (rows), `share` (refused ÷ landed),
            `reasons` (the commonest, in words).
        table: its name.
        source: the thresholds.

    Raises:
        RefusedTableError: a day does not; the first such days are named.
    """
    days = frame.set_index("day")
    sentences = []
    for failure in _judge(frame, expectations.landing_suite(table, source), "day"):
        for row in failure.rows:
            found = days.loc[row["day"]]
            said = failure.meta["sentence"].format(**found)
            sentences.append(f"{table}: {row['day']}: {said} ({found['files']}{found['reasons']})")
    if sentences:
        more = f"; and {len(sentences) - _NAMED_DAYS} more days" if len(sentences) > _NAMED_DAYS else ""
        raise RefusedTableError(f"{'; '.join(sorted(sentences)[:_NAMED_DAYS])}{more}. Nothing was published.")


def _judge(frame: pd.DataFrame, suite: ExpectationSuite, name: str) -> list[Failure]:
    """The expectations that the frame does not meet, in the suite's order; `name` names its rows.

    Raises:
        RuntimeError: the library could not evaluate an expectation.
    """
    wanted = {"result_format": "COMPLETE", "unexpected_index_column_names": [name]}
    failures = []
    for result in _frames().get_batch({"dataframe": frame}).validate(suite, result_format=wanted).results:
        rule, trouble = result.expectation_config, result.exception_info
        if rule is None or trouble.get("raised_exception") is not False:
            raise RuntimeError(f"{suite.name}: {rule} could not be evaluated: {trouble}")
        if not result.success:
            failures.append(Failure(rule.meta or {}, result.result.get("unexpected_index_list") or []))
    return sorted(failures, key=lambda failure: failure.meta["place"])


@cache
def _frames() -> BatchDefinition:
    """Where the library takes pandas frames from: one context in memory for the process."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("landing").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")
