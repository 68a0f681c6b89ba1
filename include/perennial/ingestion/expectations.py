"""What is expected of each table, as Great Expectations suites.

*Row rules* judge every row of a landing; a row that fails goes to quarantine with all its reasons. *Table
rules* judge a file's columns and a day's landing as a whole; one that fails stops the table. The rules that
need more than the row itself (is the id repeated, is the item known) are boolean columns that `facts`
computed.

Each row rule carries in its `meta` what quarantine says of a row that fails: a code that can be counted
(`quantity out of range`), the column, and a sentence with a place for the value found there.

Great Expectations takes seconds to import: import this module when there is something to judge.
"""

from collections.abc import Iterable, Iterator

import great_expectations.expectations as gxe
from great_expectations import ExpectationSuite
from great_expectations.expectations import Expectation
from great_expectations.expectations.row_conditions import Column, RowConditionType

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.ingestion import facts
from perennial.ingestion.declarations import OCCURRENCE, Source, column_names, delivered
from perennial.ingestion.normalise import given, readable

_KINDS = {
    contracts.INT: "whole number",
    contracts.MONEY: "amount of money",
    contracts.REAL: "number",
    contracts.DAY: "date",
    contracts.INSTANT: "point in time",
    contracts.FLAG: "truth value",
    contracts.TEXTS: "list of texts",
}


def row_suite(contract: Contract) -> ExpectationSuite:
    """The row rules of a table, over the columns of `facts.judged`."""
    return _suite(contract.name, [*_contract_rules(contract), *_RULES[contract.name]()])


def column_suite(contract: Contract, source: Source) -> ExpectationSuite:
    """What columns a file must and may bring, over a frame with one row for each column of the file."""
    names = column_names(contract, source)
    required = [own for name, own in names.items() if name in contract.required]
    return _suite(
        f"{contract.name} columns",
        [
            gxe.ExpectColumnValuesToBeInSet(column="column", value_set=list(names.values()), meta={}),
            gxe.ExpectColumnDistinctValuesToContainSet(column="column", value_set=required, meta={}),
        ],
    )


def landing_suite(table: str, source: Source) -> ExpectationSuite:
    """What a day's landing must be, over a frame with one row a day: `landed`, `refused`, `share`."""
    few = f"found {{landed}} rows; allowed are at least {source.least_rows}"
    many = f"found {{share:.1%}} of {{landed}} rows refused; allowed are at most {source.refused.share:.1%}"
    return _suite(
        f"{table} landings",
        [
            gxe.ExpectColumnValuesToBeBetween(
                column="landed", min_value=source.least_rows, meta={"sentence": few}
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="share",
                max_value=source.refused.share,
                row_condition=Column("refused") > source.refused.rows,
                meta={"sentence": many},
            ),
        ],
    )


def _contract_rules(contract: Contract) -> Iterator[Expectation]:
    """What the contract itself says: required, of which type, one of which values, known, unique."""
    for column in delivered(contract):
        if column in contract.required:
            yield _is_true(given(column), column, "missing", "it is required")
        kind = contract.schema.field(column).type
        if kind in _KINDS:
            yield _is_true(readable(column), column, "unreadable", f"{{found}} is no {_KINDS[kind]}")
        allowed = contract.allowed(column)
        if allowed and kind == contracts.TEXT:
            yield _in_set(column, allowed, f"{{found}} is none of {', '.join(allowed)}")
    for column in facts.refers_to(contract.name):
        yield _is_true(facts.known(column), column, "unknown", "{found} was not known on the day it landed")
    yield _is_true(facts.UNIQUE, contract.key[0], "repeated", "{found} came before in this landing")
    if contract.name in facts.MUST_BE_PAST:
        happened = OCCURRENCE[contract.name]
        yield _is_true(facts.IN_TIME, happened, "too late", "{found} is after the day it landed")


def _event_rules() -> Iterator[Expectation]:
    kind = Column("event_type")
    purchase, trade = kind == "purchase", kind.is_in(["purchase", "return"])
    for column in facts.NEEDED_BY_TRADE:
        yield _is_true(given(column), column, "missing", "a purchase or return needs it", trade)
    yield _at_least(1, "quantity", purchase)
    yield _at_least(0, "revenue", purchase)
    yield _between("revenue", None, 0, kind == "return")
    for column in ("unit_price", "shelf_discount", "coupon_discount"):
        yield _at_least(0, column)


def _item_rules() -> Iterator[Expectation]:
    yield _at_least(0, "price")
    yield _at_least(0, "unit_cost")


def _user_rules() -> Iterator[Expectation]:
    yield _is_true(facts.ZONE_KNOWN, "time_zone", "not allowed", "{found} is no IANA time zone")
    others = f"{{found}} names others than {', '.join(contracts.CHANNELS)}"
    yield _is_true(facts.CONSENTS_ALLOWED, "consents", "not allowed", others)


def _campaign_rules() -> Iterator[Expectation]:
    yield _in_order("starts_on", "ends_on")
    yield _in_order("ends_on", "measured_until")


def _assignment_rules() -> Iterator[Expectation]:
    yield _between("propensity", 0, 1)


_RULES = {
    "events": _event_rules,
    "items": _item_rules,
    "users": _user_rules,
    "campaigns": _campaign_rules,
    "assignments": _assignment_rules,
}


def _is_true(
    fact: str, column: str, code: str, sentence: str, condition: RowConditionType = None
) -> Expectation:
    meta = _meta(column, code, sentence)
    return gxe.ExpectColumnValuesToBeInSet(column=fact, value_set=[True], row_condition=condition, meta=meta)


def _in_set(column: str, allowed: Iterable[str], sentence: str) -> Expectation:
    meta = _meta(column, "not allowed", sentence)
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(allowed), meta=meta)


def _at_least(least: float, column: str, condition: RowConditionType = None) -> Expectation:
    return _between(column, least, None, condition)


def _between(
    column: str, least: float | None, most: float | None, condition: RowConditionType = None
) -> Expectation:
    limits = [
        f"{word} {limit}" for word, limit in (("at least", least), ("at most", most)) if limit is not None
    ]
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=least,
        max_value=most,
        row_condition=condition,
        meta=_meta(column, "out of range", f"{{found}} is not {' and '.join(limits)}"),
    )


def _in_order(earlier: str, later: str) -> Expectation:
    return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=later,
        column_B=earlier,
        or_equal=True,
        ignore_row_if="either_value_is_missing",
        meta=_meta(later, "out of order", f"{{found}} is before {earlier}"),
    )


def _meta(column: str, code: str, sentence: str) -> dict[str, str]:
    return {"code": f"{column} {code}", "column": column, "sentence": sentence}


def _suite(name: str, rules: Iterable[Expectation]) -> ExpectationSuite:
    """The library answers in an order of its own: each rule remembers its place."""
    numbered = list(rules)
    for place, rule in enumerate(numbered):
        rule.meta = {**(rule.meta or {}), "place": place}
    return ExpectationSuite(name, expectations=numbered)
