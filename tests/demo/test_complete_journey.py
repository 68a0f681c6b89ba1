import hashlib
import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import ibis
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml

from perennial.demo import complete_journey, fictitious_contacts, item_titles
from perennial.demo.environment import CONFIG
from perennial.foundation import contracts, masking
from perennial.ingestion.source_settings import delivered

FIRST, LAST = date(2017, 1, 1), date(2017, 1, 8)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landing")
    complete_journey.land(folder, FIRST, LAST)
    return folder


def rows(landing: Path, table: str) -> list[dict]:
    return ds.dataset(sorted((landing / table).rglob("*.parquet"))).to_table().to_pylist()


def prints(landing: Path) -> dict[str, str]:
    """File → hash of its bytes."""
    files = sorted(landing.rglob("*.parquet"))
    return {str(path.relative_to(landing)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_landing_again_writes_the_same_bytes(landing: Path, tmp_path: Path):
    complete_journey.land(tmp_path, FIRST, date(2017, 1, 3))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    counts = complete_journey.land(tmp_path, FIRST, date(2017, 1, 3))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before
    assert counts["items"] > counts["events"] > counts["users"] > counts["campaigns"] > 0
    ours, theirs = prints(tmp_path), prints(landing)
    assert ours.items() <= theirs.items()
    assert {path for path in theirs if path.split("/")[1] <= "2017-01-03"} == set(ours)


def test_only_the_requested_days_are_written(landing: Path):
    days = {path.name for path in landing.glob("*/*")}
    assert days == {f"2017-01-0{n}" for n in range(1, 9)}
    assert not list(landing.rglob(".*.parquet*"))


def test_categories_that_the_settings_exclude_exist_in_the_demo():
    paths = complete_journey.items().category.to_pyarrow().to_pylist()
    named = {level for path in paths if path for level in path.split(" > ")}
    models, profiles = (
        yaml.safe_load((CONFIG / f"{name}.yaml").read_text()) for name in ("models", "profiles")
    )
    assert set(models["recommender"]["excluded_categories"]) <= named
    assert set(profiles["preferences"]["left_out"]) <= {path.split(" > ")[0] for path in paths if path}


def test_promotions_land_on_the_first_day_of_their_week():
    monday = date(2017, 11, 27)
    landed = complete_journey._promotions_landed().filter(ibis._._day <= monday).to_pyarrow()
    assert len(landed) == 359_551
    assert set(landed["_day"].to_pylist()) == set(landed["week"].to_pylist()) == {monday}
    assert landed.column_names == ["_day", *delivered(contracts.CONTRACTS["promotions"])]
    assert pc.all(pc.or_(pc.is_valid(landed["display"]), pc.is_valid(landed["mailer"]))).as_py()


def test_contacts_are_fictional_and_unique_for_each_household(landing: Path):
    contacts = rows(landing, "contacts")
    assert {row["customer_id"] for row in contacts} == {row["customer_id"] for row in rows(landing, "users")}
    for row in contacts:
        assert re.fullmatch(r"household\.\d+@example\.(com|net|org)", row["email"])
        assert re.fullmatch(r"\+1[2-9]\d\d55501\d\d", row["phone"])
        for contact in filter(None, (row["email"], row["phone"], row["push_token"])):
            assert masking.find(contact) == [contact]
    households = {fictitious_contacts.contact(str(household))["phone"] for household in range(1, 2501)}
    assert len(households) == 2500
    pushed = {row["customer_id"] for row in rows(landing, "users") if "push" in row["consents"]}
    assert {row["customer_id"] for row in contacts if row["push_token"]} == pushed


@pytest.mark.parametrize("table", sorted(set(contracts.LANDED_TABLES) - {"contacts", "promotions"}))
def test_no_other_table_contains_texts_that_look_like_contacts(landing: Path, table: str):
    rows = ibis.memtable(ds.dataset(sorted((landing / table).rglob("*.parquet"))).to_table())
    texts = [name for name, kind in rows.schema().items() if kind.is_string()]
    assert masking.hide(rows, texts, None) is rows


@pytest.mark.parametrize("table", contracts.LANDED_TABLES)
def test_files_have_only_columns_of_the_contract(landing: Path, table: str):
    for path in (landing / table).rglob("*.parquet"):
        assert set(pq.read_schema(path).names) <= set(delivered(contracts.CONTRACTS[table])), path


def test_every_event_lands_on_its_day_after_its_customer_and_campaign(landing: Path):
    users = {row["customer_id"]: row["joined_on"] for row in rows(landing, "users")}
    campaigns = {row["campaign_id"] for row in rows(landing, "campaigns")}
    for path in (landing / "events").rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert row["occurred_at"].date().isoformat() == path.parent.name
            assert users[row["customer_id"]] <= row["occurred_at"].date()
    for row in rows(landing, "assignments"):
        assert row["customer_id"] in users
        assert row["campaign_id"] in campaigns


def test_prices_discounts_and_revenue_add_up(landing: Path):
    for row in rows(landing, "events"):
        if row.get("quantity"):
            listed = row["unit_price"] * row["quantity"]
            by_coupon = listed - row["shelf_discount"] - row["revenue"]
            rounding = Decimal("0.0001") * (row["quantity"] + 1)
            assert -rounding <= by_coupon <= row["coupon_discount"] + rounding


def test_invalid_rows_of_the_package_are_kept(landing: Path):
    purchases = [row for row in rows(landing, "events") if row["event_type"] == "purchase"]
    assert [row for row in purchases if row["quantity"] == 0]
    items = {row["item_id"] for row in rows(landing, "items")}
    assert {row["item_id"] for row in purchases} - items


def test_consents_are_the_same_in_every_draw(landing: Path):
    first = {row["customer_id"]: row["consents"] for row in rows(landing, "users")}
    assert first == {customer: fictitious_contacts.consents(customer) for customer in first}
    share = sum("email" in consents for consents in first.values()) / len(first)
    assert share == pytest.approx(0.9, abs=0.03)


def test_titles_read_like_words(landing: Path):
    titles = [row["title"] for row in rows(landing, "items")]
    assert all(titles)
    assert not [title for title in titles if title.isupper() and len(title) > 8]
    assert item_titles._plain("FRZN BREADED PREPARED CHICK") == "Frozen breaded prepared chicken"
    assert item_titles._plain("PREMIUM COOKIES (EX: PEPPERIDG") == "Premium cookies"
    assert item_titles._size("83710413 OZ") is None
    assert item_titles._size("14.5 OZ") == "14.5 oz"


def test_attributes_are_json(landing: Path):
    assert all(isinstance(json.loads(row["attributes"]), dict) for row in rows(landing, "items"))
