"""Shops for the tests of profiles."""

from pathlib import Path

import pyarrow as pa
import pytest

from perennial.demo.environment import CONFIG
from perennial.foundation import contracts
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake
from tests.conftest import forget
from tests.profiles.tables import day, event, landed

SOUP, HAT, FUEL = "FOOD > SOUP", "CLOTHES > HATS", "Fuel > Gasoline"


@pytest.fixture
def shop(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop with the demo's settings, which leave fuel out of what customers like."""
    monkeypatch.setenv("PERENNIAL_CONFIG", str(CONFIG))
    forget()
    return shop


@pytest.fixture
def stocked(lake: Lake) -> Lake:
    """A shop with three items, three customers and nine days of orders; every item text has a vector."""
    names = {"soup": ("Tomato soup", SOUP), "hat": ("Red hat", HAT), "fuel": ("Diesel", FUEL)}
    land(
        lake,
        "items",
        *(
            {"item_id": item, "title": title, "category": category, "brand": "Acme", "available": True}
            | since(0)
            for item, (title, category) in names.items()
        ),
    )
    customers = {"c1": "America/New_York", "c2": "Mars/Base", "silent": None}
    land(
        lake,
        "users",
        *(
            {"customer_id": who, "joined_on": day(-1), "time_zone": zone, "consents": ["email"]} | since(0)
            for who, zone in customers.items()
        ),
    )
    embed(lake, {"Tomato soup": [1.0, 0.0], "Red hat": [0.0, 1.0], "Diesel": [-1.0, 0.0]})
    for number in range(9):
        bought = ("soup", "hat", "fuel")[number % 3]
        rows = [event(number, f"a{number}", item_id=bought, revenue=number, unit_price=10)]
        rows += [event(number, f"b{number}", customer_id="c2", item_id="soup")] if number < 3 else []
        land(lake, "events", *rows)
    return lake


def since(number: int) -> dict:
    """The columns of a version that holds, and is known, from a day on."""
    return {"valid_from": day(number), "known_on": day(number)}


def land(lake: Lake, table: str, *rows: dict) -> None:
    """Let rows of a table be all that landed on their day."""
    arrived = rows[0][contracts.CONTRACTS[table].partition]
    lake.replace(table, landed(table, *rows), arrived)


def embed(lake: Lake, vectors: dict[str, list[float]]) -> None:
    """Give the items whose text begins so this vector, in the space in force from the start."""
    chosen = embedding_settings().start
    said = (
        texts(lake.read("items"), chosen.text).select("text", "text_hash").distinct().to_pyarrow().to_pylist()
    )
    rows = [
        row | {"encoder": chosen.key, "vector": vector}
        for title, vector in vectors.items()
        for row in said
        if row["text"].startswith(title)
    ]
    lake.add("item_embeddings", pa.Table.from_pylist(rows, schema=contracts.ITEM_EMBEDDINGS.schema))


@pytest.fixture
def busy(stocked: Lake) -> Lake:
    """The same shop until day 40: with a discount every fourth day, messages, a campaign and its answers."""
    for number in range(9, 40):
        off = 3 * (number % 4 == 0)
        rows = [
            event(
                number,
                f"{who}{number}{copy}",
                customer_id=who,
                item_id="soup",
                unit_price=10,
                shelf_discount=off,
            )
            for who in ("c1", "c2")
            for copy in range(1 + (off > 0) * (1 + 2 * (who == "c1")))
        ]
        rows += [event(number, f"m{number}", customer_id="c2", event_type="delivered", channel="email")]
        land(stocked, "events", *rows)
    given = {"campaign_id": "spring", "customer_id": "c1", "assigned_on": day(5)}
    land(stocked, "assignments", given | {"landed_on": day(5), "known_on": day(5)})
    redeemed = event(40, "r", event_type="redeem", campaign_id="spring", order_id=None)
    land(stocked, "events", redeemed, event(40, "k", customer_id="c2", event_type="click", channel="email"))
    return stocked
