"""The suites: every limit stands once, the few stand for the many, and a contact is never repeated."""

import itertools

import numpy as np
import pytest

from perennial.foundation import contracts
from perennial.ingestion import row_checks, suites, value_ranges
from perennial.ingestion.source_settings import Drift, Rules, Usual, delivered

LANDED = [contracts.CONTRACTS[table] for table in contracts.LANDED_TABLES]
FREE = ("email", "phone", "push_token", "title", "name", "category", "brand", "customer_id", "event_id")


def _fits(values: np.ndarray, least: float | None, most: float | None) -> np.ndarray:
    low, high = -np.inf if least is None else least, np.inf if most is None else most
    return (values >= low) & (values <= high)


@pytest.mark.parametrize("cuts", [(0.0,), (0.0, 1.0), (-2.5, 0.0, 1.0, 100.0)])
def test_a_number_and_its_representative_get_the_same_results(cuts: tuple[float, ...]) -> None:
    generator = np.random.default_rng(7)
    values = np.concatenate([generator.normal(0, 50, 5_000), generator.uniform(-3, 2, 5_000), cuts])
    few = np.array(value_ranges.representatives(cuts))
    places = np.searchsorted(cuts, values, "left") + np.searchsorted(cuts, values, "right")
    for least, most in itertools.product((None, *cuts), repeat=2):
        np.testing.assert_array_equal(_fits(few[places], least, most), _fits(values, least, most))


@pytest.mark.parametrize("contract", LANDED, ids=lambda contract: contract.name)
def test_every_limit_of_a_suite_is_one_of_its_columns_cut_points(contract: contracts.Contract) -> None:
    cuts = value_ranges.cut_points(contract)
    bounds = [
        (rule.column, bound)
        for rule in suites.row_suite(contract).expectations
        if rule.expectation_type == "expect_column_values_to_be_between"
        for bound in (rule.min_value, rule.max_value)
        if bound is not None
    ]
    assert {(column, float(bound)) for column, bound in bounds} == {
        (column, cut) for column, found in cuts.items() for cut in found
    }


@pytest.mark.parametrize("contract", LANDED, ids=lambda contract: contract.name)
def test_a_suite_reads_nothing_that_could_name_a_person(contract: contracts.Contract) -> None:
    """Booleans, numbers with limits and closed sets: a validation result can show any of them."""
    plain = {
        column
        for column in delivered(contract)
        if contract.allowed(column) or column in value_ranges.cut_points(contract)
    }
    read = {rule.column for rule in suites.row_suite(contract).expectations}
    assert not read & set(FREE)
    assert read & set(delivered(contract)) <= plain


@pytest.mark.parametrize("contract", LANDED, ids=lambda contract: contract.name)
def test_every_free_text_has_a_length_that_it_may_not_exceed(contract: contracts.Contract) -> None:
    texts = [name for name in delivered(contract) if contract.schema.field(name).type == contracts.TEXT]
    free = {name for name in texts if not contract.allowed(name)}
    codes = suites.row_codes(contract)
    assert {column for code, column in codes.items() if code.endswith("too long")} == free
    assert {
        name: most for name, most in value_ranges.longest_texts(contract).items() if name.endswith("_id")
    } == {name: 255 for name in free if name.endswith("_id")}


def test_the_sentence_about_a_contact_does_not_show_the_contact() -> None:
    suite = suites.row_suite(contracts.CONTACTS)
    said = [rule.meta["sentence"] for rule in suite.expectations if rule.meta["column"] in row_checks._SHAPES]
    assert len(said) == 6
    assert not [sentence for sentence in said if "{found}" in sentence]


def test_a_customer_without_any_contact_has_a_reason_of_its_own() -> None:
    assert suites.row_codes(contracts.CONTACTS)["customer_id unreachable"] == "customer_id"


def test_only_column_and_landing_rules_stop_a_landing() -> None:
    rows = suites.row_suite(contracts.EVENTS)
    whole = suites.landing_suite("events", Rules())
    assert {rule.severity for rule in rows.expectations} == {"warning"}
    assert {rule.severity for rule in whole.expectations} == {"critical"}


def test_the_landing_rules_are_those_that_the_table_declares() -> None:
    declared = Rules(
        usual=Usual(), nulls={"price": 0.2}, newest_within_days=3, drift=Drift(columns=("event_type",))
    )
    names = ["least_rows", "refused", "usual", "nulls of price", "newest_within_days", "drift of event_type"]

    def rules(found: Rules) -> list[str]:
        suite = suites.landing_suite("events", found)
        ordered = sorted(suite.expectations, key=lambda rule: rule.meta["place"])
        return [rule.meta["rule"] for rule in ordered]

    assert rules(declared) == names
    assert rules(Rules()) == names[:2]


def test_a_rule_for_some_events_only_names_them() -> None:
    suite = suites.row_suite(contracts.EVENTS)
    found = {rule.meta["code"]: rule for rule in suite.expectations}
    assert found["quantity out of range"].description == (
        "no purchase with quantity out of range: the value is not at least 1"
    )
    assert found["item_id missing"].meta["event_types"] == ["purchase", "return"]
