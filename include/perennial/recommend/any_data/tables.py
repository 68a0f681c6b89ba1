"""Tables as a data scientist has them: purchases and items, in whatever columns.

Which column is what is guessed from common names, or said. Nothing is silently mended: a value that cannot
be read is refused with its file, row and column, and what is left out is counted and told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.arrays import BoolArray, FloatArray
from perennial.recommend.any_data.columns import Clock, Column, by_order
from perennial.recommend.any_data.files import TableError, header, read


class Role(StrEnum):
    """What a column can be."""

    CUSTOMER = "customer"
    ITEM = "item"
    TIME = "time"
    ORDER = "order"
    RATING = "rating"
    QUANTITY = "quantity"
    PRICE = "price"
    PAID = "paid"
    TITLE = "title"
    CATEGORY = "category"
    BRAND = "brand"


GUESSES: Mapping[Role, str] = {
    Role.CUSTOMER: "customer_id customer household_id household_key household user_id user member_id "
    "client_id visitor_id account_id buyer_id cust_id reviewer_id uid",
    Role.ITEM: "item_id item product_id product movie_id article_id sku stock_code asin track_id "
    "artist_id book_id isbn material upc iid",
    Role.TIME: "occurred_at timestamp time datetime purchased_at ordered_at event_time created_at "
    "order_date invoice_date purchase_date transaction_date transaction_timestamp date t_dat "
    "unix_review_time ts day",
    Role.ORDER: "order_id order basket_id basket invoice_id invoice_no invoice transaction_id "
    "order_number session_id",
    Role.RATING: "rating stars overall score",
    Role.QUANTITY: "quantity qty units pieces",
    Role.PRICE: "unit_price list_price price",
    Role.PAID: "paid revenue sales_value amount total line_total",
    Role.TITLE: "title name item_name product_name description product_description",
    Role.CATEGORY: "category categories product_category department product_type genre genres",
    Role.BRAND: "brand brand_name manufacturer manufacturer_id maker publisher vendor author artist",
}
"""Names of columns by role, the first that is there is taken; case, blanks and underscores do not matter."""

_OF_PURCHASES = tuple(Role)[: tuple(Role).index(Role.TITLE)]
_OF_ITEMS = (Role.ITEM, Role.TITLE, Role.CATEGORY, Role.BRAND)


@dataclass(frozen=True)
class Purchases:
    """What was bought.

    Args:
        events: `event_type, customer_id, item_id, order_id, occurred_at (UTC), quantity, revenue, unit_price`
            as in the contract of events, a row for each line; order, revenue and price may be null.
        clock: what tells when.
        notes: which column was taken for what, and what was left out, a sentence each.
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
        named: which column is what, where that is not to be guessed.
        min_rating: rows with a lower rating or none are left out; None: ratings are not looked at.
        time_format: of the times, as strftime says it; None: what they are is seen.

    Raises:
        TableError: the file, a column or a value is wrong.
    """
    needed = [Role.CUSTOMER, Role.ITEM, *([Role.RATING] if min_rating is not None else [])]
    chosen = _chosen(path, named, _OF_PURCHASES, needed)
    if not {Role.TIME, Role.ORDER} & chosen.keys():
        among = ", ".join(header(path))
        raise TableError(f"{path}: found neither time nor order among {among}; name one: TIME=…, ORDER=…")
    if min_rating is None:
        chosen.pop(Role.RATING, None)
    column, rows = _columns(path, chosen)
    notes, left = [_taken(chosen)], _Left(rows)
    for role in needed[:2]:
        left.out(column[role].given, f"no {role}")
    if min_rating is not None:
        left.out(column[Role.RATING].numbers() >= min_rating, f"no rating of {min_rating:g} or more")
    if Role.TIME in column:
        left.out(column[Role.TIME].given, "no time")
        seconds, clock = column[Role.TIME].seconds(time_format)
    else:
        left.out(column[Role.ORDER].given, "no order")
        seconds, clock = by_order(column[Role.ORDER], column[Role.CUSTOMER]), Clock.ORDERS
    quantity, paid, price = _money(column, rows)
    left.out(quantity > 0, "no positive quantity (returns)")
    if not left.kept.any():
        raise TableError(f"{path}: found no row that can be used: {'; '.join(left.notes)}")
    moments = pa.array(np.nan_to_num(seconds).astype("datetime64[s]"))
    events = {
        "event_type": pa.array(["purchase"]).take(pa.array(np.zeros(rows, np.int64))),
        "customer_id": column[Role.CUSTOMER].text,
        "item_id": column[Role.ITEM].text,
        "order_id": column[Role.ORDER].text if Role.ORDER in column else pa.nulls(rows, pa.string()),
        "occurred_at": moments.cast(pa.timestamp("us", "UTC")),
        "quantity": pa.array(quantity),
        "revenue": pa.array(paid, from_pandas=True),
        "unit_price": pa.array(price, from_pandas=True),
    }
    return Purchases(pa.table(events).filter(pa.array(left.kept)), clock, [*notes, *left.notes])


def items(path: Path, named: Mapping[Role, str]) -> tuple[pa.Table, Sequence[str]]:
    """Read a table of items; of rows of the same item the first counts.

    Args:
        path: as of `purchases`; it may be the very same file.
        named: which column is what; a category may be several, from wide to narrow: `department,aisle`. The
            item may be called otherwise than among the purchases, if it can be guessed.

    Returns:
        `item_id, title, category (a > b > c), brand`, and which column was taken for what.

    Raises:
        TableError: the file or a column is wrong, or nothing is said of the items.
    """
    there = header(path)
    known_here = {role: name for role, name in named.items() if role is not Role.ITEM or name in there}
    chosen = _chosen(path, known_here, _OF_ITEMS, [Role.ITEM])
    if len(chosen) == 1:
        raise TableError(
            f"{path}: found nothing of the items among {', '.join(there)}; "
            "name at least one: TITLE=…, CATEGORY=…, BRAND=…"
        )
    levels = chosen.pop(Role.CATEGORY).split(",") if Role.CATEGORY in chosen else []
    rows = read(path, list(dict.fromkeys([*chosen.values(), *levels])))
    nothing = pa.nulls(rows.num_rows, pa.string())
    text = {role: Column(path, name, rows[name]).text for role, name in chosen.items()}
    told = [Column(path, level, rows[level]).text.to_pylist() for level in levels]
    category = [" > ".join(filter(None, row)) or None for row in zip(*told, strict=True)]
    said = {
        "item_id": text[Role.ITEM],
        "title": pc.fill_null(text.get(Role.TITLE, nothing), ""),
        "category": pa.array(category, pa.string()) if levels else nothing,
        "brand": text.get(Role.BRAND, nothing),
        "row": np.arange(rows.num_rows),
    }
    known = pa.table(said).filter(pc.is_valid(text[Role.ITEM]))
    first = known.group_by("item_id").aggregate([("row", "min")])["row_min"]
    found = known.filter(pc.is_in(known["row"], first)).drop("row")
    notes = [_taken(chosen | ({Role.CATEGORY: ",".join(levels)} if levels else {}))]
    lost = rows.num_rows - found.num_rows
    if lost:
        notes.append(f"left out: {lost:,} rows of no item, or of one that an earlier row describes")
    return found, notes


@dataclass
class _Left:
    """Which of the rows are left, and why others are not."""

    rows: int

    def __post_init__(self) -> None:
        self.kept: BoolArray = np.ones(self.rows, bool)
        self.notes: list[str] = []

    def out(self, kept: BoolArray, because: str) -> None:
        """Leave out what is not kept."""
        lost = int((self.kept & ~kept).sum())
        if lost:
            self.notes.append(f"left out: {lost:,} of {self.rows:,} rows with {because}")
        self.kept &= kept


def _columns(path: Path, chosen: Mapping[Role, str]) -> tuple[dict[Role, Column], int]:
    """The columns by role, and how many rows there are."""
    rows = read(path, list(dict.fromkeys(chosen.values())))
    return {role: Column(path, name, rows[name]) for role, name in chosen.items()}, rows.num_rows


def _chosen(
    path: Path, named: Mapping[Role, str], roles: Sequence[Role], needed: Sequence[Role]
) -> dict[Role, str]:
    """The column of each role that has one."""
    there = header(path)
    plain = {_plain(name): name for name in reversed(there)}
    found = {}
    for role in roles:
        missing = [name for name in named.get(role, "").split(",") if name and name not in there]
        if missing:
            allowed = f"allowed are {', '.join(there)}"
            raise TableError(f"{path}: found no column {missing[0]!r} ({role.upper()}=); {allowed}")
        guesses = [plain[_plain(name)] for name in GUESSES[role].split() if _plain(name) in plain]
        if role in named or guesses:
            found[role] = named.get(role) or guesses[0]
    for role in needed:
        if role not in found:
            among = ", ".join(there)
            raise TableError(
                f"{path}: found no column of the {role} among {among}; name it: {role.upper()}=…"
            )
    return found


def _taken(chosen: Mapping[Role, str]) -> str:
    return ", ".join(f"{role} from {name}" for role, name in chosen.items())


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _money(column: Mapping[Role, Column], rows: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Pieces (1 where nothing is said), what was paid, and the price of a piece; NaN where not known."""
    nothing = np.full(rows, np.nan)
    roles = (Role.QUANTITY, Role.PAID, Role.PRICE)
    pieces, paid, price = (column[role].numbers() if role in column else nothing for role in roles)
    pieces = np.where(np.isnan(pieces), 1, pieces)
    each = paid / np.where(pieces > 0, pieces, np.nan)
    return pieces, np.where(np.isnan(paid), price * pieces, paid), np.where(np.isnan(price), each, price)
