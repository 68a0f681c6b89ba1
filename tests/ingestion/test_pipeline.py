import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from perennial.foundation import contracts
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import open_ledger
from perennial.ingestion import pipeline
from perennial.ingestion.errors import RefusedTableError, SourceError
from perennial.ingestion.reconciliation import reconcile
from perennial.ingestion.screening import Storage
from tests.conftest import forget
from tests.content import rows
from tests.ingestion.drops import (
    DAY,
    Row,
    assignment,
    campaign,
    drop,
    drop_all,
    item,
    purchase,
    user,
)

TODAY = date.fromisoformat(DAY)


def refused(lake: Lake) -> dict[str, list[str]]:
    """Id of each refused row → its reasons."""
    found = {}
    for row in rows(lake, "quarantine"):
        key = contracts.CONTRACTS[row["table"]].key[0]
        found[str(json.loads(row["row"]).get(key))] = row["reasons"]
    return found


def test_a_good_day_is_published_whole_and_closed(shop: Path, lake: Lake):
    drop_all(shop)
    counts = pipeline.ingest(DAY)
    one = {"landed": 1, "published": 1, "quarantined": 0}
    assert counts == dict.fromkeys(contracts.LANDED_TABLES, one) | {"report": f"data_docs/{DAY}/index.html"}
    (event,) = rows(lake, "events")
    assert str(event["revenue"]) == "36.0000"
    assert event["known_on"] == event["landed_on"] == TODAY
    assert open_ledger().closed_days() == {TODAY}


EVENT_RULES: list[tuple[Row, str]] = [
    ({"customer_id": " "}, "customer_id missing: it is required"),
    ({"customer_id": "c9"}, "customer_id unknown: 'c9' was not known on the day it landed"),
    ({"event_type": "sale"}, f"event_type not allowed: 'sale' is none of {', '.join(contracts.EVENT_TYPES)}"),
    ({"occurred_at": None}, "occurred_at missing: it is required"),
    (
        {"occurred_at": datetime(2024, 5, 3, tzinfo=UTC)},
        "occurred_at too late: 2024-05-03 00:00:00+00:00 is after the day it landed",
    ),
    ({"item_id": "i9"}, "item_id unknown: 'i9' was not known on the day it landed"),
    ({"item_id": None}, "item_id missing: a purchase or return needs it"),
    ({"order_id": None}, "order_id missing: a purchase or return needs it"),
    ({"quantity": None}, "quantity missing: a purchase or return needs it"),
    ({"quantity": 0}, "quantity out of range: 0 is not at least 1"),
    ({"revenue": None}, "revenue missing: a purchase or return needs it"),
    ({"revenue": -1.5}, "revenue out of range: -1.5 is not at least 0"),
    ({"revenue": float("nan")}, "revenue unreadable: 'nan' is no amount of money"),
    ({"event_type": "return"}, "revenue out of range: 36.0 is not at most 0"),
    ({"unit_price": 1e12}, "unit_price unreadable: 1000000000000.0 is no amount of money"),
    ({"shelf_discount": -0.5}, "shelf_discount out of range: -0.5 is not at least 0"),
]


def test_each_rule_of_events_refuses_with_its_reason(shop: Path, lake: Lake):
    bad = [purchase(f"bad{n}") | change for n, (change, _) in enumerate(EVENT_RULES)]
    nobody = purchase(None)
    harmless = {"event_type": "view", "item_id": None, "order_id": None, "quantity": None, "revenue": None}
    drop_all(shop, events=[purchase(), purchase("view") | harmless, *bad, nobody])
    assert pipeline.ingest(DAY)["events"] == {"landed": 19, "published": 2, "quarantined": 17}
    expected = {f"bad{n}": [reason] for n, (_, reason) in enumerate(EVENT_RULES)}
    assert refused(lake) == expected | {"None": ["event_id missing: it is required"]}


def test_each_rule_of_the_other_tables_refuses_with_its_reason(shop: Path, lake: Lake):
    drop_all(
        shop,
        items=[item(), item("i2", price=-1.0), item("i3", title=None)],
        users=[
            user(),
            user("c2", time_zone="Mars/Olympus"),
            user("c3", consents=["email", "fax"]),
            user("c4", joined_on=date(2024, 5, 3)),
        ],
        campaigns=[
            campaign(),
            campaign("k2", origin="rival"),
            campaign("k3", ends_on=date(2024, 4, 1)),
        ],
        assignments=[
            assignment(),
            assignment("k9"),
            assignment("k8", arm="placebo", propensity=1.5),
        ],
    )
    pipeline.ingest(DAY)
    assert refused(lake) == {
        "i2": ["price out of range: -1.0 is not at least 0"],
        "i3": ["title missing: it is required"],
        "c2": ["time_zone not allowed: 'Mars/Olympus' is no IANA time zone"],
        "c3": ["consents not allowed: ['email', 'fax'] names others than email, sms, push"],
        "c4": ["joined_on too late: 2024-05-03 is after the day it landed"],
        "k2": ["origin not allowed: 'rival' is none of shop, perennial"],
        "k3": ["ends_on out of order: 2024-04-01 is before starts_on"],
        "k9": ["campaign_id unknown: 'k9' was not known on the day it landed"],
        "k8": [
            "arm not allowed: 'placebo' is none of treatment, holdout, none",
            "campaign_id unknown: 'k8' was not known on the day it landed",
            "propensity out of range: 1.5 is not at least 0 and at most 1",
        ],
    }


def test_a_refused_row_names_all_its_reasons_its_file_and_its_line(shop: Path, lake: Lake):
    bad = purchase("e2", customer_id=None, item_id="i9", quantity=-1)
    drop_all(shop, events=[purchase(), bad])
    pipeline.ingest(DAY)
    (row,) = rows(lake, "quarantine")
    assert (row["table"], row["landed_on"]) == ("events", TODAY)
    assert (row["file"], row["line"]) == (f"events/{DAY}/rows.parquet", 2)
    assert row["reasons"] == [
        "customer_id missing: it is required",
        "item_id unknown: 'i9' was not known on the day it landed",
        "quantity out of range: -1 is not at least 1",
    ]


def test_rows_that_refer_to_a_refused_row_are_refused_too(shop: Path, lake: Lake):
    drop_all(shop, items=[item(price=-1.0)])
    pipeline.ingest(DAY)
    assert refused(lake)["e1"] == ["item_id unknown: 'i1' was not known on the day it landed"]


def test_an_unreadable_value_is_refused_without_a_crash(shop: Path, lake: Lake):
    good, bad = purchase(), purchase("e2", occurred_at="abc", quantity="1.5", revenue="3,60")
    text = [{name: str(value) for name, value in row.items()} for row in (good, bad)]
    drop_all(shop)
    drop(shop, "events", text, name="rows.csv")
    (shop / "landing" / "events" / DAY / "rows.parquet").unlink()
    assert pipeline.ingest(DAY)["events"] == {"landed": 2, "published": 1, "quarantined": 1}
    assert refused(lake)["e2"] == [
        "occurred_at unreadable: 'abc' is no point in time",
        "quantity unreadable: '1.5' is no whole number",
        "revenue unreadable: '3,60' is no amount of money",
    ]


def test_csv_lands_like_parquet(shop: Path, lake: Lake):
    good, bad = purchase("e2", quantity=" 3 "), purchase("e3", event_type="purchas")
    drop_all(shop)
    drop(shop, "events", [good, bad], name="more.csv")
    drop(shop, "users", [user("c2", consents="email|sms"), user("c3", consents="")], name="more.csv")
    counts = pipeline.ingest(DAY)
    assert counts["events"] == {"landed": 3, "published": 2, "quarantined": 1}
    assert {row["event_id"]: row["quantity"] for row in rows(lake, "events")} == {"e1": 2, "e2": 3}
    consents = {row["customer_id"]: row["consents"] for row in rows(lake, "users")}
    assert consents == {"c1": ["email"], "c2": ["email", "sms"], "c3": []}
    (row,) = rows(lake, "quarantine")
    assert (row["file"], row["line"]) == (f"events/{DAY}/more.csv", 2)


def test_files_may_name_their_columns_as_they_like(shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch):
    (shop / "config").mkdir()
    feed = '{feed: {files: "feeds/{table}-{day}.csv", columns: {title: Name}}}'
    (shop / "config" / "sources.yaml").write_text(f"tables: {{items: {{sources: {feed}}}}}")
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    forget()
    feed = shop / "landing" / "feeds" / f"items-{DAY}.csv"
    feed.parent.mkdir()
    feed.write_text("item_id,Name,available\ni1,Filter paper,true\ni2,,true\n", encoding="utf-8")
    pipeline.ingest(DAY)
    assert [row["title"] for row in rows(lake, "items")] == ["Filter paper"]
    assert refused(lake) == {"i2": ["title missing: it is required"]}


def fail(shop: Path, lake: Lake, **tables: list[Row]) -> str:
    """Land a good day again with these tables: what is said, while everything stays as it was."""
    drop_all(shop)
    pipeline.ingest(DAY)
    before = {name: lake.version(name) for name in lake.tables if name != "validations"}
    drop_all(shop, items=[item(), item("i2")])
    for table, content in tables.items():
        drop(shop, table, content)
    with pytest.raises(RefusedTableError) as refusal:
        pipeline.ingest(DAY)
    assert {name: lake.version(name) for name in before} == before
    return str(refusal.value)


def test_a_new_column_is_reported_and_ignored(shop: Path, lake: Lake, caplog: pytest.LogCaptureFixture):
    drop_all(shop, events=[purchase() | {"colour": "red"}])
    assert pipeline.ingest(DAY)["events"] == {"landed": 1, "published": 1, "quarantined": 0}
    assert f"events: events/{DAY}/rows.parquet: new columns colour are ignored" in caplog.text


def test_a_missing_column_stops_the_day_and_leaves_the_lake_as_it_was(shop: Path, lake: Lake):
    said = fail(shop, lake, items=[{"item_id": "i1", "available": True}])
    assert said.startswith(f"items: items/{DAY}/rows.parquet (source landing): column title is missing")


def test_a_retyped_column_stops_the_day_and_leaves_the_lake_as_it_was(shop: Path, lake: Lake):
    said = fail(shop, lake, events=[purchase(quantity="two")])
    assert said.startswith(
        f"events: events/{DAY}/rows.parquet (source landing): column quantity has the type text (string); "
        "allowed are integer, floating, decimal"
    )


def test_too_many_refused_rows_stop_the_day_and_leave_the_lake_as_it_was(shop: Path, lake: Lake):
    bad = [purchase(f"bad{n}", quantity=0) for n in range(21)]
    said = fail(shop, lake, events=[purchase(), *bad])
    assert said.startswith(f"events: {DAY}: found 21 of 22 rows refused (95.5%); allowed are at most 10.0%")
    assert f"(events/{DAY}/rows.parquet; quantity out of range: 21)" in said
    assert f"Nothing was published. All results: data_docs/{DAY}/index.html in the reports" in said


def test_a_file_without_rows_stops_the_day(shop: Path, lake: Lake):
    drop_all(shop)
    path = drop(shop, "events", [purchase()], name="rows.csv")
    (shop / "landing" / "events" / DAY / "rows.parquet").unlink()
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(RefusedTableError, match=f"events: {DAY}: found 0 rows; allowed are at least 1"):
        pipeline.ingest(DAY)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.xlsx", b"", "found a file of no known type; allowed are .csv"),
        ("rows.parquet", b"no parquet", "cannot be read"),
        ("rows.csv", b"a,a\n1,2\n", r"found the columns \['a'\] more than once"),
        ("rows.jsonl.gz", gzip.compress(b'{"item_id": "i2"}' * 99, mtime=0)[:-9], "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(shop: Path, name: str, content: bytes, said: str):
    drop_all(shop)
    path = shop / "landing" / "items" / DAY / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"items/{DAY}/{name}: {said}"):
        pipeline.ingest(DAY)


def test_a_line_that_is_no_row_is_quarantined_and_the_others_are_published(shop: Path, lake: Lake):
    drop_all(shop)
    lines = [
        b"item_id,title,available",
        b"i2,Tea,true",
        b"i3,Tea",
        "i4,Müsli,true".encode("latin-1"),
        b"i5,Tea,1",
    ]
    (shop / "landing" / "items" / DAY / "more.csv").write_bytes(b"\n".join(lines))
    assert pipeline.ingest(DAY)["items"] == {"landed": 5, "published": 3, "quarantined": 2}
    assert [(row["line"], row["reasons"]) for row in rows(lake, "quarantine")] == [
        (2, ["line broken: found 2 values; the header has 3 columns"]),
        (3, ["line broken: title is no UTF-8: invalid start byte at byte 1"]),
    ]


def test_history_is_known_when_it_happened_and_a_daily_landing_when_it_came(shop: Path, lake: Lake):
    old = [purchase(f"e{n}", occurred_at=datetime(2024, 4, n, 23, 30, tzinfo=UTC)) for n in (1, 2, 3)]
    drop_all(shop, events=[*old, purchase("now")])
    pipeline.load_history(DAY, DAY)
    known = {row["event_id"]: row["known_on"] for row in rows(lake, "events")}
    assert known == {f"e{n}": date(2024, 4, n) for n in (1, 2, 3)} | {"now": TODAY}
    pipeline.ingest(DAY)
    assert {row["known_on"] for row in rows(lake, "events")} == {TODAY}


def test_landed_is_published_plus_quarantined_for_each_table_and_day(shop: Path, lake: Lake):
    days = ["2024-05-02", "2024-05-03"]
    drop_all(shop, days[0], events=[purchase(), purchase("bad", quantity=0)])
    drop_all(shop, days[1], users=[user("c2"), user("c3", time_zone="x")])
    drop(shop, "events", [purchase("e5"), purchase("e6", customer_id="")], days[1], name="more.csv")
    for day in days:
        pipeline.ingest(day)
    entries = reconcile(Storage.from_settings(), *(date.fromisoformat(day) for day in days))
    assert all(entry.balanced for entry in entries)
    found = {(e.table, e.day.day): (e.landed, e.published, e.quarantined) for e in entries}
    assert found["events", 2] == (2, 1, 1)
    assert found["events", 3] == (3, 2, 1)
    assert found["users", 3] == (2, 1, 1)


def test_a_day_waits_for_earlier_days_that_landed_and_are_not_closed(shop: Path, lake: Lake):
    for day in ("2024-05-02", "2024-05-04"):
        drop_all(shop, day)
    assert pipeline.has_landed(date(2024, 5, 2))
    assert pipeline.is_skipped(date(2024, 5, 3))
    assert pipeline.unclosed_before(date(2024, 5, 5)) == [date(2024, 5, 2), date(2024, 5, 4)]
    assert pipeline.waits_for(date(2024, 5, 4)) == date(2024, 5, 2)
    pipeline.ingest("2024-05-02")
    assert pipeline.waits_for(date(2024, 5, 4)) is None
    assert pipeline.waits_for(date(2024, 5, 3)) == date(2024, 5, 3)
