import multiprocessing
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest

from perennial.foundation import contracts
from perennial.foundation.lake import Lake, LakeError, open_vault
from perennial.foundation.lake.table import Stretch

MONDAY = date(2017, 12, 4)


def events(*rows: dict) -> pa.Table:
    """Purchases with sensible values wherever a row names none."""
    default = {"customer_id": "c1", "event_type": "purchase", "revenue": Decimal("1.50"), "quantity": 1}
    filled = []
    for row in rows:
        landed = row["landed_on"]
        noon = datetime.combine(landed, datetime.min.time(), UTC) + timedelta(hours=12)
        filled.append(default | {"occurred_at": noon, "known_on": landed} | row)
    names = contracts.EVENTS.schema.names
    complete = [{name: row.get(name) for name in names} for row in filled]
    return pa.Table.from_pylist(
        complete, schema=pa.schema([f.with_nullable(True) for f in contracts.EVENTS.schema])
    )


def ids(rows: ir.Table) -> list[str]:
    return sorted(rows.event_id.execute())


def test_a_table_that_was_never_written_is_empty_with_the_contracts_columns(lake: Lake):
    rows = lake.read("events")
    assert rows.count().execute() == 0
    assert rows.columns == tuple(contracts.EVENTS.schema.names)
    assert lake.version("events") is None


def test_replacing_a_day_leaves_the_other_days_alone(lake: Lake):
    lake.replace("events", events({"event_id": "a", "landed_on": MONDAY}), MONDAY)
    tuesday = MONDAY + timedelta(days=1)
    lake.replace("events", events({"event_id": "b", "landed_on": tuesday}), tuesday)
    lake.replace("events", events({"event_id": "c", "landed_on": MONDAY}), MONDAY)
    assert ids(lake.read("events")) == ["b", "c"]
    assert lake.days("events") == {MONDAY, tuesday}


def test_stretches_of_a_day_are_replaced_at_the_same_time_and_by_themselves(lake: Lake):
    tuesday = MONDAY + timedelta(days=1)
    customers, edges = ["Ada", "O'Hara", "Zoë", "o b"], [None, "O'Hara", "Zoë", None]

    def bought(by: str, day: date, *names: str) -> pa.Table:
        return events(*({"event_id": f"{by} {n}", "customer_id": n, "landed_on": day} for n in names))

    lake.replace("events", bought("old", MONDAY, *customers, "gone"), MONDAY)
    lake.replace("events", bought("old", tuesday, "Ada"), tuesday)
    stretches = [Stretch("customer_id", start, end) for start, end in pairwise(edges)]
    whole = ibis.memtable(bought("new", MONDAY, *customers))
    parts = [one.of(whole).to_pyarrow() for one in stretches]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one, part: lake.replace("events", part, MONDAY, only=one), stretches, parts))
    assert ids(lake.read("events")) == sorted([f"new {name}" for name in customers] + ["old Ada"])
    lake.replace(
        "events",
        stretches[1].of(ibis.memtable(bought("again", MONDAY, *customers))),
        MONDAY,
        only=stretches[1],
    )
    assert [name for name in ids(lake.read("events")) if name.startswith("again")] == ["again O'Hara"]
    with pytest.raises(LakeError, match="events"):
        lake.replace("events", bought("new", MONDAY, "Ada"), MONDAY, only=stretches[1])


def test_a_lake_may_lie_in_a_folder_with_blanks_in_its_name(tmp_path: Path):
    lake = Lake(str(tmp_path / "my shop, 100 %"))
    lake.replace("events", events({"event_id": "e1", "landed_on": MONDAY}), MONDAY)
    assert ids(lake.read("events")) == ["e1"]


def test_replacing_with_nothing_empties_the_day(lake: Lake):
    lake.replace("events", events({"event_id": "a", "landed_on": MONDAY}), MONDAY)
    lake.replace("events", events(), MONDAY)
    assert ids(lake.read("events")) == []


def test_rows_outside_the_replaced_days_are_refused(lake: Lake):
    with pytest.raises(LakeError, match="events"):
        lake.replace("events", events({"event_id": "a", "landed_on": MONDAY}), MONDAY + timedelta(days=1))


def test_a_missing_column_and_a_null_in_a_required_one_are_named(lake: Lake):
    with pytest.raises(LakeError, match=r"events: missing \['revenue'\]"):
        lake.replace("events", events({"event_id": "a", "landed_on": MONDAY}).drop_columns("revenue"), MONDAY)
    with pytest.raises(LakeError, match="customer_id is null in 1 rows"):
        lake.replace("events", events({"event_id": "a", "landed_on": MONDAY, "customer_id": None}), MONDAY)


def test_an_event_that_lands_later_is_not_known_before(lake: Lake):
    late = {"event_id": "late", "landed_on": MONDAY + timedelta(days=1)}
    noon = datetime(2017, 12, 4, 12, tzinfo=UTC)
    lake.replace("events", events(late | {"occurred_at": noon}), MONDAY, MONDAY + timedelta(days=1))
    assert ids(lake.known("events", MONDAY)) == []
    assert ids(lake.known("events", MONDAY + timedelta(days=1))) == ["late"]


def test_an_event_of_tomorrow_is_not_known_today_even_if_it_landed(lake: Lake):
    tomorrow = datetime(2017, 12, 5, 0, 0, tzinfo=UTC)
    lake.replace("events", events({"event_id": "a", "landed_on": MONDAY, "occurred_at": tomorrow}), MONDAY)
    assert ids(lake.known("events", MONDAY)) == []


def test_of_two_versions_the_newest_known_counts(lake: Lake):
    tuesday = MONDAY + timedelta(days=1)
    first = {"event_id": "a", "landed_on": MONDAY, "revenue": Decimal("1.00")}
    second = {"event_id": "a", "landed_on": tuesday, "revenue": Decimal("2.00")}
    lake.replace("events", events(first, second), MONDAY, tuesday)
    assert lake.known("events", MONDAY).revenue.execute().tolist() == [Decimal("1.0000")]
    assert lake.known("events", tuesday).revenue.execute().tolist() == [Decimal("2.0000")]


def test_a_pinned_lake_does_not_see_later_writes(lake: Lake):
    lake.replace("events", events({"event_id": "a", "landed_on": MONDAY}), MONDAY)
    pinned = lake.pinned("events")
    lake.replace("events", events({"event_id": "b", "landed_on": MONDAY}), MONDAY)
    assert ids(pinned.read("events")) == ["a"]
    assert pinned.version("events") < lake.version("events")


def vectors(hashes: list[str], value: float) -> pa.Table:
    rows = [{"encoder": "e", "text_hash": h, "text": h, "vector": [value, 0.0]} for h in hashes]
    return pa.Table.from_pylist(rows)


def test_adding_keeps_what_is_there_and_repeating_it_changes_nothing(lake: Lake):
    lake.add("item_embeddings", vectors(["1", "2"], 1.0))
    lake.add("item_embeddings", vectors(["2", "3"], 2.0))
    version = lake.add("item_embeddings", vectors(["1", "2", "3"], 3.0))
    found = lake.read("item_embeddings").execute().sort_values("text_hash")
    assert [vector[0] for vector in found.vector] == [1.0, 1.0, 2.0]
    assert lake.add("item_embeddings", vectors(["1"], 4.0)) == version


def test_rows_added_while_others_are_removed_are_filtered_too(lake: Lake):
    lake.add("item_embeddings", vectors(["1", "2"], 1.0))
    before, meanwhile = lake.pinned("item_embeddings"), [["3"], ["2", "4"]]

    def odd(rows: ir.Table) -> ir.Table:
        if meanwhile:
            lake.add("item_embeddings", vectors(meanwhile.pop(), 2.0))
        return rows.filter(rows.text_hash.isin(["1", "3"]))

    lake.keep("item_embeddings", odd)
    assert not meanwhile
    assert sorted(lake.read("item_embeddings").text_hash.execute()) == ["1", "3"]
    assert sorted(before.read("item_embeddings").text_hash.execute()) == ["1", "2"]


def promotion(item: str, store: str | None, display: str) -> dict:
    days = dict.fromkeys(("week", "landed_on", "known_on"), MONDAY)
    return {"item_id": item, "store_id": store, "display": display, "mailer": None} | days


def displays(lake: Lake) -> dict[tuple, str]:
    rows = lake.read("promotions").to_pyarrow().to_pylist()
    return {(row["item_id"], row["store_id"]): row["display"] for row in rows}


def test_a_key_with_a_null_is_found_again(lake: Lake):
    lake.add("promotions", pa.Table.from_pylist([promotion("i", None, "front"), promotion("i", "s", "end")]))
    lake.add("promotions", pa.Table.from_pylist([promotion("i", None, "back"), promotion("j", None, "side")]))
    assert displays(lake) == {("i", None): "front", ("i", "s"): "end", ("j", None): "side"}


def test_amending_changes_the_rows_that_are_there_and_adds_none(lake: Lake):
    lake.add("promotions", pa.Table.from_pylist([promotion("i", None, "front"), promotion("i", "s", "end")]))
    before = lake.pinned("promotions")
    amended = [promotion("i", None, "back"), promotion("j", "s", "side")]
    lake.amend("promotions", pa.Table.from_pylist(amended))
    assert displays(lake) == {("i", None): "back", ("i", "s"): "end"}
    assert displays(before) == {("i", None): "front", ("i", "s"): "end"}


def test_amending_one_row_in_two_ways_changes_nothing(lake: Lake):
    lake.add("promotions", pa.Table.from_pylist([promotion("i", "s", "front")]))
    with pytest.raises(LakeError, match="promotions: the write failed"):
        lake.amend("promotions", pa.Table.from_pylist([promotion("i", "s", d) for d in ("back", "end")]))
    assert displays(lake) == {("i", "s"): "front"}


def test_the_first_record_of_a_day_wins(lake: Lake):
    row = {"audience": "loyal", "day": MONDAY}
    assert lake.create("audiences", pa.Table.from_pylist([row | {"customer_id": "c1"}]), MONDAY)
    assert not lake.create("audiences", pa.Table.from_pylist([row | {"customer_id": "c2"}]), MONDAY)
    assert lake.read("audiences").customer_id.execute().tolist() == ["c1"]


def _write_day(uri: str, offset: int) -> None:
    day = MONDAY + timedelta(days=offset)
    Lake(uri).replace("events", events({"event_id": f"e{offset}", "landed_on": day}), day)


def _add_vectors(uri: str, offset: int) -> None:
    Lake(uri).add("item_embeddings", vectors([str(n) for n in range(offset, offset + 20)], 1.0))


def _amend_one(uri: str, offset: int) -> None:
    row = promotion(str(offset), None, "amended")
    Lake(uri).amend("promotions", pa.Table.from_pylist([row]))


@pytest.mark.parametrize(
    ("write", "table", "rows"), [(_write_day, "events", 4), (_add_vectors, "item_embeddings", 23)]
)
def test_writers_at_the_same_time_all_succeed_and_nothing_doubles(
    shop: Path, write: Callable, table: str, rows: int
):
    uri = str(shop / "lake")
    processes = multiprocessing.get_context("spawn")
    with processes.Pool(4) as pool:
        pool.starmap(write, [(uri, offset) for offset in range(4)])
    assert Lake(uri).read(table).count().execute() == rows


def test_amendments_at_the_same_time_are_all_kept(shop: Path):
    lake = Lake(str(shop / "lake"))
    lake.add("promotions", pa.Table.from_pylist([promotion(str(n), None, "as landed") for n in range(4)]))
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_amend_one, [(lake.uri, offset) for offset in range(4)])
    assert set(displays(lake).values()) == {"amended"}


def test_only_the_vault_opens_the_contacts_and_only_its_owner_the_folder(lake: Lake, shop: Path):
    with pytest.raises(LakeError, match="contacts: is not here; it is in the vault"):
        lake.read("contacts")
    with pytest.raises(LakeError, match="vault"):
        lake.replace("contacts", pa.table({}), MONDAY)
    vault = open_vault()
    assert stat.S_IMODE((shop / "vault").stat().st_mode) == 0o700
    row = {"customer_id": "c1", "valid_from": MONDAY, "known_on": MONDAY, "email": "anna@example.com"}
    nothing = {"phone": None, "push_token": None}
    vault.replace("contacts", pa.Table.from_pylist([row | nothing]), MONDAY)
    assert open_vault().known("contacts", MONDAY).email.execute().tolist() == ["anna@example.com"]
    assert not (shop / "lake" / "contacts").exists()
    with pytest.raises(LakeError, match="events: is not here; it is in the lake"):
        vault.read("events")
    with pytest.raises(LakeError, match="contacts"):
        lake.pinned("events").read("contacts")
