import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from perennial.foundation import contracts
from perennial.ingestion.quarantine import Reason, Refusal, RowMasker, to_rows
from perennial.ingestion.source_settings import Expression

VEIL = RowMasker(None)
TOO_FEW = Reason("quantity out of range", "quantity", "{found} is not at least 1")


def refusal(file: str, line: int, **row: object) -> Refusal:
    return Refusal(date(2024, 5, 2), file, line, row, (TOO_FEW,), {"quantity": "Menge"})


def test_refused_rows_have_the_tables_columns_and_their_file_and_line():
    rows = to_rows("events", [refusal("b", 1, Menge=0), refusal("a", 9, Menge=0)], VEIL)
    assert rows.schema == contracts.QUARANTINE.schema
    assert [(row["file"], row["line"]) for row in rows.to_pylist()] == [("b", 1), ("a", 9)]


def test_a_reason_quotes_the_value_of_the_files_own_column():
    (row,) = to_rows("events", [refusal("a", 1, Menge="0 Stück")], VEIL).to_pylist()
    assert row["reasons"] == ["quantity out of range: '0 Stück' is not at least 1"]


def test_a_reason_of_a_computed_column_quotes_the_values_it_was_computed_from():
    filled = {"quantity": Expression(sql='abs("Menge")')}
    told = replace(refusal("a", 1, Menge="0"), filled_by=filled)
    (row,) = to_rows("events", [told], VEIL).to_pylist()
    assert row["reasons"] == ["quantity out of range: \"Menge='0'\" is not at least 1"]


def test_a_refused_row_contains_no_contact_data():
    masker = RowMasker(b"k" * 32, contacts={"Mail"}, ids={"Kunde"})
    row = {
        "Mail": "ann(at)example",
        "Kunde": "Ann",
        "Text": "call +4930901820 or ann@example.com",
        "Menge": 0,
    }
    (kept,) = to_rows("events", [refusal("a", 1, **row)], masker).to_pylist()
    for hidden in ("ann", "Ann", "901820", "example"):
        assert hidden not in kept["row"]
    (again,) = to_rows("events", [refusal("a", 1, **json.loads(kept["row"]))], masker).to_pylist()
    assert again["row"] == kept["row"]


def test_braces_in_a_value_are_only_text():
    assert TOO_FEW.text("{found}{0}") == "quantity out of range: '{found}{0}' is not at least 1"


def test_the_row_is_stored_as_valid_json_whatever_its_values():
    odd = {
        "a": float("nan"),
        "b": Decimal("1.20"),
        "c": datetime(2024, 5, 2, tzinfo=UTC),
        "d": None,
        "e": [1],
        "f": "ü\x00",
    }
    (row,) = to_rows("events", [refusal("a", 1, **odd)], VEIL).to_pylist()
    kept = json.loads(row["row"], parse_constant=lambda word: 1 / 0)
    assert kept == {"a": "nan", "b": "1.20", "c": "2024-05-02 00:00:00+00:00", "e": [1], "f": "ü\x00"}


def test_no_refusals_make_an_empty_table():
    assert to_rows("events", [], VEIL).num_rows == 0
