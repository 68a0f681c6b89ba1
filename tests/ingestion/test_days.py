"""Late, repeated, corrected, re-sent: what days make of events that do not come once and in order."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from perennial.foundation.lake import Lake
from perennial.ingestion import pipeline
from perennial.ingestion.errors import RefusedTableError
from perennial.ingestion.reconciliation import reconcile
from perennial.ingestion.screening import Storage
from tests.conftest import forget
from tests.content import differences, rows
from tests.ingestion.drops import Row, drop, drop_all, promotion, purchase, user

YESTERDAY, TODAY, TOMORROW = "2024-05-02", "2024-05-03", "2024-05-04"


def day(text: str) -> date:
    return date.fromisoformat(text)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T10:00").replace(tzinfo=UTC)


def known(lake: Lake, on: str) -> dict[str, float]:
    """Event → revenue, as known at the end of a day."""
    found = lake.known("events", day(on)).select("event_id", "revenue").to_pyarrow().to_pylist()
    assert len({row["event_id"] for row in found}) == len(found)
    return {row["event_id"]: float(row["revenue"]) for row in found}


def reasons(lake: Lake) -> list[str]:
    return [reason.split(":")[0] for row in rows(lake, "quarantine") for reason in row["reasons"]]


def balanced() -> bool:
    return all(entry.balanced for entry in reconcile(Storage.from_settings(), day(YESTERDAY), day(TOMORROW)))


def empty(shop: Path, table: str, on: str) -> None:
    for path in (shop / "landing" / table / on).iterdir():
        path.unlink()


def test_a_day_landed_twice_is_the_same_day(shop: Path, lake: Lake):
    drop_all(shop, events=[purchase(), purchase("bad", quantity=0)])
    first = pipeline.ingest(YESTERDAY)
    once = {name: rows(lake, name) for name in ("items", "users", "events", "quarantine", "validations")}
    assert pipeline.ingest(YESTERDAY) == first
    assert {name: rows(lake, name) for name in once} == once
    assert balanced()


def test_a_late_event_keeps_its_time_and_is_not_known_before_it_came(shop: Path, lake: Lake):
    drop_all(shop)
    pipeline.ingest(YESTERDAY)
    late = purchase("late", occurred_at=at(YESTERDAY), revenue=7.0)
    drop(shop, "events", [late, purchase("new", occurred_at=at(TODAY))], TODAY)
    pipeline.ingest(TODAY)
    found = {row["event_id"]: (row["occurred_at"], row["landed_on"]) for row in rows(lake, "events")}
    assert found["late"] == (at(YESTERDAY), day(TODAY))
    assert set(known(lake, YESTERDAY)) == {"e1"}
    assert set(known(lake, TODAY)) == {"e1", "late", "new"}
    assert balanced()


def test_a_corrected_event_is_a_new_version_and_the_past_keeps_the_old_one(shop: Path, lake: Lake):
    drop_all(shop)
    pipeline.ingest(YESTERDAY)
    drop(shop, "events", [purchase(revenue=30.0)], TODAY)
    assert pipeline.ingest(TODAY)["events"] == {"landed": 1, "published": 1, "quarantined": 0}
    assert {row["landed_on"]: float(row["revenue"]) for row in rows(lake, "events")} == {
        day(YESTERDAY): 36.0,
        day(TODAY): 30.0,
    }
    assert (known(lake, YESTERDAY), known(lake, TODAY)) == ({"e1": 36.0}, {"e1": 30.0})


def test_a_repeated_event_within_a_landing_is_quarantined_as_repeated(shop: Path, lake: Lake):
    drop_all(shop)
    drop(shop, "events", [purchase("e2", revenue=1.0), purchase("e2", revenue=2.0)], name="b.parquet")
    drop(shop, "events", [purchase("e2", revenue=3.0)], name="c.parquet")
    pipeline.ingest(YESTERDAY)
    assert known(lake, YESTERDAY) == {"e1": 36.0, "e2": 1.0}, "the first by file and line counts"
    places = [(row["file"].split("/")[-1], row["line"], row["reasons"]) for row in rows(lake, "quarantine")]
    reason = ["event_id repeated: 'e2' came before in this landing"]
    assert places == [("b.parquet", 2, reason), ("c.parquet", 1, reason)]
    assert balanced()


def test_a_re_sent_file_replaces_its_day_and_only_it(shop: Path, lake: Lake):
    drop_all(shop, events=[purchase(), purchase("gone"), purchase("bad", quantity=0)])
    pipeline.ingest(YESTERDAY)
    drop(shop, "events", [purchase("later", occurred_at=at(TODAY))], TODAY)
    pipeline.ingest(TODAY)
    drop(shop, "events", [purchase(revenue=30.0)], YESTERDAY)
    empty(shop, "assignments", YESTERDAY)
    pipeline.ingest(YESTERDAY)
    assert known(lake, TODAY) == {"e1": 30.0, "later": 36.0}
    assert rows(lake, "assignments") == rows(lake, "quarantine") == []
    assert balanced()


def test_a_day_whose_file_comes_after_the_next_days_changes_nothing_in_the_end(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
):
    newcomer = purchase("of c2", customer_id="c2", occurred_at=at(TOMORROW))
    drop_all(shop, YESTERDAY)
    pipeline.ingest(YESTERDAY)
    drop(shop, "events", [newcomer, purchase("tomorrow", occurred_at=at(TOMORROW))], TOMORROW)
    assert pipeline.waits_for(day(TOMORROW)) is None, "nobody can know that there will be a file"
    pipeline.ingest(TOMORROW)
    assert reasons(lake) == ["customer_id unknown"]
    drop(shop, "users", [user("c2")], TODAY)
    drop(shop, "events", [purchase("today", occurred_at=at(TODAY))], TODAY)
    assert pipeline.waits_for(day("2024-05-05")) == day(TODAY), "a day that has files by now is to come first"
    for later in (TODAY, TOMORROW):
        pipeline.ingest(later)
    assert reasons(lake) == []
    assert list(map(sorted, (known(lake, TODAY), known(lake, TOMORROW)))) == [
        ["e1", "today"],
        ["e1", "of c2", "today", "tomorrow"],
    ]
    in_order = Lake(str(shop / "in_order"))
    monkeypatch.setenv("PERENNIAL_LAKE", in_order.uri)
    forget()
    for each in (YESTERDAY, TODAY, TOMORROW):
        pipeline.ingest(each)
    assert differences(lake, in_order) == []


def test_yesterdays_file_sent_twice_under_todays_day_counts_nothing_double(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
):
    (shop / "config").mkdir()
    (shop / "config" / "sources.yaml").write_text("tables: {events: {rules: {newest_within_days: 3}}}")
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    forget()
    events: list[Row] = [purchase("e1"), purchase("e2", revenue=5.0)]
    drop_all(shop, events=events)
    pipeline.ingest(YESTERDAY)
    before = known(lake, YESTERDAY)
    for name in ("a.parquet", "b.parquet"):
        drop(shop, "events", events, TODAY, name)
        drop(shop, "promotions", [promotion()], TODAY, name)
    counts = pipeline.ingest(TODAY)
    assert counts["events"] == {"landed": 4, "published": 2, "quarantined": 2}
    assert counts["promotions"] == {"landed": 2, "published": 1, "quarantined": 1}
    assert set(reasons(lake)) == {"event_id repeated", "item_id repeated"}
    assert known(lake, TODAY) == known(lake, YESTERDAY) == before
    assert balanced()
    drop(shop, "events", events, "2024-05-06")
    said = "events: 2024-05-06: the newest row happened 4 days before the landing; allowed are at most 3"
    with pytest.raises(RefusedTableError, match=said):
        pipeline.ingest("2024-05-06")
    assert known(lake, "2024-05-06") == before
