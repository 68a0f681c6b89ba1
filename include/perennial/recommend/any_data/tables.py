"""Purchases and items from tables with any column names.

The role of a column is guessed from common names, or the user names the column. Nothing is repaired silently:
a value that cannot be read is an error with file, row and column, and rows that are left out are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.arrays import BoolArray, FloatArray
from perennial.recommend.any_data.column_roles import Role, columns_by_role
from perennial.recommend.any_data.columns import Clock, Column, seconds_from_orders
from perennial.recommend.any_data.files import TableError, header, read

_PURCHASE_ROLES = tuple(Role)[: tuple(Role).index(Role.TITLE)]
_ITEM_ROLES = (Role.ITEM, Role.TITLE, Role.CATEGORY, Role.BRAND)


@dataclass(frozen=True)
class Purchases:
    """Purchases from a table.

    Args:
        events: `event_type, customer_id, item_id, order_id, occurred_at (UTC), quantity, revenue, unit_price`
            as in the contract of events, a row for each line; order, revenue and price may be null.
        clock: what the times were made from.
        notes: the column of each role, and the rows that were left out, a sentence each.
    """

    events: pa.Table
    clock: Clock
    notes: Sequence[str]


def purchases(
    path: Path,
    named: Mapping[Role, str],
    min_rating: float | None = None,
    time_format: str | None = None,
) -> Purchases:
    """Read a table of customers, items, and times or orders.

    Args:
        path: CSV (also compressed; comma, semicolon, tab or bar) or Parquet (also a folder of it).
        named: the columns whose role is not guessed, by role.
        min_rating: rows with a lower rating or no rating are left out; None: ratings are ignored.
        time_format: the format of the times in the syntax of strftime; None: it is recognised.

    Raises:
        TableError: the file, a column or a value is wrong.
    """
    needed = [Role.CUSTOMER, Role.ITEM, *([Role.RATING] if min_rating is not None else [])]
    names = columns_by_role(path, named, _PURCHASE_ROLES, needed)
    if not {Role.TIME, Role.ORDER} & names.keys():
        among = ", ".join(header(path))
        raise TableError(f"{path}: found neither time nor order among {among}; name one: TIME=…, ORDER=…")
    if min_rating is None:
        names.pop(Role.RATING, None)
    columns, row_count = _read_columns(path, names)
    filtered = _RowFilter(row_count)
    for role in needed[:2]:
        filtered.keep(columns[role].is_present, f"no {role}")
    if min_rating is not None:
        filtered.keep(columns[Role.RATING].numbers() >= min_rating, f"no rating of {min_rating:g} or more")
    if Role.TIME in columns:
        filtered.keep(columns[Role.TIME].is_present, "no time")
        seconds, clock = columns[Role.TIME].seconds(time_format)
    else:
        filtered.keep(columns[Role.ORDER].is_present, "no order")
        seconds, clock = seconds_from_orders(columns[Role.ORDER], columns[Role.CUSTOMER]), Clock.ORDERS
    quantity, paid, price = _money(columns, row_count)
    filtered.keep(quantity > 0, "no positive quantity (returns)")
    if not filtered.kept.any():
        raise TableError(f"{path}: no row can be used: {'; '.join(filtered.notes)}")
    times = pa.array(np.nan_to_num(seconds).astype("datetime64[s]"))
    no_order = pa.nulls(row_count, pa.string())
    events = {
        "event_type": pa.array(["purchase"]).take(pa.array(np.zeros(row_count, np.int64))),
        "customer_id": columns[Role.CUSTOMER].text,
        "item_id": columns[Role.ITEM].text,
        "order_id": columns[Role.ORDER].text if Role.ORDER in columns else no_order,
        "occurred_at": times.cast(pa.timestamp("us", "UTC")),
        "quantity": pa.array(quantity),
        "revenue": pa.array(paid, from_pandas=True),
        "unit_price": pa.array(price, from_pandas=True),
    }
    kept_events = pa.table(events).filter(pa.array(filtered.kept))
    return Purchases(kept_events, clock, [_roles_note(names), *filtered.notes])


def items(path: Path, named: Mapping[Role, str]) -> tuple[pa.Table, Sequence[str]]:
    """Read a table of items. If an item has several rows, the first counts.

    Args:
        path: as of `purchases`; it may be the same file.
        named: the columns whose role is not guessed, by role. A category may have several columns, from wide
            to narrow: `department,aisle`. A name for the item that is not in this file is ignored, so the
            column may have another name than in the purchases.

    Returns:
        `item_id, title, category (a > b > c), brand`; and notes: the column of each role, and how many rows
        were left out.

    Raises:
        TableError: the file or a column is wrong, or there is no title, category or brand.
    """
    file_columns = header(path)
    named = {role: name for role, name in named.items() if role is not Role.ITEM or name in file_columns}
    names = columns_by_role(path, named, _ITEM_ROLES, [Role.ITEM])
    if len(names) == 1:
        raise TableError(
            f"{path}: found no title, category or brand among {', '.join(file_columns)}; "
            "name at least one: TITLE=…, CATEGORY=…, BRAND=…"
        )
    note = _roles_note(names)
    levels = names.pop(Role.CATEGORY).split(",") if Role.CATEGORY in names else []
    rows = read(path, list(dict.fromkeys([*names.values(), *levels])))
    nothing = pa.nulls(rows.num_rows, pa.string())
    text = {role: Column(path, name, rows[name]).text for role, name in names.items()}
    level_texts = [Column(path, level, rows[level]).text.to_pylist() for level in levels]
    categories = [" > ".join(filter(None, row)) or None for row in zip(*level_texts, strict=True)]
    columns = {
        "item_id": text[Role.ITEM],
        "title": pc.fill_null(text.get(Role.TITLE, nothing), ""),
        "category": pa.array(categories, pa.string()) if levels else nothing,
        "brand": text.get(Role.BRAND, nothing),
        "row": np.arange(rows.num_rows),
    }
    with_id = pa.table(columns).filter(pc.is_valid(text[Role.ITEM]))
    first_rows = with_id.group_by("item_id").aggregate([("row", "min")])["row_min"]
    item_table = with_id.filter(pc.is_in(with_id["row"], first_rows)).drop("row")
    notes = [note]
    left_out = rows.num_rows - item_table.num_rows
    if left_out:
        notes.append(f"left out: {left_out:,} rows without an item, or of an item with an earlier row")
    return item_table, notes


class _RowFilter:
    """Which rows are kept, and why the others are left out."""

    def __init__(self, rows: int) -> None:
        self.kept: BoolArray = np.ones(rows, bool)
        self.notes: list[str] = []

    def keep(self, condition: BoolArray, reason: str) -> None:
        """Leave out the rows that do not meet a condition; the reason completes "rows with …"."""
        left_out = int((self.kept & ~condition).sum())
        if left_out:
            self.notes.append(f"left out: {left_out:,} of {len(self.kept):,} rows with {reason}")
        self.kept &= condition


def _read_columns(path: Path, names: Mapping[Role, str]) -> tuple[dict[Role, Column], int]:
    """The columns by role, and the number of rows."""
    rows = read(path, list(dict.fromkeys(names.values())))
    return {role: Column(path, name, rows[name]) for role, name in names.items()}, rows.num_rows


def _roles_note(names: Mapping[Role, str]) -> str:
    return ", ".join(f"{role} from {name}" for role, name in names.items())


def _money(columns: Mapping[Role, Column], rows: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Quantity (1 where missing), amount paid, price of a piece, NaN where unknown, shape (rows,) each."""
    unknown = np.full(rows, np.nan)
    roles = (Role.QUANTITY, Role.PAID, Role.PRICE)
    quantity, paid, price = (columns[role].numbers() if role in columns else unknown for role in roles)
    quantity = np.where(np.isnan(quantity), 1, quantity)
    paid_each = paid / np.where(quantity > 0, quantity, np.nan)
    return (
        quantity,
        np.where(np.isnan(paid), price * quantity, paid),
        np.where(np.isnan(price), paid_each, price),
    )
