"""What is expected of each table, as Great Expectations suites.

*Row rules* judge every row of a landing; a row that fails goes to quarantine with all its reasons. *Column
rules* judge what columns the files bring, and *landing rules* a day's landing as a whole; one that fails
stops the table. The row rules that need more than the row itself (is the id repeated, is the item known) are
boolean columns that `facts` computed.

Each rule carries in its `meta` what is said when it fails, and in its description what it expects, in words.
Of a row rule the meta has a code that can be counted (`quantity out of range`), the column, and a sentence
with a place for the value found there. Row rules have the severity "warning": the rest is published.

Great Expectations takes seconds to import: import this module when there is something to judge.
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
"""Columns of the frame that `column_suite` judges."""
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
    """The row rules of a table, over the columns of `facts.judged`."""
    rules = [
        *_contract_rules(contract),
        *_RULES.get(contract.name, _none)(),
        *map(_within, value_ranges.limits(contract)),
    ]
    return _suite(f"{contract.name} rows", rules)


def row_codes(contract: Contract) -> dict[str, str]:
    """Every code that a row of the table can be refused with → its column, in the suite's order."""
    rules = sorted(row_suite(contract).expectations, key=lambda rule: (rule.meta or {})["place"])
    return {rule.meta["code"]: rule.meta["column"] for rule in rules if rule.meta}


def column_suite(table: str, required: Iterable[str]) -> ExpectationSuite:
    """What columns the files must and may bring, over a frame with one row for each file and column.

    Args:
        table: its name.
        required: the columns that each file must have.
    """
    says = {
        IS_THERE: (_STOPS, f"every file brings {', '.join(required)}"),
        TYPE_FITS: (_STOPS, "every column that is used has a type that can become the contract's"),
        IS_USED: (_WARNS, "no file brings a column that nothing is made of (it is ignored)"),
    }
    return _suite(
        f"{table} columns",
        [
            gxe.ExpectColumnValuesToBeInSet(
                column=fact, value_set=[True], severity=severity, description=said, meta={"column": fact}
            )
            for fact, (severity, said) in says.items()
        ],
    )


def landing_suite(table: str, rules: Rules) -> ExpectationSuite:
    """What a day's landing must be as a whole, over the frame that `judgement.judge_landings` describes."""
    return _suite(f"{table} landings", _landing_rules(rules))


def _landing_rules(rules: Rules) -> Iterator[Expectation]:
    found = "found {landed:,} rows"
    yield _landing(
        "least_rows", "landed", f"{found}; allowed are at least {{least:,}}", least=rules.least_rows
    )
    yield _landing(
        "refused",
        "share",
        "found {refused:,} of {landed:,} rows refused ({found:.1%}); allowed are at most {most:.1%}",
        most=rules.refused.share,
        condition=Column("refused") > rules.refused.rows,
    )
    if rules.usual:
        said = (
            f"{found}; usual on this weekday are {{usual:,.0f}} (median of the last {rules.usual.weeks} "
            "weeks); allowed are {fewest:,} to {largest:,}"
        )
        yield _landing("usual", "times", said, least=rules.usual.least, most=rules.usual.most)
    for column, share in rules.nulls.items():
        said = f"found {{found:.1%}} of {{landed:,}} rows without {column}; allowed are at most {{most:.1%}}"
        yield _landing(f"nulls of {column}", f"null_{column}", said, most=share)
    if rules.newest_within_days is not None:
        said = "the newest row happened {found:.0f} days before the landing; allowed are at most {most}"
        yield _landing("newest_within_days", "age_days", said, most=rules.newest_within_days)
    if rules.drift:
        for column in rules.drift.columns:
            said = (
                f"found other shares of the values of {column} than in the {rules.drift.days} days before "
                "(population stability index {found:.2f}); allowed is at most {most}"
            )
            yield _landing(f"drift of {column}", f"drift_{column}", said, most=rules.drift.most)


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
        description=f"{rule}: {column} is {_between_words(least, most)}",
        meta={"rule": rule, "column": column, "least": least, "most": most, "sentence": sentence},
    )


def _contract_rules(contract: Contract) -> Iterator[Expectation]:
    """What the contract itself says: required, of a type, how long, of which values, known, unique."""
    longest = value_ranges.longest_texts(contract)
    for column in delivered(contract):
        if column in contract.required:
            yield _is_true(given(column), column, "missing", "it is required")
        kind = contract.schema.field(column).type
        if kind in _KINDS:
            yield _is_true(readable(column), column, "unreadable", f"{{found}} is no {_KINDS[kind]}")
        if column in longest:
            said = f"it has more than {longest[column]:,} characters"
            yield _is_true(row_checks.short(column), column, "too long", said)
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
        said = f"{{found}} is {later} the day it landed"
        yield _is_true(row_checks.IN_TIME, OCCURRENCE[contract.name], "too late", said)


def _event_rules() -> Iterator[Expectation]:
    for column in row_checks.REQUIRED_FOR_TRADE:
        yield _is_true(given(column), column, "missing", "a purchase or return needs it", _TRADE)


def _user_rules() -> Iterator[Expectation]:
    yield _is_true(row_checks.ZONE_KNOWN, "time_zone", "not allowed", "{found} is no IANA time zone")
    others = f"{{found}} names others than {', '.join(contracts.CHANNELS)}"
    yield _is_true(row_checks.CONSENTS_ALLOWED, "consents", "not allowed", others)


def _contact_rules() -> Iterator[Expectation]:
    """The sentences have no place for what was found: it may be somebody's address, misspelt."""
    for column, what in _CONTACTS.items():
        yield _is_true(row_checks.wellformed(column), column, "malformed", f"it does not look like a {what}")
    ways = ", ".join(_CONTACTS)
    yield _is_true(row_checks.REACHABLE, "customer_id", "unreachable", f"none of {ways} is given")


def _campaign_rules() -> Iterator[Expectation]:
    for earlier, later in row_checks.DAYS_IN_ORDER:
        yield _is_true(row_checks.in_order(later), later, "out of order", f"{{found}} is before {earlier}")


def _none() -> Iterator[Expectation]:
    yield from ()


_RULES = {
    "events": _event_rules,
    "users": _user_rules,
    "contacts": _contact_rules,
    "campaigns": _campaign_rules,
}


def _is_true(fact: str, column: str, code: str, sentence: str, of: tuple[str, ...] = ()) -> Expectation:
    said = _row_rule(column, code, sentence, of)
    return gxe.ExpectColumnValuesToBeInSet(column=fact, value_set=[True], **said)


def _in_set(column: str, allowed: Iterable[str], sentence: str) -> Expectation:
    said = _row_rule(column, "not allowed", sentence)
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(allowed), **said)


def _within(limit: Limit) -> Expectation:
    sentence = f"{{found}} is not {_between_words(limit.least, limit.most)}"
    said = _row_rule(limit.column, "out of range", sentence, limit.event_types)
    return gxe.ExpectColumnValuesToBeBetween(
        column=limit.column, min_value=limit.least, max_value=limit.most, **said
    )


def _row_rule(column: str, code: str, sentence: str, of: tuple[str, ...] = ()) -> dict[str, Any]:
    """What every row rule has beside its column and limits; `of` names the events that it is for."""
    whole, said = f"{column} {code}", sentence.replace("{found}", "the value")
    return {
        "severity": _WARNS,
        "row_condition": Column("event_type").is_in(list(of)) if of else None,
        "description": f"no {' or '.join(of) or 'row'} with {whole}: {said}",
        "meta": {"code": whole, "column": column, "sentence": sentence, "event_types": list(of)},
    }


def _between_words(least: float | None, most: float | None) -> str:
    ends = (("at least", least), ("at most", most))
    return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def _suite(name: str, rules: Iterable[Expectation]) -> ExpectationSuite:
    """The library answers in an order of its own: each rule remembers its place."""
    numbered = list(rules)
    for place, rule in enumerate(numbered):
        rule.meta = {**(rule.meta or {}), "place": place}
    return ExpectationSuite(name, expectations=numbered)
