import json
from pathlib import Path

import pytest

from perennial.foundation.lake import Lake, open_vault
from perennial.foundation.masking import is_pseudonym, pseudonym
from perennial.ingestion import pipeline
from tests.conftest import forget
from tests.content import rows
from tests.ingestion.drops import DAY, assignment, contact, drop_all, item, promotion, purchase, user

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
