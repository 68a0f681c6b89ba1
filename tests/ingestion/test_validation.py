"""Verdicts: each refused row with all its reasons, counts in rows, sentences with the numbers."""

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.foundation import contracts
from perennial.ingestion import column_types, row_checks, suites, validation, value_ranges
from perennial.ingestion.source_settings import Drift, Rules, Source, Usual
from perennial.ingestion.validation import RefusedTableError

DAY = date(2017, 12, 1)
EVENTS = {
    **dict.fromkeys(("event_id", "customer_id", "event_type"), "string"),
    **{"occurred_at": "timestamp[us, tz=UTC]", "item_id": "string"},
    **{"quantity": "int64", "revenue": "decimal128(14, 4)"},
}


def _patterns(table: str, rows: int = 40) -> pd.DataFrame:
    """Patterns of a table, drawn so that many break many rules, each with a weight."""
    generator = np.random.default_rng(3)
    contract = contracts.CONTRACTS[table]
    columns: dict[str, Any] = {}
    for rule in suites.row_suite(contract).expectations:
        if rule.column in value_ranges.cut_points(contract):
            few = value_ranges.representatives(value_ranges.cut_points(contract)[rule.column])
            columns[rule.column] = generator.choice([*few, np.nan], rows)
        elif contract.schema.names.count(rule.column):
            allowed = [*contract.allowed(rule.column), None, row_checks.OTHER_VALUE]
            columns[rule.column] = generator.choice(np.array(allowed, dtype="object"), rows)
        else:
            columns[rule.column] = generator.random(rows) < 0.8
    return pd.DataFrame(columns).assign(pattern=range(100, 100 + rows), rows=generator.integers(1, 9, rows))


def _landing(**changes: Any) -> dict[str, Any]:
    known = {"day": DAY, "landed": 400, "left_out": 0, "refused": 4, "share": 0.01, "usual": 410.0}
    more = {"times": 400 / 410, "age_days": 1.0, "files": "events/2017-12-01/a.csv", "reasons": ""}
    return known | more | changes


def _judged(rules: Rules, *days: dict[str, Any]) -> validation.LandingVerdict:
    return validation.judge_landings(pd.DataFrame(days), "events", rules)


def _columns(*without: str, **changes: str) -> validation.ColumnVerdict:
    columns = {name: kind for name, kind in EVENTS.items() if name not in without} | changes
    headers = {"events/2017-12-01/a.parquet": columns}
    return validation.judge_columns(headers, contracts.EVENTS, Source(), "landing")


@pytest.mark.parametrize("table", ["events", "campaigns", "assignments"])
def test_the_counts_equal_those_of_the_library_over_every_single_row(table: str) -> None:
    frame, contract = _patterns(table), contracts.CONTRACTS[table]
    whole = frame.loc[frame.index.repeat(frame["rows"])].reset_index(drop=True)
    counted = validation.judge_rows(frame, contract).result.results
    seen = validation._validated(whole, suites.row_suite(contract), "pattern").results
    assert sum(each.result["unexpected_count"] for each in counted) > 100
    for ours, theirs in zip(counted, seen, strict=True):
        assert ours.expectation_config.meta == theirs.expectation_config.meta
        for name, value in ours.result.items():
            if name != "partial_unexpected_list":
                assert value == pytest.approx(theirs.result[name]), (ours.expectation_config.meta, name)


def test_a_refused_pattern_has_every_reason_in_the_suites_order() -> None:
    numbers = {"quantity": 0.0, "revenue": -1.0, "unit_price": 1.0, "shelf_discount": 0.0}
    frame = _patterns("events", 1).assign(event_type="purchase", coupon_discount=0.0, **numbers)
    facts_seen = [name for name in frame if frame[name].dtype == bool]
    frame[facts_seen] = True
    frame["item_id_known"] = False
    verdict = validation.judge_rows(frame, contracts.EVENTS)
    codes = [reason.code for reason in verdict.reasons[100]]
    assert codes == ["item_id unknown", "quantity out of range", "revenue out of range"]


def test_no_value_of_a_row_stays_in_the_result_of_the_row_rules() -> None:
    result = validation.judge_rows(_patterns("users"), contracts.USERS).result
    for each in result.results:
        assert each.result["partial_unexpected_list"] == []
        assert not [name for name in each.result if "list" in name and name != "partial_unexpected_list"]


def test_patterns_that_meet_every_rule_have_no_reasons() -> None:
    frame = _patterns("promotions", 3)
    frame[[name for name in frame if frame[name].dtype == bool]] = True
    verdict = validation.judge_rows(frame, contracts.PROMOTIONS)
    assert not verdict.reasons
    assert verdict.result.success


def test_a_missing_column_is_named_with_its_table_file_and_what_was_found() -> None:
    (said,) = _columns("customer_id").problems
    assert said.startswith(
        "events: events/2017-12-01/a.parquet (source landing): column customer_id is missing"
    )
    assert "found are event_id, event_type, occurred_at" in said
    assert "needed are event_id, customer_id, event_type, occurred_at" in said


def test_a_column_that_may_be_empty_may_be_missing() -> None:
    assert not _columns("quantity", "revenue", "item_id").problems


def test_a_retyped_column_is_named_with_what_was_found_and_what_is_allowed() -> None:
    (said,) = _columns(quantity="string").problems
    assert "column quantity has the type text (string); allowed are integer, floating, decimal" in said


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("customer_id", "int64"),
        ("customer_id", "dictionary<values=string, indices=int32, ordered=0>"),
        ("customer_id", "large_string"),
        ("quantity", "double"),
        ("revenue", "float"),
        ("revenue", "decimal(18, 2)"),
        ("occurred_at", "timestamp('UTC', 6)"),
        ("revenue", "null"),
        ("quantity", column_types.TEXT_ONLY),
        ("occurred_at", "!timestamp(6)"),
    ],
)
def test_a_type_that_can_become_the_contracts_is_allowed(column: str, kind: str) -> None:
    assert not _columns(**{column: kind}).problems


@pytest.mark.parametrize(
    ("column", "kind"),
    [("customer_id", "double"), ("occurred_at", "string"), ("occurred_at", "int64"), ("revenue", "bool")],
)
def test_a_type_that_cannot_is_not(column: str, kind: str) -> None:
    assert len(_columns(**{column: kind}).problems) == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("list<element: string>", 0),
        ("!array<!string>", 0),
        ("list<item: null>", 0),
        ("string", 0),
        ("list<item: int64>", 1),
        ("int64", 1),
    ],
)
def test_consents_are_a_list_of_texts_or_one_text(kind: str, said: int) -> None:
    columns = {"customer_id": "string", "joined_on": "date32[day]", "consents": kind}
    verdict = validation.judge_columns({"u.parquet": columns}, contracts.USERS, Source(), "crm")
    assert len(verdict.problems) == said


def test_a_column_whose_texts_are_declared_may_be_text() -> None:
    source = Source(types={"quantity": "integer"})
    verdict = validation.judge_columns(
        {"e.parquet": EVENTS | {"quantity": "string"}}, contracts.EVENTS, source, "landing"
    )
    assert not verdict.problems


def test_a_column_that_an_expression_reads_may_have_any_type() -> None:
    source = Source(columns={"quantity": {"sql": "abs(menge)"}})
    columns = EVENTS | {"menge": "bool"}
    del columns["quantity"]
    assert not validation.judge_columns({"e": columns}, contracts.EVENTS, source, "landing").problems
    (said,) = validation.judge_columns({"e": EVENTS}, contracts.EVENTS, source, "landing").problems
    assert "column menge is missing" in said


def test_a_new_column_is_reported_and_stops_nothing() -> None:
    verdict = _columns(loyalty_tier="string", basket="int64")
    assert verdict.new == {"events/2017-12-01/a.parquet": ("basket", "loyalty_tier")}
    assert not verdict.problems
    (broken,) = [each for each in verdict.result.results if not each.success]
    assert broken.expectation_config.severity == "warning"


def test_a_file_without_a_header_does_not_put_somebodys_address_into_the_message() -> None:
    verdict = validation.judge_columns(
        {"a.csv": {"c1": "", "ann@example.com": "", "+49 30 901820": ""}},
        contracts.EVENTS,
        Source(),
        "landing",
    )
    told = f"{verdict.problems} {verdict.new} {verdict.result}"
    assert "column event_id is missing; found are c1, " in told
    assert "example.com" not in told
    assert "901820" not in told


def test_of_several_files_only_the_wrong_one_is_named() -> None:
    wrong = {name: kind for name, kind in EVENTS.items() if name != "event_id"}
    headers = {"a.parquet": EVENTS, "b.parquet": wrong, "c.parquet": EVENTS}
    verdict = validation.judge_columns(headers, contracts.EVENTS, Source(), "landing")
    (said,) = verdict.problems
    assert said.startswith("events: b.parquet (source landing): column event_id is missing")


def test_a_day_with_few_rows_is_reported_with_the_usual_number() -> None:
    verdict = _judged(Rules(usual=Usual()), _landing(landed=12, times=12 / 410))
    assert verdict.problems == (
        "events: 2017-12-01: found 12 rows; usual on this weekday are 410 (median of the last 8 weeks); "
        "allowed are 123 to 1,230 (events/2017-12-01/a.csv)",
    )


def test_a_day_with_too_little_history_is_not_compared_with_the_usual_number() -> None:
    verdict = _judged(Rules(usual=Usual()), _landing(landed=2, usual=math.nan, times=math.nan))
    assert not verdict.problems
    assert {one.rule for one in verdict.measured} == {"least_rows", "refused"}


def test_too_many_refused_rows_are_reported_with_the_most_frequent_reasons() -> None:
    verdict = _judged(Rules(), _landing(refused=80, share=0.2, reasons="; item_id unknown: 80"))
    (said,) = verdict.problems
    assert "found 80 of 400 rows refused (20.0%); allowed are at most 10.0%" in said
    assert said.endswith("(events/2017-12-01/a.csv; item_id unknown: 80)")


def test_a_few_refused_rows_stop_nothing_whatever_their_share() -> None:
    assert not _judged(Rules(), _landing(landed=10, refused=9, share=0.9)).problems


def test_nulls_age_and_drift_are_reported_with_their_numbers() -> None:
    rules = Rules(
        nulls={"item_id": 0.2}, newest_within_days=2, drift=Drift(columns=("event_type",), most=0.5)
    )
    day = _landing(null_item_id=0.31, age_days=9.0, drift_event_type=0.81)
    nulls, shares, newest = sorted(_judged(rules, day).problems)
    assert "found 31.0% of 400 rows without item_id; allowed are at most 20.0%" in nulls
    assert "the newest row happened 9 days before the landing; allowed are at most 2" in newest
    assert "(population stability index 0.81); allowed is at most 0.5" in shares


def test_an_accepted_day_is_measured_and_stops_nothing() -> None:
    rules = Rules(least_rows=100, accepted_days=(DAY,))
    verdict = _judged(rules, _landing(landed=3), _landing(day=DAY + timedelta(days=1), landed=4))
    assert [(one.day, one.value) for one in verdict.measured if one.broken] == [
        (DAY, 3),
        (DAY + timedelta(days=1), 4),
    ]
    (said,) = verdict.problems
    assert said.startswith("events: 2017-12-02: found 4 rows; allowed are at least 100")


def test_every_day_and_rule_is_measured_with_its_limits() -> None:
    (least, refused) = _judged(Rules(), _landing()).measured
    assert (least.rule, least.value, least.least, least.most, least.broken) == (
        "least_rows",
        400,
        1,
        None,
        False,
    )
    assert (refused.rule, refused.value, refused.least, refused.most) == ("refused", 0.01, None, 0.1)


def test_the_first_few_broken_rules_are_named_and_the_others_counted() -> None:
    page = "data_docs/2017-12-01/index.html"
    with pytest.raises(RefusedTableError, match=r"^a; b; c; and 2 more\. Nothing was published\.") as refused:
        validation.check(list("abcde"), page)
    assert refused.value.report == page
    validation.check([], page)


def test_the_usual_number_is_the_median_of_the_same_weekday_of_the_weeks_before() -> None:
    counts = {DAY - timedelta(weeks=week): rows for week, rows in enumerate((999, 10, 40, 20), start=0)}
    counts |= {DAY - timedelta(days=1): 10_000, DAY - timedelta(weeks=9): 10_000}
    assert validation.usual_rows(counts, DAY, weeks=8, known=3) == 20


def test_there_is_no_usual_number_before_enough_weekdays_are_known() -> None:
    counts = {DAY - timedelta(weeks=1): 10, DAY - timedelta(weeks=2): 0}
    assert math.isnan(validation.usual_rows(counts, DAY, weeks=8, known=2))


def test_the_same_shares_are_stable_whatever_the_number_of_rows() -> None:
    assert validation.stability_index({"a": 7_000, "b": 3_000}, {"a": 700_000, "b": 300_000}) < 1e-6


def test_stability_is_the_published_formula() -> None:
    before, now = {"a": 50_000_000, "b": 50_000_000}, {"a": 80_000_000, "b": 20_000_000}
    wanted = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert validation.stability_index(before, now) == pytest.approx(wanted, rel=1e-6)


def test_a_value_that_disappears_is_a_large_but_finite_drift() -> None:
    found = validation.stability_index({"purchase": 900, "view": 100}, {"purchase": 1_000})
    assert 0.25 < found < 5


def test_stability_without_rows_is_nan() -> None:
    assert math.isnan(validation.stability_index({}, {"a": 1}))
