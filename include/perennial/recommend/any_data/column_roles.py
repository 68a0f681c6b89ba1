"""Which column is the customer, the item, the time: guessed from common names, or named by the user."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from perennial.recommend.any_data.files import TableError, header


class Role(StrEnum):
    """What a column holds."""

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
"""Names of columns by role. The first name in the file is taken; case, blanks and underscores are ignored."""


def columns_by_role(
    path: Path, named: Mapping[Role, str], roles: Sequence[Role], needed: Sequence[Role]
) -> dict[Role, str]:
    """The name of the column of each role that has a column.

    Raises:
        TableError: a named column is not in the file, or a needed role has no column.
    """
    file_columns = header(path)
    by_plain_name = {_plain(name): name for name in reversed(file_columns)}
    names = {}
    for role in roles:
        missing = [name for name in named.get(role, "").split(",") if name and name not in file_columns]
        if missing:
            allowed = f"allowed are {', '.join(file_columns)}"
            raise TableError(f"{path}: found no column {missing[0]!r} ({role.upper()}=); {allowed}")
        guesses = [
            by_plain_name[_plain(name)] for name in GUESSES[role].split() if _plain(name) in by_plain_name
        ]
        if role in named or guesses:
            names[role] = named.get(role) or guesses[0]
    for role in needed:
        if role not in names:
            among = ", ".join(file_columns)
            raise TableError(
                f"{path}: found no column of the {role} among {among}; name it: {role.upper()}=…"
            )
    return names


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
