import json
from datetime import UTC, date, datetime
from decimal import Decimal

from perennial.foundation import contracts
from perennial.ingestion.quarantine import Reason, Refusal, set_aside

TOO_FEW = Reason("quantity out of range", "quantity", "{found} is not at least 1")


def refusal(file: str, line: int, **row: object) -> Refusal:
    return Refusal(date(2024, 5, 2), file, line, row, (TOO_FEW,))


def test_refused_rows_have_the_tables_columns_and_come_by_file_and_line():
    refusals = [refusal("b", 1, quantity=0), refusal("a", 9, quantity=0), refusal("a", 2, quantity=0)]
    rows = set_aside("events", refusals, {"quantity": "quantity"})
    assert rows.schema == contracts.QUARANTINE.schema
    assert list(zip(rows["file"].to_pylist(), rows["line"].to_pylist(), strict=True)) == [
        ("a", 2),
        ("a", 9),
        ("b", 1),
    ]


def test_a_reason_quotes_what_the_file_said_under_its_own_column_name():
    (row,) = set_aside("events", [refusal("a", 1, Menge="0 Stück")], {"quantity": "Menge"}).to_pylist()
    assert row["reasons"] == ["quantity out of range: '0 Stück' is not at least 1"]


def test_braces_in_a_value_are_only_text():
    assert TOO_FEW.of("{found}{0}") == "quantity out of range: '{found}{0}' is not at least 1"


def test_the_row_is_kept_as_valid_json_whatever_it_holds():
    odd = {
        "a": float("nan"),
        "b": Decimal("1.20"),
        "c": datetime(2024, 5, 2, tzinfo=UTC),
        "d": None,
        "e": [1],
        "f": "ü\x00",
    }
    (row,) = set_aside("events", [refusal("a", 1, **odd)], {"quantity": "quantity"}).to_pylist()
    kept = json.loads(row["row"], parse_constant=lambda word: 1 / 0)
    assert kept == {"a": "nan", "b": "1.20", "c": "2024-05-02 00:00:00+00:00", "e": [1], "f": "ü\x00"}


def test_nothing_refused_is_an_empty_table():
    assert set_aside("events", [], {}).num_rows == 0
