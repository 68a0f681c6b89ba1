import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from perennial.foundation import contracts
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import open_ledger
from perennial.ingestion import pipeline
from perennial.ingestion.reconciliation import reconcile
from perennial.ingestion.screening import Storage
from tests.conftest import forget
from tests.content import differences, rows
from tests.ingestion.drops import DAY, drop_all, item, purchase, user

TODAY = date.fromisoformat(DAY)


def test_a_period_gives_the_same_tables_as_its_days_one_by_one(shop: Path, lake: Lake):
    days = ["2024-05-02", "2024-05-03"]
    for n, day in enumerate(days):
        events = [purchase(f"{day}-{i}", item_id=f"i{i}") for i in range(3)]
        drop_all(shop, day, items=[item(f"i{n}")], events=events)
    pipeline.load_history(days[0], days[-1])
    assert {row["event_id"] for row in rows(lake, "events")} == {
        f"{day}-{i}" for n, day in enumerate(days) for i in range(n + 1)
    }
    whole = {
        name: rows(lake, name) for name in (*contracts.LANDED_TABLES, "quarantine") if name in lake.tables
    }
    assert open_ledger().closed_days() == {date.fromisoformat(day) for day in days}
    for day in reversed(days):
        pipeline.ingest(day)
    for name, content in whole.items():
        without = [{k: v for k, v in row.items() if k != "known_on"} for row in rows(lake, name)]
        assert without == [{k: v for k, v in row.items() if k != "known_on"} for row in content]


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": "include"})


KILLED = """
import os, signal
from perennial.foundation.lake import Lake
from perennial.ingestion import pipeline

replace, written = Lake.replace, []

def replace_and_die(lake, name, *content):
    version = replace(lake, name, *content)
    written.append(name)
    if name == "{table}":
        os.kill(os.getpid(), signal.SIGKILL)
    return version

Lake.replace = replace_and_die
pipeline.ingest("{day}")
"""


@pytest.mark.parametrize("table", ["quarantine", "users"])
def test_a_run_killed_between_two_tables_is_repaired_by_the_next(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, table: str
):
    drop_all(shop)
    pipeline.ingest(DAY)
    drop_all(shop, users=[user(), user("c2")], events=[purchase("e2"), purchase("bad", quantity=0)])
    process = start(KILLED.format(table=table, day=DAY))
    assert process.wait(timeout=120) == -signal.SIGKILL
    assert {row["event_id"] for row in rows(lake, "events")} == {"e1"}
    pipeline.ingest(DAY)
    assert all(entry.balanced for entry in reconcile(Storage.from_settings(), TODAY, TODAY))
    undisturbed = Lake(str(shop / "undisturbed"))
    monkeypatch.setenv("PERENNIAL_LAKE", undisturbed.uri)
    forget()
    pipeline.ingest(DAY)
    assert differences(lake, undisturbed) == []


def test_two_days_ingested_at_once_both_succeed(shop: Path, lake: Lake):
    days = ["2024-05-02", "2024-05-03"]
    for day in days:
        drop_all(shop, day, events=[purchase(day), purchase("bad", quantity=0)])
    code = "from perennial.ingestion import pipeline; pipeline.ingest({!r})"
    processes = [start(code.format(day)) for day in days]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    entries = reconcile(Storage.from_settings(), *(date.fromisoformat(day) for day in days))
    assert [(e.landed, e.published, e.quarantined) for e in entries if e.table == "events"] == [(2, 1, 1)] * 2
    assert all(entry.balanced for entry in entries)
