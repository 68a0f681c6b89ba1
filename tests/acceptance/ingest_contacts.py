"""Contacts planted in every free-text and id column of a day's landing, and looked for after a whole run."""

import csv
import gzip
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.demo import drive_days, fictitious_contacts
from perennial.foundation import contracts
from tests.acceptance.arena import Arena, arena
from tests.acceptance.leaks import leaks, places_of
from tests.acceptance.lines import Line, at_least, none_of

PLANTED = 12
"""Customers whose contacts are planted; each table gets good rows, refused rows and broken lines of each."""


def contacts() -> Iterator[Line]:
    """Planted contacts are found nowhere outside the vault; leaks planted on purpose are."""
    with arena() as made:
        known = plant(made.state.root / "landing")
        print(f"  {len(known)} contacts planted; the run took {made.run():.0f} s")
        rows = _pseudonymous_rows(made)
        print(f"  rows with pseudonyms: {rows}")
        yield at_least(
            "ingest.contacts_tables_with_pseudonyms", sum(n > 0 for n in rows.values()), len(rows), ""
        )
        places = places_of(made.state)
        everybody = known | _everybody()
        yield at_least("ingest.contacts_searched_for", len(everybody), 6000, "")
        print(f"  searched: {', '.join(places)}")
        found = leaks(everybody, places)
        yield none_of("ingest.contacts_leaked", "contacts_found", [str(leak) for leak in found])
        planted = _leak_on_purpose(made, next(iter(sorted(known))))
        seen = {leak.file for leak in leaks(everybody, places)}
        missed = [str(path) for path in planted if path not in seen]
        yield Line(
            "ingest.contacts_leaks_on_purpose",
            f"{len(planted) - len(missed)}_of_{len(planted)}_found",
            "all",
            not missed,
        )


def plant(landing: Path) -> set[str]:
    """Files of the first daily day with contacts wherever a text may stand; the contacts."""
    day = str(drive_days.DAYS_FIRST)
    people = [fictitious_contacts.contact(str(10 * n + 1)) for n in range(1, PLANTED + 1)]
    known = {value for person in people for value in person.values() if value}
    for table in contracts.LANDED_TABLES:
        good, bad = zip(
            *(_rows(table, person, people[n - 1], day) for n, person in enumerate(people)), strict=True
        )
        _write(landing / table / day / "planted.csv", [*good, *bad[:6]], people[0])
    return known


def _rows(table: str, person: dict, other: dict, day: str) -> tuple[dict, dict]:
    """A row that is published, and one that is refused, with contacts in all texts."""
    mail, phone, token = person["email"], person["phone"], person["push_token"] or person["email"]
    texts = {"email": mail, "phone": phone, "push_token": token} if table == "contacts" else {}
    rows = {
        "items": {
            "item_id": mail,
            "title": f"Ask {other['email']} or {phone}",
            "category": f"{mail} > {phone}",
            "brand": other["email"],
            "attributes": json.dumps({"note": f"token {token}"}),
            "available": "true",
        },
        "promotions": {
            "item_id": mail,
            "store_id": phone,
            "week": day,
            "display": other["email"],
            "mailer": token,
        },
        "users": {
            "customer_id": mail,
            "joined_on": day,
            "time_zone": "UTC",
            "locale": mail,
            "consents": "email",
            "age": phone,
            "income": other["email"],
            "household_size": token,
            "kids_count": f"two ({mail})",
        },
        "contacts": {"customer_id": mail, **texts},
        "campaigns": {
            "campaign_id": mail,
            "name": f"Mail to {other['email']} and {token}",
            "kind": phone,
            "origin": "shop",
            "starts_on": day,
            "ends_on": "2017-12-30",
            "measured_until": "2018-02-01",
        },
        "assignments": {"campaign_id": mail, "customer_id": mail, "assigned_on": day},
        "events": {
            "event_id": f"{mail}-{phone}",
            "customer_id": mail,
            "event_type": "purchase",
            "occurred_at": f"{day}T10:00:00",
            "item_id": mail,
            "store_id": phone,
            "order_id": token,
            "quantity": "1",
            "revenue": "2.50",
            "campaign_id": other["email"],
            "offer_id": f"{phone}/{token}",
        },
    }
    wrong = {
        "items": {"item_id": f"x{mail}", "price": phone},
        "promotions": {"week": mail, "store_id": f"{phone} {mail}"},
        "users": {"customer_id": f"x{mail}", "time_zone": mail, "joined_on": phone},
        "contacts": {"customer_id": f"x{mail}", "email": mail.replace("@", "@@")},
        "campaigns": {"campaign_id": f"x{mail}", "origin": mail, "starts_on": token},
        "assignments": {"campaign_id": other["email"], "customer_id": f"nobody {mail}", "arm": phone},
        "events": {
            "event_id": token,
            "event_type": mail,
            "occurred_at": phone,
            "quantity": mail,
            "item_id": phone,
        },
    }
    return rows[table], rows[table] | wrong[table]


def _write(path: Path, rows: list[dict], person: dict) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        # A column that nobody asked for may be called by an address too.
        lines = csv.DictWriter(file, [*columns, person["email"]], restval="")
        lines.writeheader()
        lines.writerows(rows)
        file.write(f"{person['email']},{person['phone']}\n")


def _everybody() -> set[str]:
    """Every contact of the demo shop."""
    people = (fictitious_contacts.contact(str(n)) for n in range(1, 2501))
    return {value for person in people for value in person.values() if value}


def _pseudonymous_rows(made: Arena) -> dict[str, int]:
    """How many rows of each table carry a pseudonym: what was planted did go through."""
    found = {}
    for table in (*contracts.LANDED_TABLES, contracts.QUARANTINE.name):
        if table != contracts.CONTACTS.name:
            column = "row" if table == "quarantine" else contracts.CONTRACTS[table].key[0]
            rows = made.lake.read(table)
            found[table] = rows.filter(rows[column].contains("p_")).count().to_pyarrow().as_py()
    return found


def _leak_on_purpose(made: Arena, contact: str) -> list[Path]:
    """One leak in each kind of place; the files."""
    root = made.state.root
    log = root / "logs" / "leak.log"
    log.write_text(f"sent to {contact}\n")
    page = root / "reports" / "data_docs" / "leak.html"
    page.write_text(f"<p>{contact.replace('@', '&#64;')}</p>")
    table = root / "lake" / "events" / "leak.parquet"
    pq.write_table(pa.table({"item_id": [f"x{contact}y"]}), table)
    packed = root / "lake" / "leak.json.gz"
    packed.write_bytes(gzip.compress(json.dumps({"to": contact}).encode()))
    database = root / "airflow" / "leak.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE xcom (value TEXT)")
        connection.execute("INSERT INTO xcom VALUES (?)", (json.dumps({"who": contact}),))
    return [log, page, table, packed, database]
