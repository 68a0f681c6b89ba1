from pathlib import Path

import pytest

from perennial.foundation import contracts
from perennial.foundation.config import ConfigError, load
from perennial.foundation.engine.sql_expressions import columns_of
from perennial.ingestion.source_settings import Sources, read_sources


def tables(**source: object) -> dict[str, object]:
    return {"events": {"sources": {"feed": source}}}


NONSENSE = [
    ("tables: {orders: {}}", "tables.orders: no such table; allowed are items, promotions"),
    ("tables: {items: {columns: {title: c}}}", "tables.items.columns: Extra inputs"),
    ("tables: {items: {sources: {}}}", "tables.items.sources: .* at least 1 item"),
    (
        "tables: {items: {sources: {a: {columns: {colour: c}}}}}",
        r"tables.items.sources.a.columns: no column \['colour'\]; allowed are item_id, title",
    ),
    ("tables: {items: {sources: {a: {columns: {known_on: c}}}}}", r"no column \['known_on'\]"),
    ("tables: {items: {rules: {nulls: {colour: 0.1}}}}", r"rules.nulls: no column \['colour'\]"),
    ("tables: {items: {sources: {a: {files: 'items/*.csv'}}}}", "must name the day once"),
    ("tables: {items: {sources: {a: {day: day}}}}", "must name the day once"),
    ("tables: {contacts: {sources: {a: {history: {}}}}}", "rows of this table have no date"),
    (
        "tables: {events: {sources: {a: {history: {lag_days: -1}}}}}",
        "sources.a.history.lag_days: found -1; allowed are 0 and more",
    ),
    (
        "tables: {promotions: {sources: {a: {history: {lag_days: -367}}}}}",
        "sources.a.history.lag_days: found -367; allowed are -366 and more",
    ),
    ("tables: {users: {sources: {a: {event_types: {sale: purchase}}}}}", "only events have a type"),
    ("tables: {events: {sources: {a: {event_types: {sale: bought}}}}}", r"no event type \['bought'\]"),
    ("tables: {events: {sources: {a: {encoding: utf-9}}}}", "is no encoding; allowed are names such as"),
    ("tables: {events: {sources: {a: {time_zone: CET/Berlin}}}}", "is no IANA time zone"),
    ("tables: {events: {sources: {a: {dates: [DD.MM.YYYY]}}}}", "'DD.MM.YYYY' is no date format"),
    ("tables: {events: {sources: {a: {decimal: '.', thousands: '.'}}}}", "must differ"),
    ("tables: {events: {sources: {a: {encoding: base64}}}}", "is no encoding; allowed are names such as"),
    ("tables: {events: {sources: {a: {delimiter: '¦'}}}}", "must be an ASCII character"),
    ("tables: {events: {sources: {a: {quote: ','}}}}", "`delimiter` and `quote` must differ"),
    ("tables: {events: {sources: {a: {thousands: '-'}}}}", "must be no letter, digit, sign"),
    ("tables: {events: {sources: {a: {where: 'a +'}}}}", "where.*is no SQL expression"),
    ("tables: {events: {sources: {a: {where: 'SELECT 1'}}}}", "not a statement or a subquery"),
    ("tables: {events: {sources: {a: {where: '(SELECT 1)'}}}}", "not a statement or a subquery"),
    ("tables: {events: {sources: {a: {where: 'DROP TABLE x'}}}}", "not a statement or a subquery"),
    ("tables: {events: {sources: {a: {database: {connection: w}}}}}", "either `query` or `table`"),
]


@pytest.mark.parametrize(("text", "said"), NONSENSE)
def test_nonsense_in_sources_yaml_is_named(tmp_path: Path, text: str, said: str):
    (tmp_path / "sources.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load("sources", Sources, tmp_path)


def test_the_shipped_sources_yaml_is_sound():
    assert set(read_sources().tables) < set(contracts.LANDED_TABLES)


def test_a_source_needs_the_columns_that_required_ones_and_expressions_are_made_of():
    declared = {"day": 'CAST("Order Date" AS DATE)', "files": "all.csv", "types": {"Price": "number"}}
    filled = {"revenue": {"sql": "Price * Quantity + _line"}, "event_type": {"value": "purchase"}}
    found = Sources.model_validate({"tables": tables(**declared, columns={**filled, "event_id": "Id"})})
    source = found.of("events").sources["feed"]
    needed = {"Id", "customer_id", "occurred_at", "Price", "Quantity", "Order Date"}
    assert set(source.required(contracts.EVENTS)) == needed
    assert {"item_id", "store_id"} < set(source.used(contracts.EVENTS)) - needed


def test_an_expressions_columns_are_found_whatever_their_names():
    found = columns_of("""CASE WHEN "Item; DROP" = 'x' THEN upper(b) ELSE "Größe" END""")
    assert set(found) == {"Item; DROP", "b", "Größe"}
