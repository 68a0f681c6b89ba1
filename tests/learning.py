"""A small shop to train on, and an empty MLflow: real tables, a real tracking store, little data.

Even customers come every few days and buy their favourite item; odd ones have stayed away since the summer.
"""

import shutil
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pytest

from perennial.foundation import contracts
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake
from perennial.foundation.modelling.promotion import WINDOW

DAY = date(2017, 11, 30)
CUSTOMERS, ITEMS, WIDTH = 80, 30, 8
_FIRST = date(2017, 3, 1)
_SUMMER = date(2017, 8, 1)


@cache
def empty_mlflow(folder: Path) -> Path:
    """An empty database of MLflow: making it takes seconds, copying it no time."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder.mkdir()
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", str(folder))
    return folder / "mlflow.db"


@pytest.fixture
def endpoint(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Endpoint:
    """An empty MLflow, with its artifacts in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_mlflow(tmp_path_factory.getbasetemp() / "mlflow"), tmp_path / "mlflow.db")
    return Endpoint(f"sqlite:///{tmp_path}/mlflow.db")


def fill(lake: Lake, *, through: date = DAY, days: tuple[date, ...] = (DAY,)) -> None:
    """Put the shop into the lake: events through a day, the catalogue, its vectors, and profiles.

    Args:
        lake: an empty lake.
        through: the last day with events.
        days: these days and their cut-offs get profiles.
    """
    lake.replace("events", purchases(through), _FIRST, through)
    lake.replace("items", catalogue(), _FIRST)
    lake.add("item_embeddings", vectors(lake))
    for day in sorted({day - WINDOW * back for day in days for back in range(6)}):
        lake.replace("profiles", profiles(day), day)


def orders(customer: int) -> list[date]:
    """The days on which a customer ordered: a rhythm with random gaps, the same on every run."""
    rng = np.random.default_rng(customer)
    day, last, days = _FIRST + timedelta(customer % 7), date(2017, 12, 31), []
    away = _SUMMER + timedelta(int(rng.integers(0, 60)))
    while day <= last:
        if customer % 2 == 0 or day < away or rng.random() < 0.05:
            days.append(day)
        day += timedelta(int(rng.integers(3, 12)))
    return days


def purchases(through: date) -> pa.Table:
    """Two lines for each order: the favourite, and another item."""
    rows = []
    for customer in range(CUSTOMERS):
        for number, day in enumerate(day for day in orders(customer) if day <= through):
            for item in (customer % ITEMS, (customer + 7 * number) % ITEMS):
                rows.append(_purchase(f"c{customer:02}", f"i{item:02}", day, number))
    unique = {row["event_id"]: row for row in rows}
    return _table("events", list(unique.values()))


def catalogue() -> pa.Table:
    """Items of three kinds; one may not be recommended, and one is not available."""
    kinds = ("bread", "cheese", "wine")
    rows = [
        {
            "item_id": f"i{item:02}",
            "valid_from": _FIRST,
            "title": f"{kinds[item % 3]} number {item}",
            "category": "Fuel > Petrol" if item == ITEMS - 1 else f"GROCERY > {kinds[item % 3]}",
            "available": item != ITEMS - 2,
            "known_on": _FIRST,
        }
        for item in range(ITEMS)
    ]
    return _table("items", rows)


def vectors(lake: Lake) -> pa.Table:
    """A vector for each text; those of one kind are close together."""
    space = embedding_settings().start
    items = texts(lake.read("items"), space.text).order_by("item_id").to_pyarrow().to_pylist()
    rng = np.random.default_rng(0)
    rows = []
    for number, row in enumerate(items):
        vector = np.eye(WIDTH)[number % 3] + rng.normal(0, 0.2, WIDTH)
        vector /= np.linalg.norm(vector)
        text = {"text_hash": row["text_hash"], "text": row["text"]}
        rows.append({"encoder": space.key, **text, "vector": vector})
    return _table("item_embeddings", rows)


def profiles(day: date) -> pa.Table:
    """The profiles of a day, with one customer who has not ordered yet."""
    return _table("profiles", [*(profile(customer, day) for customer in range(CUSTOMERS)), stranger(day)])


def profile(customer: int, day: date) -> dict[str, object]:
    """The profile of a customer from the orders up to a day."""
    known = [ordered_on for ordered_on in orders(customer) if ordered_on <= day]
    gaps = [None, *((later - sooner).days for sooner, later in pairwise(known))]
    whole = [gap for gap in gaps if gap is not None]
    recent = {span: sum((day - ordered_on).days < span for ordered_on in known) for span in (28, 91)}
    return stranger(day) | {
        "customer_id": f"c{customer:02}",
        "first_order_on": known[0],
        "last_order_on": known[-1],
        "recency_days": (day - known[-1]).days,
        "orders": len(known),
        **{f"orders_{span}": count for span, count in recent.items()},
        "spend": 10 * len(known),
        **{f"spend_{span}": 10 * count for span, count in recent.items()},
        "average_order_value": 10,
        "average_order_quantity": 2.0,
        "gap_mean_days": float(np.mean(whole)) if whole else None,
        "gap_deviation_days": float(np.std(whole)) if whole else None,
        "recent_orders": [{"gap_days": gap, "value": 10.0, "quantity": 2} for gap in gaps][-64:],
        "discount_share": 0.1,
        "coupon_share": 0.0,
    }


def stranger(day: date) -> dict[str, object]:
    """The profile of a customer without any order."""
    return {
        "day": day,
        "customer_id": "stranger",
        "joined_on": _FIRST,
        "tenure_days": (day - _FIRST).days,
        **dict.fromkeys(
            ("orders", "orders_28", "orders_91", "spend", "spend_28", "spend_91", "redemptions"), 0
        ),
        **{name: [] for name in ("recent_orders", "categories", "brands")},
        "active_hours": [1 / 168] * 168,
        "best_hour": 0,
        "life_cycle": "new",
    }


def _purchase(customer: str, item: str, day: date, number: int) -> dict[str, object]:
    order = f"{customer}-{number}"
    return {
        "event_id": f"{order}-{item}",
        "landed_on": day,
        "customer_id": customer,
        "event_type": "purchase",
        "occurred_at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        "item_id": item,
        "order_id": order,
        "quantity": 1,
        "known_on": day,
    }


def _table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    schema = contracts.CONTRACTS[name].schema
    columns = {field.name: [row.get(field.name) for row in rows] for field in schema}
    money = {field.name for field in schema if field.type == contracts.MONEY}
    arrays = {
        field.name: pa.array(columns[field.name], pa.float64()).cast(field.type)
        if field.name in money
        else pa.array(columns[field.name], field.type)
        for field in schema
    }
    return pa.table(arrays)


def column(table: ibis.Table, name: str) -> list[object]:
    """One column as a list."""
    return table.select(name).to_pyarrow()[name].to_pylist()
