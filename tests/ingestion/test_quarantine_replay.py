"""Refused rows judged again: what passes is published as if its day had been ingested again."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import ibis
import pytest
import yaml

from perennial.foundation.lake import Lake
from perennial.ingestion import pipeline
from perennial.ingestion.errors import SourceError
from perennial.ingestion.quarantine import RowMasker
from perennial.ingestion.reconciliation import reconcile
from perennial.ingestion.screening import Storage
from tests.conftest import forget
from tests.content import differences, rows
from tests.ingestion.drops import DAY, drop, drop_all, item, promotion, purchase

TODAY, LATER = date.fromisoformat(DAY), "2024-05-09"


def declare(shop: Path, monkeypatch: pytest.MonkeyPatch, **tables: object) -> None:
    """From now on sources.yaml says this; tiny landings may have many refused rows."""
    folder = shop / "config"
    folder.mkdir(exist_ok=True)
    generous = {"rules": {"refused": {"share": 1.0}}}
    whole = {name: {**generous, **tables.get(name, {})} for name in ("events", "promotions", *tables)}  # type: ignore[dict-item]
    (folder / "sources.yaml").write_text(yaml.safe_dump({"tables": whole}))
    monkeypatch.setenv("PERENNIAL_CONFIG", str(folder))
    forget()


def again(table: str = "all", reason: str = "", day: str = LATER) -> dict:
    return pipeline.replay(table, DAY, DAY, reason, day)


def balanced() -> bool:
    return all(entry.balanced for entry in reconcile(Storage.from_settings(), TODAY, TODAY))


def quarantined(lake: Lake) -> dict[tuple[str, int], tuple[list[str], date | None]]:
    """(file, line) → codes, day of the replay."""
    return {
        (row["file"].rpartition("/")[2], row["line"]): (
            [reason.partition(":")[0] for reason in row["reasons"]],
            row["replayed_on"],
        )
        for row in rows(lake, "quarantine")
    }


SPELT = "%d/%m/%Y %H:%M"
LINES = """No;Who;What;When;Item;Order;Pieces;Paid
a1;c1;sold;02/05/2024 09:30;i1;o1;2;1.036,50
a2;c1;sold;02/05/2024 09:30;i9;o1;1;5,00
a2;c1;sold;02/05/2024 09:31;i1;o1;1;6,00
a3;c1;gift;02/05/2024 09:30;i1;o2;1;0,00
a4;c9;sold;02/05/2024 09:30;i9;o3;0;5,00
a5;c1;sold;02/05/2024 09:30;i9;o4;1;5,00;too many
"""
SHOP = {
    "files": "events/{day}/*.csv",
    "delimiter": ";",
    "decimal": ",",
    "thousands": ".",
    "time_zone": "Europe/Berlin",
    "dates": [SPELT],
    "types": {"Pieces": "integer", "Paid": "number"},
    "columns": {
        "event_id": {"sql": "concat_ws('-', No, _line)"},
        "customer_id": "Who",
        "event_type": "What",
        "occurred_at": "When",
        "item_id": "Item",
        "order_id": "Order",
        "quantity": "Pieces",
        "revenue": {"sql": "Paid * sign(Pieces)"},
        "unit_price": {"sql": "Paid / nullif(Pieces, 0)"},
    },
    "event_types": {"sold": "purchase"},
}
APP = {
    "files": "events/{day}/*.parquet",
    "columns": {"revenue": {"sql": "unit_price * quantity - shelf_discount"}},
}


@pytest.fixture
def refused(shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A day of two sources of events, with rows refused that another rule or another item would save."""
    declare(
        shop,
        monkeypatch,
        events={"sources": {"shop": SHOP, "app": APP}, "rules": {"refused": {"share": 1.0}}},
    )
    app = [
        purchase("e1"),
        purchase("e2", item_id="i9"),
        purchase("e2", quantity=5),
        purchase("e3", quantity=None),
    ]
    drop_all(
        shop,
        events=[],
        promotions=[promotion(), promotion("i9", store_id=None), promotion("i9", store_id=None)],
    )
    (shop / "landing" / "events" / DAY / "rows.parquet").unlink()
    drop(shop, "events", app, name="app.parquet")
    (shop / "landing" / "events" / DAY / "shop.csv").write_text(LINES)
    pipeline.ingest(DAY)
    return lake


def corrected(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing item comes, as of that day, and a gift counts as a purchase by now."""
    drop(shop, "items", [item("i1"), item("i9")], name="rows.parquet")
    storage = Storage.from_settings()
    late = storage.lake.read("items").mutate(item_id=ibis.literal("i9")).to_pyarrow()
    storage.lake.add("items", late)
    words = {**SHOP, "event_types": {"sold": "purchase", "gift": "purchase"}}
    declare(
        shop,
        monkeypatch,
        events={"sources": {"shop": words, "app": APP}, "rules": {"refused": {"share": 1.0}}},
    )


def test_replaying_everything_is_ingesting_the_day_again(
    shop: Path, refused: Lake, monkeypatch: pytest.MonkeyPatch
):
    assert quarantined(refused) == {
        ("shop.csv", 2): (["item_id unknown"], None),
        ("shop.csv", 4): (["event_type not allowed"], None),
        ("shop.csv", 5): (["customer_id unknown", "item_id unknown", "quantity out of range"], None),
        ("shop.csv", 6): (["line broken"], None),
        ("app.parquet", 2): (["item_id unknown"], None),
        ("app.parquet", 3): (["event_id repeated"], None),
        ("app.parquet", 4): (["quantity missing", "revenue missing"], None),
        ("rows.parquet", 2): (["item_id unknown"], None),
        ("rows.parquet", 3): (["item_id unknown", "item_id repeated"], None),
    }
    corrected(shop, monkeypatch)
    found = again()
    assert found["events"] == {
        "candidates": 7,
        "published": 3,
        "still_refused": {
            "line broken": 1,
            "customer_id unknown": 1,
            "quantity out of range": 1,
            "event_id repeated": 1,
            "quantity missing": 1,
            "revenue missing": 1,
        },
    }
    assert found["promotions"] == {"candidates": 2, "published": 1, "still_refused": {"item_id repeated": 1}}
    assert quarantined(refused)["shop.csv", 5] == (["customer_id unknown", "quantity out of range"], None)
    assert quarantined(refused)["shop.csv", 2] == (["item_id unknown"], date.fromisoformat(LATER))
    assert balanced()
    page = (shop / "reports" / found["report"]).read_text()
    assert (
        '<td>item_id unknown</td><td class="count">0</td><td class="count">2</td><td>2024-05-02</td>' in page
    )
    assert "<script" not in page
    assert again()["events"]["candidates"] == 4
    published = Lake(str(shop / "anew"))
    monkeypatch.setenv("PERENNIAL_LAKE", published.uri)
    forget()
    pipeline.ingest(DAY)
    assert differences(refused, published, ("items", "promotions", "users", "events")) == []
    still = {place: codes for place, (codes, replayed) in quarantined(refused).items() if not replayed}
    assert still == {place: codes for place, (codes, _) in quarantined(published).items()}


KILLED = """
import os, signal
from perennial.foundation.lake import Lake
from perennial.ingestion import pipeline

write = Lake.{write}

def write_and_die(*content):
    write(*content)
    os.kill(os.getpid(), signal.SIGKILL)

Lake.{write} = write_and_die
pipeline.replay("events", "{day}", "{day}", "{reason}", "2024-05-08")
"""


def killed(write: str, reason: str) -> None:
    """A replay that dies as soon as it has done its first write of this kind."""
    code = KILLED.format(write=write, reason=reason, day=DAY)
    process = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": "include"}, timeout=120
    )
    assert process.returncode == -signal.SIGKILL


def events(lake: Lake) -> list[str]:
    return [row["event_id"] for row in rows(lake, "events")]


def test_a_killed_replay_is_finished_by_the_next_whatever_its_reason(
    shop: Path, refused: Lake, monkeypatch: pytest.MonkeyPatch
):
    corrected(shop, monkeypatch)
    killed("amend", "event_type not allowed")
    assert events(refused) == ["a1-1", "a2-3", "e1"]
    codes, replayed = quarantined(refused)["shop.csv", 4]
    assert codes == ["event_type not allowed", "replaying"]
    assert replayed == date(2024, 5, 8)
    assert again("events", "no such reason")["events"] == {
        "candidates": 1,
        "published": 1,
        "still_refused": {},
    }
    assert events(refused) == ["a1-1", "a2-3", "a3-4", "e1"]
    assert quarantined(refused)["shop.csv", 4] == (["event_type not allowed"], date.fromisoformat(LATER))
    assert balanced()
    killed("add", "item_id unknown")
    once = events(refused)
    assert once == ["a1-1", "a2-2", "a2-3", "a3-4", "e1", "e2"]
    assert again("events", "no such reason")["events"]["published"] == 2
    assert events(refused) == once
    assert not [codes for codes, _ in quarantined(refused).values() if "replaying" in codes]
    assert balanced()
    killed("amend", "")
    pipeline.ingest(DAY)
    assert balanced()


def test_only_rows_that_todays_settings_can_read_are_changed(
    shop: Path, refused: Lake, monkeypatch: pytest.MonkeyPatch
):
    before = rows(refused, "quarantine")
    corrected(shop, monkeypatch)
    with pytest.raises(ValueError, match="'contacts' cannot be replayed: of a contact only pseudonyms"):
        again("contacts")
    with pytest.raises(ValueError, match="allowed is a last day"):
        pipeline.replay("events", LATER, DAY, "", LATER)

    twice = {"shop": SHOP, "other": SHOP, "app": APP}
    declare(shop, monkeypatch, events={"sources": twice})
    with pytest.raises(SourceError, match="matches the sources other, shop; allowed is exactly one"):
        again("events", "event_type not allowed")
    declare(shop, monkeypatch, events={"sources": {"app": APP}})
    with pytest.raises(
        SourceError, match=r"shop.csv belongs to no source in sources.yaml any more; allowed are rows of app"
    ):
        again("events")
    windowed = SHOP | {"columns": {"event_id": {"sql": "row_number() OVER (ORDER BY _line)"}}}
    declare(shop, monkeypatch, events={"sources": {"shop": windowed, "app": APP}})
    with pytest.raises(SourceError, match="reads several rows, but only the refused rows are here"):
        again("events")
    assert rows(refused, "quarantine") == before

    # Its file may be gone by now, and the source may leave such rows out.
    (shop / "landing" / "events" / DAY / "app.parquet").unlink()
    several = {"shop": SHOP, "app": APP | {"where": "event_id != 'e3'"}}
    declare(shop, monkeypatch, events={"sources": several})
    found = again("events", "quantity missing")["events"]
    assert found == {"candidates": 1, "published": 0, "still_refused": {"left out": 1}}
    assert quarantined(refused)["app.parquet", 4] == (["left out"], None)
    assert again("events", " item_id unknown ")["events"]["published"] == 2
    (saved,) = [row for row in rows(refused, "events") if row["event_id"] == "e2"]
    assert (saved["revenue"], saved["quantity"], saved["known_on"]) == (36, 2, TODAY)
    assert quarantined(refused)["shop.csv", 4] == (["event_type not allowed"], None)
    (entry,) = [
        entry for entry in reconcile(Storage.from_settings(), TODAY, TODAY) if entry.table == "events"
    ]
    assert entry.published + entry.quarantined == 10, "the account of a file that is gone"


def test_a_pseudonym_is_not_masked_again():
    masker = RowMasker(b"k" * 32, contacts={"email"}, ids={"customer"})
    row = {"email": "c1@example.com", "customer": "+12025550143", "note": "call +12025550143"}
    once = masker.masked(row)
    assert "@" not in str(once)
    assert masker.masked(once) == once
