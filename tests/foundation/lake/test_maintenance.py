"""What is removed, what is kept, and that a kill or another writer changes neither."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from perennial.foundation import config, contracts
from perennial.foundation.lake import Lake, LakeError, maintenance, open_vault
from perennial.foundation.lake.maintenance import Upkeep, maintain, tidy
from perennial.foundation.lake.table import Table
from tests.content import differences, rows

MONDAY = date(2017, 12, 4)
KEPT = Upkeep(kept_days=30)


def now() -> datetime:
    return datetime.now(UTC)


def promotions(day: date, *items: str, display: str = "front") -> pa.Table:
    days = dict.fromkeys(("week", "landed_on", "known_on"), day)
    return pa.Table.from_pylist(
        [{"item_id": item, "store_id": None, "display": display, "mailer": None} | days for item in items]
    )


def scores(day: date, score: float = 0.5) -> pa.Table:
    row = {"day": day, "customer_id": "c", "p_return_28": score, "reasons": [], "model_version": 1}
    row |= dict.fromkeys(("p_return_7", "p_return_14", "expected_spend"))
    return pa.Table.from_pylist([row])


def displays(lake: Lake, version: int) -> dict[str, str]:
    held = Lake(lake.uri, {"promotions": version}).read("promotions").to_pyarrow().to_pylist()
    return {row["item_id"]: row["display"] for row in held}


def age(lake: Lake, name: str, days: int) -> None:
    """Let so many days pass: everything that the table's folder and log know of times lies further back."""
    seconds = days * 86400
    for path in Path(lake.uri, name).rglob("*"):
        before = path.stat()
        if path.suffix == ".json":
            entries = [json.loads(line) for line in path.read_text().splitlines()]
            for body in (body for entry in entries for body in entry.values()):
                for key in {"timestamp", "deletionTimestamp", "modificationTime"} & body.keys():
                    body[key] -= seconds * 1000
            path.write_text("\n".join(map(json.dumps, entries)) + "\n")
        if path.is_file():
            os.utime(path, (before.st_atime - seconds, before.st_mtime - seconds))


def parquet(lake: Lake, name: str) -> int:
    """Data files in the table's folder, needed or not."""
    return len([path for path in Path(lake.uri, name).rglob("*.parquet") if "_delta_log" not in path.parts])


def add_one_by_one(lake: Lake, day: date, *items: str) -> None:
    for item in items:
        lake.add("promotions", promotions(day, item))


def vectors(lake: Lake, *texts: str) -> None:
    for text in texts:
        row = {"encoder": "e", "text_hash": text, "text": text, "vector": [1.0]}
        lake.add("item_embeddings", pa.Table.from_pylist([row]))


def test_the_small_files_of_a_day_become_one_and_its_rows_stay(lake: Lake):
    tuesday = MONDAY + timedelta(days=1)
    add_one_by_one(lake, MONDAY, "a", "b", "c")
    lake.replace("promotions", promotions(tuesday, "d"), tuesday)
    before = rows(lake, "promotions")
    told = tidy(lake.table("promotions"), KEPT, now())
    assert (told["joined_days"], told["before"]["files"], told["after"]["files"]) == (1, 4, 2)
    assert (told["after"]["rows"], told["after"]["oldest"], told["after"]["newest"]) == (
        4,
        "2017-12-04",
        "2017-12-05",
    )
    assert rows(lake, "promotions") == before
    again = tidy(lake.table("promotions"), KEPT, now())
    assert (again["joined_days"], again["after"]) == (0, told["after"])


def test_a_table_that_is_not_split_by_day_is_joined_as_a_whole(lake: Lake):
    vectors(lake, "a", "b", "c")
    before = rows(lake, "item_embeddings")
    told = tidy(lake.table("item_embeddings"), KEPT, now())
    assert (told["before"]["files"], told["after"]["files"]) == (3, 1)
    assert rows(lake, "item_embeddings") == before


def test_a_day_with_as_many_files_as_it_needs_is_left_alone():
    full = maintenance.FULL_FILE_BYTES

    def crowded(*sizes: int) -> bool:
        listed = pa.table({"day": [MONDAY] * len(sizes), "bytes": sizes, "rows": [1] * len(sizes)})
        return maintenance.crowded_days(listed) == [MONDAY]

    assert not crowded(5)
    assert crowded(5, 5)
    assert not crowded(full, full, full - 1)
    assert crowded(full, 1, 1, 1)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something done once, by another, after the next writer has read and before it commits."""

    def arrange(act: Callable[[], object]) -> None:
        read, waiting = Table.rows, [act]

        def rows_and_then(table: Table, version: int | None = None) -> object:
            found = read(table, version)
            if waiting:
                waiting.pop()()
            return found

        monkeypatch.setattr(Table, "rows", rows_and_then)

    return arrange


def test_a_day_replaced_while_its_files_are_joined_keeps_the_new_rows(lake: Lake, meanwhile: Callable):
    add_one_by_one(lake, MONDAY, "a", "b")
    meanwhile(lambda: lake.replace("promotions", promotions(MONDAY, "new"), MONDAY))
    lake.table("promotions").rewrite(MONDAY)
    assert [row["item_id"] for row in rows(lake, "promotions")] == ["new"]


def test_rows_added_while_all_files_are_joined_stay(lake: Lake, meanwhile: Callable):
    vectors(lake, "a", "b")
    meanwhile(lambda: vectors(lake, "new"))
    lake.table("item_embeddings").rewrite()
    assert [row["text"] for row in rows(lake, "item_embeddings")] == ["a", "b", "new"]


def test_two_that_join_the_same_files_do_not_double_the_rows(lake: Lake, meanwhile: Callable):
    vectors(lake, "a", "b")
    meanwhile(lake.table("item_embeddings").rewrite)
    lake.table("item_embeddings").rewrite()
    assert [row["text"] for row in rows(lake, "item_embeddings")] == ["a", "b"]


def written_four_times(lake: Lake) -> None:
    """Versions 1 to 4 of a day: written 60, 40 and 10 days ago, and today."""
    for days, display in ((20, "60 days ago"), (30, "40 days ago"), (10, "10 days ago"), (0, "today")):
        lake.replace("promotions", promotions(MONDAY, "a", display=display), MONDAY)
        age(lake, "promotions", days)


def test_a_version_that_was_the_newest_in_the_kept_days_stays_readable(lake: Lake):
    written_four_times(lake)
    told = tidy(lake.table("promotions"), KEPT, now())
    assert (told["oldest_version"], told["removed_files"]) == (2, 1)
    assert displays(lake, 2) == {"a": "40 days ago"}, "it was the newest until 10 days ago"
    assert displays(lake, 3) == {"a": "10 days ago"}
    assert displays(lake, 4) == {"a": "today"}
    with pytest.raises(LakeError, match="promotions: no version 1"):
        displays(lake, 1)


def test_it_stays_readable_when_a_checkpoint_lost_the_removal(lake: Lake):
    written_four_times(lake)
    age(lake, "promotions", 9)
    DeltaTable(f"{lake.uri}/promotions").create_checkpoint()
    told = tidy(lake.table("promotions"), KEPT, now())
    assert (told["oldest_version"], told["removed_files"]) == (2, 1)
    assert [displays(lake, version)["a"] for version in (2, 3, 4)] == ["40 days ago", "10 days ago", "today"]


def test_a_quiet_table_keeps_the_version_that_has_just_been_replaced(lake: Lake):
    lake.replace("promotions", promotions(MONDAY, "a", display="a year ago"), MONDAY)
    age(lake, "promotions", 365)
    lake.replace("promotions", promotions(MONDAY, "a", display="today"), MONDAY)
    tidy(lake.table("promotions"), KEPT, now())
    tidy(lake.table("promotions"), KEPT, now())
    assert displays(lake, 1) == {"a": "a year ago"}


def test_deltas_own_clean_up_does_not_remove_it_either(lake: Lake):
    lake.replace("promotions", promotions(MONDAY, "a", display="a year ago"), MONDAY)
    lake.table("promotions").open().alter.set_table_properties({"delta.checkpointInterval": "1"})
    age(lake, "promotions", 365)
    lake.replace("promotions", promotions(MONDAY, "a", display="today"), MONDAY)
    assert displays(lake, 2) == {"a": "a year ago"}


def test_old_files_of_a_killed_writer_are_removed(lake: Lake):
    lake.replace("promotions", promotions(MONDAY, "a"), MONDAY)
    for days in (40, 0):
        Path(lake.uri, "promotions", f"landed_on={MONDAY}", f"left-{days}.parquet").write_bytes(
            b"half a file"
        )
        age(lake, "promotions", days)
    assert parquet(lake, "promotions") == 3
    tidy(lake.table("promotions"), KEPT, now())
    assert parquet(lake, "promotions") == 2
    assert len(rows(lake, "promotions")) == 1


def test_a_dry_run_says_what_would_be_done_and_does_nothing(lake: Lake):
    written_four_times(lake)
    add_one_by_one(lake, MONDAY, "b")
    version, there = lake.version("promotions"), parquet(lake, "promotions")
    told = tidy(lake.table("promotions"), KEPT, now(), dry_run=True)
    assert (told["joined_days"], told["removed_files"]) == (1, 1)
    assert (lake.version("promotions"), parquet(lake, "promotions")) == (version, there)


def test_old_days_are_dropped_where_lake_yaml_says_so(lake: Lake):
    for offset in (0, 1, 10):
        day = MONDAY + timedelta(days=offset)
        lake.replace("scores", scores(day), day)
    told = tidy(lake.table("scores"), Upkeep(keep={"scores": 9}), now())
    assert told["dropped_days"] == 1
    assert lake.days("scores") == {MONDAY + timedelta(days=offset) for offset in (1, 10)}
    assert tidy(lake.table("scores"), KEPT, now())["dropped_days"] == 0


def test_days_of_facts_and_decisions_cannot_be_dropped(tmp_path: Path):
    (tmp_path / "lake.yaml").write_text("kept_days: 0\nkeep: {events: 400}\n")
    with pytest.raises(config.ConfigError) as refused:
        config.load("lake", Upkeep, tmp_path)
    assert "kept_days: Input should be greater than or equal to 1; found 0" in str(refused.value)
    assert "days of events cannot be dropped; allowed are ('profiles'," in str(refused.value)


def test_a_table_that_cannot_be_tidied_hides_no_other(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    add_one_by_one(lake, MONDAY, "a", "b")
    Path(lake.uri, "scores", "_delta_log").mkdir(parents=True)
    Path(lake.uri, "scores", "_delta_log", f"{0:020}.json").write_text("no log\n")
    with pytest.raises(LakeError, match="1 of 2 tables could not be tidied: scores: "):
        maintain(["scores", "promotions"], now())
    assert len(DeltaTable(f"{lake.uri}/promotions").file_uris()) == 1


def test_every_table_is_tidied_unless_some_are_named(lake: Lake):
    add_one_by_one(lake, MONDAY, "a", "b")
    told = maintain([], now())
    assert list(told) == list(contracts.CONTRACTS)
    assert told["promotions"]["joined_days"] == 1
    assert told["events"] == {}, "nobody has written it"
    with pytest.raises(LakeError, match="no table 'event'; the lake has events, items"):
        maintain(["event"], now())


def test_the_vault_is_tidied_as_well(lake: Lake):
    vault = open_vault()
    for name in ("a", "b"):
        contact = {
            "customer_id": name,
            "valid_from": MONDAY,
            "known_on": MONDAY,
            "email": f"{name}@example.com",
        }
        vault.add("contacts", pa.Table.from_pylist([contact | {"phone": None, "push_token": None}]))
    told = maintain(["contacts"], now())["contacts"]
    assert (told["joined_days"], told["after"]["files"]) == (1, 1)
    assert "example.com" not in str(told)


def test_what_killed_tasks_left_in_the_staging_folder_goes_after_two_days(tmp_path: Path):
    old, busy, new, spilled = "tmpa1b2c3d4", "recommendations-busy_123", "tmpnew_1234", "duckdb_temp_block-1"
    for name in (old, busy, new, "spill"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.parquet").touch()
    (tmp_path / "spill" / spilled).touch()
    past = time.time() - 3 * 86400
    for path in (old, f"{old}/rows.parquet", busy, "spill", f"spill/{spilled}"):
        os.utime(tmp_path / path, (past, past))
    assert maintenance.sweep(tmp_path, now() - timedelta(days=2), dry_run=True) == [spilled, old]
    assert maintenance.sweep(tmp_path, now() - timedelta(days=2)) == [spilled, old]
    assert {path.name for path in tmp_path.iterdir()} == {busy, new, "spill"}


def test_a_file_that_no_task_made_stays_in_the_staging_folder(tmp_path: Path):
    (tmp_path / "spill").mkdir()
    (tmp_path / "photos").mkdir()
    mine = ["thesis.txt", "photos/a.jpg", "spill/notes.txt"]
    past = time.time() - 300 * 86400
    for name in (*mine, "photos"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (past, past))
    assert maintenance.sweep(tmp_path, now() - timedelta(days=2)) == []
    assert all((tmp_path / name).exists() for name in mine)


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
import deltalake
from deltalake import DeltaTable
from perennial.foundation.lake import maintenance, table

def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

def dying(act, calls):
    done = []
    def acts(*arguments, **more):
        done.append(act(*arguments, **more))
        if len(done) == calls:
            die()
        return done[-1]
    return acts

point = "{point}"
if point == "before a commit":
    table.write_deltalake = die
elif point == "between two days":
    table.write_deltalake = dying(table.write_deltalake, 1)
elif point == "before the vacuum":
    DeltaTable.vacuum = die
elif point == "after the vacuum":
    DeltaTable.vacuum = dying(DeltaTable.vacuum, 1)
elif point == "between a checkpoint and the log":
    DeltaTable.cleanup_metadata = die
elif point == "after the log":
    DeltaTable.cleanup_metadata = dying(DeltaTable.cleanup_metadata, 1)
maintenance.maintain(["promotions"], datetime.now(UTC))
"""


@pytest.mark.parametrize(
    "point",
    [
        "before a commit",
        "between two days",
        "before the vacuum",
        "after the vacuum",
        "between a checkpoint and the log",
        "after the log",
    ],
)
def test_killed_anywhere_and_run_again_the_content_is_equal(shop: Path, lake: Lake, point: str):
    undisturbed = Lake(str(shop / "undisturbed"))
    for each in (lake, undisturbed):
        written_four_times(each)
        for day in (MONDAY, MONDAY + timedelta(days=1)):
            add_one_by_one(each, day, "b", "c")
    environment = os.environ | {"PYTHONPATH": "include"}
    process = subprocess.run(
        [sys.executable, "-c", KILLED.format(point=point)], env=environment, capture_output=True
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert differences(lake, undisturbed, ["promotions"]) == []
    told = maintain(["promotions"], now())["promotions"]
    assert differences(lake, undisturbed, ["promotions"]) == []
    assert told["after"]["files"] == 2
    assert displays(lake, 2) == {"a": "40 days ago"}
