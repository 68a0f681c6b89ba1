"""A dry run tells what would come of each source, and writes nothing but its page."""

import gzip
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest import mock

import pytest
import yaml

from perennial.demo import check_sources
from perennial.foundation.lake import Lake
from perennial.ingestion import dry_run, dry_run_report, pipeline
from perennial.ingestion.dry_run import RefusalReason, SourceTrial
from perennial.ingestion.errors import SourceError
from perennial.ingestion.screening import Storage
from tests.conftest import forget
from tests.ingestion.drops import DAY, contact, drop, item

TODAY = date.fromisoformat(DAY)
EXPORT = {
    "files": "export.csv.gz",
    "day": "strptime(Invoiced, '%d/%m/%Y')",
    "encoding": "windows-1252",
    "delimiter": ";",
    "decimal": ",",
    "dates": ["%d/%m/%Y"],
    "types": {"Pieces": "integer", "Price": "number"},
    "where": "Invoice NOT LIKE 'A%'",
    "columns": {
        "event_id": {"sql": "concat_ws('-', Invoice, _line)"},
        "event_type": {"value": "purchase"},
        "customer_id": "Customer",
        "occurred_at": "Invoiced",
        "order_id": "Invoice",
        "item_id": "Code",
        "quantity": "Pieces",
        "unit_price": "Price",
        "revenue": {"sql": "Pieces * Price"},
    },
}
CARDS = {
    "database": {"connection": "till", "query": "SELECT * FROM cards WHERE landed = {day}"},
    "columns": {"customer_id": "card"},
}
INVOICES = """Invoice;Code;Description;Pieces;Invoiced;Price;Customer;Country
1;i1;"Espresso
beans";2;01/05/2024;18,50;c1;Österreich
2;i1;Beans;0;02/05/2024;18,50;c1;France
2;i7;;1;02/05/2024;free;c7;France
A3;i1;Bad debt;1;02/05/2024;-5,00;;France
4;i1;Beans;1;02/05/2024;5,00;c1;France;what
"""


def declare(shop: Path, monkeypatch: pytest.MonkeyPatch, **tables: object) -> None:
    """From now on sources.yaml says this."""
    folder = shop / "config"
    folder.mkdir(exist_ok=True)
    (folder / "sources.yaml").write_text(yaml.safe_dump({"tables": tables}))
    monkeypatch.setenv("PERENNIAL_CONFIG", str(folder))
    forget()


@pytest.fixture
def landed(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An invoice export of many days, Parquet items, contacts as JSON lines and customers in a database."""
    declare(
        shop,
        monkeypatch,
        events={"sources": {"export": EXPORT}},
        users={"sources": {"landing": {}, "cards": CARDS}},
    )
    text = INVOICES + "9;i1;Beans;1;02/05/2024;5,00;c1;France\n" * 500_000
    with gzip.open(shop / "landing" / "export.csv.gz", "wb", compresslevel=1) as file:
        file.write(text.encode("windows-1252"))
    drop(shop, "items", [item(f"i{n}", title=f"Beans of {n}@example.com") for n in range(50)])
    lines = [contact(f"c{n}", email=f"c{n}@example.com", colour="red") for n in range(50)]
    path = shop / "landing" / "contacts" / DAY / "people.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with sqlite3.connect(shop / "till.db") as till:
        till.execute("CREATE TABLE cards (card TEXT, joined_on TEXT, consents TEXT, landed TEXT)")
        rows = [(f"c{n}", "2024-04-30", "email|fax" if n == 3 else "sms", DAY) for n in range(50)]
        till.executemany("INSERT INTO cards VALUES (?, ?, ?, ?)", rows)
    monkeypatch.setenv("PERENNIAL_STATE", str(shop / "state"))
    with mock.patch.dict(os.environ):
        yield shop


def column(trial: SourceTrial, name: str) -> tuple:
    (column,) = [column for column in trial.columns if column.name == name]
    return column.origin, column.source_type, column.contract_type, column.nulls, column.samples


def test_a_dry_run_shows_what_would_become_of_each_source(
    landed: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    storage = Storage.from_settings({"till": f"sqlite:///{landed}/till.db"})
    found = dry_run.try_sources(storage, TODAY, ("items", "users", "contacts", "events"), 5)
    assert [(trial.table, trial.source, trial.rows, trial.problems) for trial in found] == [
        ("items", "landing", 5, ()),
        ("users", "cards", 5, ()),
        ("contacts", "landing", 5, ()),
        ("events", "export", 5, ()),
    ]
    items, users, contacts, events = found

    assert column(items, "price") == ("column price", "floating", "decimal", 0.0, ("20.0000",))
    assert column(items, "brand") == ("nothing (no column brand)", "", "text", 1.0, ())
    assert column(items, "item_id")[4] == ("i0", "i1", "i2")
    assert column(items, "title")[4] == ("Beans of [contact]",)
    assert users.reasons == (
        RefusalReason(
            "consents not allowed", 1, "till/cards, row 4: 'email|fax' names others than email, sms, push"
        ),
    )
    assert column(contacts, "email") == ("column email", "text", "text", 0.0, ("(hidden)",))
    assert contacts.new == ("colour",)
    assert "example.com" not in str(contacts)

    assert events.days == (date(2024, 5, 1), TODAY)
    assert events.new == ("Country", "Description")
    assert (events.left_out, events.refused) == (1, 3)
    assert events.unknown == {"customer_id": 1, "item_id": 1}
    assert {one.code: (one.rows, one.example) for one in events.reasons} == {
        "quantity out of range": (1, "export.csv.gz, row 2: '0' is not at least 1"),
        "unit_price unreadable": (1, "export.csv.gz, row 3: 'free' is no amount of money"),
        "revenue unreadable": (
            1,
            """export.csv.gz, row 3: "Pieces='1', Price='free'" is no amount of money""",
        ),
        "line broken": (1, "export.csv.gz, row 5: found 9 values; the header has 8 columns"),
    }
    assert column(events, "event_id") == (
        "SQL concat_ws('-', Invoice, _line)",
        "text",
        "text",
        0.0,
        ("1-1", "2-2", "2-3"),
    )
    assert column(events, "revenue")[1:3] == ("decimal", "decimal")
    assert column(events, "event_type") == ("always 'purchase'", "str", "text", 0.0, ("purchase",))
    assert lake.version("events") is None
    assert lake.version("quarantine") is None
    assert not list((landed / "staging").glob("*/*"))

    said = dry_run_report.text(found)
    assert "events, source export: the first 5 rows of export.csv.gz" in said
    assert "SQL concat_ws('-', Invoice, _line)" in said
    assert "Neither in the lake nor in the samples: item_id in 1 row." in said
    monkeypatch.setenv("AIRFLOW_CONN_TILL", f"sqlite:///{landed}/till.db")
    assert check_sources.main([DAY, "users", "3"]) == 0
    assert "users, source cards: the first 3 rows of till/cards" in capsys.readouterr().out


def test_a_dry_run_that_finds_a_problem_fails_with_one_sentence(
    landed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    lines = EXPORT | {"columns": EXPORT["columns"] | {"customer_id": "CustomerNo"}}
    declare(landed, monkeypatch, events={"sources": {"export": lines}})
    with pytest.raises(SourceError, match=r"export.csv.gz .*: column CustomerNo is missing") as stopped:
        pipeline.check_sources(DAY, "events", 10)
    page = (landed / "reports" / stopped.value.report).read_text()
    assert "column CustomerNo is missing" in page
    assert "<td>nothing (no column CustomerNo, required)</td>" in page
    assert check_sources.main([DAY, "events"]) == 1
    said = capsys.readouterr().out
    assert (
        "this would stop the day: events: export.csv.gz (source export): column CustomerNo is missing" in said
    )
    assert check_sources.main(["2024-05-03", "users"]) == 1
    assert "nothing landed on 2024-05-03; looked for files at" in capsys.readouterr().out
    declare(landed, monkeypatch, users={"sources": {"cards": CARDS}})
    monkeypatch.setenv("AIRFLOW_CONN_TILL", f"sqlite:///{landed}/nowhere/till.db")
    assert check_sources.main([DAY, "users"]) == 1
    assert (
        "connection till: cannot be asked: (sqlite3.OperationalError) unable to open"
        in capsys.readouterr().out
    )
    monkeypatch.delenv("AIRFLOW_CONN_TILL")
    assert check_sources.main([DAY, "users"]) == 1
    assert "set the variable AIRFLOW_CONN_TILL" in capsys.readouterr().out
    declare(landed, monkeypatch, orders={})
    assert check_sources.main([DAY]) == 1
    assert "tables.orders: no such table" in capsys.readouterr().out
    assert check_sources.main(["today"]) == 2
