import json
from datetime import date
from pathlib import Path

import pytest
import yaml

from perennial.foundation.lake import Lake, open_vault
from perennial.foundation.masking import is_pseudonym, pseudonym
from perennial.ingestion import dry_run, dry_run_report, pipeline
from perennial.ingestion.errors import SourceError
from perennial.ingestion.hidden_columns import row_masker
from perennial.ingestion.landing import Landing
from perennial.ingestion.quarantine import RowMasker
from perennial.ingestion.screening import Storage
from perennial.ingestion.source_settings import Sources
from tests.conftest import forget
from tests.content import rows
from tests.ingestion.drops import DAY, assignment, contact, drop, drop_all, item, promotion, purchase, user

MAIL, PHONE, KEY = "ann@example.com", "+12025550143", "a key for tests, of no use elsewhere"


def test_a_contact_that_serves_as_an_id_is_the_same_pseudonym_in_every_table_and_plain_in_the_vault(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PERENNIAL_PSEUDONYM_KEY", KEY)
    forget()
    drop_all(
        shop,
        items=[item(MAIL, title=f"Ask {MAIL} or {PHONE}")],
        promotions=[promotion(MAIL)],
        users=[user(MAIL), user("c2", time_zone=MAIL)],
        contacts=[contact(MAIL, email=MAIL)],
        assignments=[assignment(customer_id=MAIL)],
        events=[purchase(customer_id=MAIL, item_id=MAIL), purchase("bad", customer_id=MAIL, item_id=PHONE)],
    )
    counts = pipeline.ingest(DAY)
    assert {name: found["published"] for name, found in counts.items() if name != "report"} == dict.fromkeys(
        ("items", "promotions", "users", "contacts", "campaigns", "assignments", "events"), 1
    )
    ann = pseudonym(KEY.encode(), MAIL)
    (event,), (thing,), (customer,) = (rows(lake, name) for name in ("events", "items", "users"))
    assert {event["customer_id"], event["item_id"], thing["item_id"], customer["customer_id"]} == {ann}
    assert thing["title"] == f"Ask {ann} or {pseudonym(KEY.encode(), PHONE)}"
    (reached,) = rows(open_vault(), "contacts")
    assert (reached["customer_id"], reached["email"], reached["phone"]) == (ann, MAIL, PHONE)
    for row in rows(lake, "quarantine"):
        assert MAIL not in row["row"] + str(row["reasons"])
        assert PHONE not in row["row"] + str(row["reasons"])
        assert is_pseudonym(json.loads(row["row"]).get("time_zone") or json.loads(row["row"])["item_id"])


ODD = "ann(at)home"
"""Contact data that no pattern finds."""


def declared(shop: Path, sources: dict) -> Landing:
    return Landing(str(shop / "landing"), Sources.model_validate(sources))


def declare(shop: Path, monkeypatch: pytest.MonkeyPatch, **sources: object) -> None:
    """From now on sources.yaml says this, and there is a key."""
    (shop / "config").mkdir(exist_ok=True)
    (shop / "config" / "sources.yaml").write_text(yaml.safe_dump(sources))
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    monkeypatch.setenv("PERENNIAL_PSEUDONYM_KEY", KEY)
    forget()


def quarantined(lake: Lake) -> str:
    return " ".join(row["row"] + str(row["reasons"]) for row in rows(lake, "quarantine"))


@pytest.mark.parametrize(
    "text",
    [
        "lower(mail)",
        "LOWER(MAIL)",
        'trim("Mail")',
        "coalesce(nullif(other, ''), regexp_extract(lower(mail), '.*'))",
        "CASE WHEN mail LIKE '%@%' THEN other END",
        "CASE WHEN other = 'x' THEN 'none' ELSE mail END",
        "mail['address']",
        "mail.address",
        "mail.address.home",
        "mail.lower().trim()",
        "list_transform([mail], x -> lower(x))[1]",
        "{'a': mail}['a']",
        "lag(mail) OVER (PARTITION BY other ORDER BY _line)",
        "COLUMNS('m.*')",
        "coalesce(*COLUMNS('m.*'))",
        "struct_pack(*)::VARCHAR",
        "source.to_json()",
    ],
)
@pytest.mark.parametrize("column", ["email", "phone", "push_token"])
def test_every_column_that_sql_reads_for_a_contact_is_hidden_in_quarantine(
    shop: Path, text: str, column: str
):
    source = {"contacts": {"sources": {"crm": {"columns": {column: {"sql": text}}}}}}
    hiding = row_masker(declared(shop, {"tables": source}))
    row = hiding.masked({"Mail": ODD, "city": "Bonn"}, f"contacts/{DAY}/crm.csv")
    assert ODD not in str(row)
    assert (row["city"] == "Bonn") == ("mail" in text.lower())
    assert hiding.masked({"city": "Bonn"}, f"events/{DAY}/rows.csv") == {"city": "Bonn"}


def test_sql_for_personal_ids_hides_what_it_reads_and_sql_for_opaque_ids_does_not(shop: Path):
    tables = {"events": {"sources": {"till": {"columns": {"customer_id": {"sql": "'C' || lower(Name)"}}}}}}
    personal = row_masker(declared(shop, {"tables": tables, "customer_ids": "personal"}))
    assert "Ann" not in str(personal.masked({"name": "Ann"}))
    assert row_masker(declared(shop, {"tables": tables})).masked({"name": "Ann"}) == {"name": "Ann"}


def test_contacts_in_nested_values_bytes_and_names_of_columns_are_hidden():
    row = {
        "person": {"to": [MAIL, {MAIL: PHONE}]},
        "raw": MAIL.encode(),
        f"of {MAIL}": "x",
        "pieces": [1, None],
    }
    hidden = RowMasker(KEY.encode()).masked(row)
    assert "example" not in str(hidden)
    assert PHONE not in str(hidden)
    assert hidden["pieces"] == [1, None]
    assert RowMasker(KEY.encode(), contacts={"mail"}).masked({"mail": "  "}) == {"mail": "  "}, (
        "nobody's contact"
    )


def test_refused_contacts_that_sql_makes_are_nowhere_in_clear(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    columns = {"email": {"sql": "lower(coalesce(Mail, ''))"}, "phone": {"sql": "concat('+', tel)"}}
    declare(shop, monkeypatch, tables={"contacts": {"sources": {"crm": {"columns": columns}}}})
    odd = {"customer_id": "c1", "Mail": ODD, "tel": "oh-one-two"}
    drop_all(shop, contacts=[odd, odd | {"Mail": MAIL, "tel": PHONE[1:], "customer_id": "c9"}])
    # The same columns in another table: one file may be read for both.
    drop(shop, "users", [user(), user("c2", time_zone="nowhere", Mail=ODD)])
    trials = dry_run.try_sources(Storage.from_settings(), date.fromisoformat(DAY), ("contacts", "users"))
    counts = pipeline.ingest(DAY)
    assert (counts["contacts"]["quarantined"], counts["users"]["quarantined"]) == (2, 1)
    reports = "".join(path.read_text() for path in (shop / "reports").rglob("*.*") if path.is_file())
    seen = (
        quarantined(lake)
        + dry_run_report.text(trials)
        + str(trials)
        + reports
        + caplog.text
        + str(rows(lake, "validations"))
    )
    for value in (ODD, "oh-one-two", MAIL, PHONE[1:]):
        assert value not in seen
    assert pseudonym(KEY.encode(), ODD) in quarantined(lake)


@pytest.mark.parametrize(
    ("text", "is_replayed"), [("lower(coalesce(who, Alias))", True), ("'C' || who", False)]
)
def test_refused_rows_with_ids_that_sql_makes_are_replayed_right_or_not_at_all(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, text: str, *, is_replayed: bool
):
    source = {"columns": {"customer_id": {"sql": text}}}
    loose = {"refused": {"share": 1.0}}
    tables = {"users": {"sources": {"crm": source}, "rules": loose}}
    declare(shop, monkeypatch, tables=tables, customer_ids="personal")
    people = [user(who=name, Alias="x") | {"customer_id": None} for name in ("Ann", "Bob")]
    drop_all(shop, users=[people[0], people[1] | {"time_zone": "Europe/Berlín"}])
    pipeline.ingest(DAY)
    assert "Bob" not in quarantined(lake)
    # What was wrong is put right: the zone is a constant by now.
    source["columns"] = {**source["columns"], "time_zone": {"value": "Europe/Berlin"}}
    declare(shop, monkeypatch, tables=tables, customer_ids="personal")
    before = rows(lake, "users")
    if is_replayed:
        assert pipeline.replay("users", DAY, DAY, "", DAY)["users"]["published"] == 1
        ids = {row["customer_id"] for row in rows(lake, "users")}
        assert ids == {pseudonym(KEY.encode(), name) for name in ("ann", "bob")}
    else:
        with pytest.raises(SourceError, match=r"makes contacts or ids of who, and only pseudonyms"):
            pipeline.replay("users", DAY, DAY, "", DAY)
        assert rows(lake, "users") == before


def test_an_error_of_the_engine_over_a_row_names_no_value_of_it(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
):
    # A window cannot be tried row by row: it fails as a whole.
    columns = {"email": {"sql": "CAST(CAST(lag(Mail) OVER (ORDER BY _line) AS INTEGER) AS VARCHAR)"}}
    declare(shop, monkeypatch, tables={"contacts": {"sources": {"crm": {"columns": columns}}}})
    drop_all(shop, contacts=[{"customer_id": "c1", "Mail": ODD}, {"customer_id": "c1", "Mail": ODD}])
    with pytest.raises(SourceError, match=r"contacts: cannot be read: .*\(hidden\)") as stopped:
        pipeline.ingest(DAY)
    assert ODD not in str(stopped.value)
    assert stopped.value.__cause__ is None
    (tried,) = dry_run.try_sources(Storage.from_settings(), date.fromisoformat(DAY), ("contacts",))
    assert "(hidden)" in tried.problems[0]
    assert ODD not in str(tried)


@pytest.mark.parametrize("token", ["id", {"sql": "lower(id)"}, {"sql": "'x' || id"}])
def test_a_value_of_which_only_a_pseudonym_is_left_is_not_published_in_another_table(
    shop: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, token: object
):
    contacts = {"sources": {"crm": {"columns": {"push_token": token}}}}
    columns = {"item_id": "id", "available": {"value": True}}
    folder = shop / "landing" / "items" / DAY
    folder.mkdir(parents=True)
    good = "".join(f"i{number},t{number},c,b,1\n" for number in range(30))
    (folder / "a.csv").write_text(f"id,title,category,brand,price\n{good}i99,,c,b,1\n")
    for columns_of_items in (columns, columns | {"title": {"sql": "coalesce(title, 'none')"}}):
        tables = {"contacts": contacts, "items": {"sources": {"shop": {"columns": columns_of_items}}}}
        (shop / "config").mkdir(exist_ok=True)
        (shop / "config" / "sources.yaml").write_text(yaml.safe_dump({"tables": tables}))
        monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
        monkeypatch.setenv("PERENNIAL_PSEUDONYM_KEY", KEY)
        forget()
        if columns_of_items is columns:
            assert pipeline.ingest(DAY)["items"]["quarantined"] == 1  # type: ignore[index]
    with pytest.raises(SourceError, match="of id, and only pseudonyms of these are kept"):
        pipeline.replay("items", DAY, DAY, "", DAY)
    assert {row["item_id"] for row in rows(lake, "items")} == {f"i{number}" for number in range(30)}
