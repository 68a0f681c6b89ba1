"""The rules of each table, as Great Expectations suites.

*Row rules* check every row of a landing; a row that fails goes to quarantine with all its reasons. *Column
rules* check the columns of the files, and *landing rules* a day's landing as a whole; a broken one stops the
table. The row rules that need more than the row (is the id repeated, is the item known) read the boolean
columns of `row_checks`.

The description of a rule says in words what it expects; its `meta` has the message for a failure. The meta of
a row rule has a code to count by (`quantity out of range`), the column, and a sentence in which `{found}`
stands for the value. Row rules have the severity "warning": the other rows are published.

Import this module only when it is needed: Great Expectations takes seconds to import.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import great_expectations.expectations as gxe
from great_expectations import ExpectationSuite
from great_expectations.expectations import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.row_conditions import Column, RowConditionType

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.ingestion import row_checks, value_ranges
from perennial.ingestion.normalise import given, readable
from perennial.ingestion.source_settings import AHEAD_DAYS, OCCURRENCE, Rules, delivered
from perennial.ingestion.value_ranges import Limit

IS_THERE, TYPE_FITS, IS_USED = "is there", "type fits", "is used"
"""Columns of the frame that `column_suite` checks."""
_TRADE = ("purchase", "return")
_KINDS = {
    contracts.INT: "whole number",
    contracts.MONEY: "amount of money",
    contracts.REAL: "number",
    contracts.DAY: "date",
    contracts.INSTANT: "point in time",
    contracts.FLAG: "truth value",
    contracts.TEXTS: "list of texts",
}
_CONTACTS = {"email": "e-mail address", "phone": "telephone number", "push_token": "push token"}
_STOPS, _WARNS = FailureSeverity.CRITICAL, FailureSeverity.WARNING


def row_suite(contract: Contract) -> ExpectationSuite:
    """The row rules of a table, for the frame of `row_checks.decoded`."""
    rules = [
        *_contract_rules(contract),
        *_RULES.get(contract.name, _no_rules)(),
        *map(_within, value_ranges.limits(contract)),
    ]
    return _suite(f"{contract.name} rows", rules)


def row_codes(contract: Contract) -> dict[str, str]:
    """Code that a row of the table can be refused with → its column, in the suite's order."""
    rules = sorted(row_suite(contract).expectations, key=lambda rule: (rule.meta or {})["place"])
    return {rule.meta["code"]: rule.meta["column"] for rule in rules if rule.meta}


def column_suite(table: str, required: Iterable[str]) -> ExpectationSuite:
    """The column rules of a table, for a frame with one row for each file and column.

    Args:
        table: the table's name.
        required: the columns that each file must have.
    """
    rules = {
        IS_THERE: (_STOPS, f"every file brings {', '.join(required)}"),
        TYPE_FITS: (_STOPS, "every column that is used has a type that can become the contract's"),
        IS_USED: (_WARNS, "no file brings a column that nothing is made of (it is ignored)"),
    }
    return _suite(
        f"{table} columns",
        [
            gxe.ExpectColumnValuesToBeInSet(
                column=column,
                value_set=[True],
                severity=severity,
                description=description,
                meta={"column": column},
            )
            for column, (severity, description) in rules.items()
        ],
    )


def landing_suite(table: str, rules: Rules) -> ExpectationSuite:
    """The landing rules of a table, for the frame that `validation.judge_landings` describes."""
    return _suite(f"{table} landings", _landing_rules(rules))


def _landing_rules(rules: Rules) -> Iterator[Expectation]:
    found_rows = "found {landed:,} rows"
    yield _landing(
        "least_rows", "landed", f"{found_rows}; allowed are at least {{least:,}}", least=rules.least_rows
    )
    yield _landing(
        "refused",
        "share",
        "found {refused:,} of {landed:,} rows refused ({found:.1%}); allowed are at most {most:.1%}",
        most=rules.refused.share,
        condition=Column("refused") > rules.refused.rows,
    )
    if rules.usual:
        sentence = (
            f"{found_rows}; usual on this weekday are {{usual:,.0f}} (median of the last {rules.usual.weeks} "
            "weeks); allowed are {fewest:,} to {largest:,}"
        )
        yield _landing("usual", "times", sentence, least=rules.usual.least, most=rules.usual.most)
    for column, share in rules.nulls.items():
        sentence = (
            f"found {{found:.1%}} of {{landed:,}} rows without {column}; allowed are at most {{most:.1%}}"
        )
        yield _landing(f"nulls of {column}", f"null_{column}", sentence, most=share)
    if rules.newest_within_days is not None:
        sentence = "the newest row happened {found:.0f} days before the landing; allowed are at most {most}"
        yield _landing("newest_within_days", "age_days", sentence, most=rules.newest_within_days)
    if rules.drift:
        for column in rules.drift.columns:
            sentence = (
                f"found other shares of the values of {column} than in the {rules.drift.days} days before "
                "(population stability index {found:.2f}); allowed is at most {most}"
            )
            yield _landing(f"drift of {column}", f"drift_{column}", sentence, most=rules.drift.most)


def _landing(
    rule: str,
    column: str,
    sentence: str,
    *,
    least: float | None = None,
    most: float | None = None,
    condition: RowConditionType = None,
) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=least,
        max_value=most,
        row_condition=condition,
        severity=_STOPS,
        description=f"{rule}: {column} is {_limits_in_words(least, most)}",
        meta={"rule": rule, "column": column, "least": least, "most": most, "sentence": sentence},
    )


def _contract_rules(contract: Contract) -> Iterator[Expectation]:
    """The rules that follow from the contract: required, typed, short enough, allowed, known, unique."""
    longest = value_ranges.longest_texts(contract)
    for column in delivered(contract):
        if column in contract.required:
            yield _is_true(given(column), column, "missing", "it is required")
        kind = contract.schema.field(column).type
        if kind in _KINDS:
            yield _is_true(readable(column), column, "unreadable", f"{{found}} is no {_KINDS[kind]}")
        if column in longest:
            sentence = f"it has more than {longest[column]:,} characters"
            yield _is_true(row_checks.short(column), column, "too long", sentence)
        allowed = contract.allowed(column)
        if allowed and kind == contracts.TEXT:
            yield _in_set(column, allowed, f"{{found}} is none of {', '.join(allowed)}")
    for column in row_checks.refers_to(contract.name):
        yield _is_true(
            row_checks.known(column), column, "unknown", "{found} was not known on the day it landed"
        )
    yield _is_true(row_checks.UNIQUE, contract.key[0], "repeated", "{found} came before in this landing")
    if contract.name in AHEAD_DAYS:
        days = AHEAD_DAYS[contract.name]
        later = f"more than {days} days after" if days else "after"
        sentence = f"{{found}} is {later} the day it landed"
        yield _is_true(row_checks.IN_TIME, OCCURRENCE[contract.name], "too late", sentence)


def _event_rules() -> Iterator[Expectation]:
    for column in row_checks.REQUIRED_FOR_TRADE:
        yield _is_true(given(column), column, "missing", "a purchase or return needs it", _TRADE)


def _user_rules() -> Iterator[Expectation]:
    yield _is_true(row_checks.ZONE_KNOWN, "time_zone", "not allowed", "{found} is no IANA time zone")
    sentence = f"{{found}} names others than {', '.join(contracts.CHANNELS)}"
    yield _is_true(row_checks.CONSENTS_ALLOWED, "consents", "not allowed", sentence)


def _contact_rules() -> Iterator[Expectation]:
    """The sentences do not show the value: it may be somebody's address, misspelt."""
    for column, name in _CONTACTS.items():
        yield _is_true(row_checks.wellformed(column), column, "malformed", f"it does not look like a {name}")
    columns = ", ".join(_CONTACTS)
    yield _is_true(row_checks.REACHABLE, "customer_id", "unreachable", f"none of {columns} is given")


def _campaign_rules() -> Iterator[Expectation]:
    for earlier, later in row_checks.DAYS_IN_ORDER:
        yield _is_true(row_checks.in_order(later), later, "out of order", f"{{found}} is before {earlier}")


def _no_rules() -> Iterator[Expectation]:
    yield from ()


_RULES = {
    "events": _event_rules,
    "users": _user_rules,
    "contacts": _contact_rules,
    "campaigns": _campaign_rules,
}


def _is_true(
    check: str, column: str, code: str, sentence: str, event_types: tuple[str, ...] = ()
) -> Expectation:
    """The rule that the boolean column `check` is true; `column` is the contract column that it is about."""
    common = _row_rule(column, code, sentence, event_types)
    return gxe.ExpectColumnValuesToBeInSet(column=check, value_set=[True], **common)


def _in_set(column: str, allowed: Iterable[str], sentence: str) -> Expectation:
    common = _row_rule(column, "not allowed", sentence)
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(allowed), **common)


def _within(limit: Limit) -> Expectation:
    sentence = f"{{found}} is not {_limits_in_words(limit.least, limit.most)}"
    common = _row_rule(limit.column, "out of range", sentence, limit.event_types)
    return gxe.ExpectColumnValuesToBeBetween(
        column=limit.column, min_value=limit.least, max_value=limit.most, **common
    )


def _row_rule(column: str, code: str, sentence: str, event_types: tuple[str, ...] = ()) -> dict[str, Any]:
    """The arguments that all row rules have; with `event_types`, the rule is only for these events."""
    full_code, explanation = f"{column} {code}", sentence.replace("{found}", "the value")
    return {
        "severity": _WARNS,
        "row_condition": Column("event_type").is_in(list(event_types)) if event_types else None,
        "description": f"no {' or '.join(event_types) or 'row'} with {full_code}: {explanation}",
        "meta": {"code": full_code, "column": column, "sentence": sentence, "event_types": list(event_types)},
    }


def _limits_in_words(least: float | None, most: float | None) -> str:
    ends = (("at least", least), ("at most", most))
    return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def _suite(name: str, rules: Iterable[Expectation]) -> ExpectationSuite:
    """The suite. Each rule stores its place, because the library returns results in its own order."""
    ordered = list(rules)
    for place, rule in enumerate(ordered):
        rule.meta = {**(rule.meta or {}), "place": place}
    return ExpectationSuite(name, expectations=ordered)
