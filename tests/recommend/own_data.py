"""Tables with foreign column names: the baskets of a shop, and ratings of films, each film rated once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

ITEMS, CUSTOMERS, WEEKS = 40, 120, 20
_FIRST_DAY = datetime(2023, 1, 2, 9, tzinfo=UTC)
_KINDS = ("tea", "soup", "rice", "soap")


def baskets() -> pd.DataFrame:
    """Each customer buys favourites of one kind about every week, and sometimes other items."""
    random, rows = np.random.default_rng(0), []
    for customer in range(CUSTOMERS):
        kind = customer % len(_KINDS)
        favourites = [
            kind + len(_KINDS) * ((customer // len(_KINDS) + step) % (ITEMS // len(_KINDS)))
            for step in range(3)
        ]
        for week in range(WEEKS):
            if random.random() < 0.85:
                tried = kind + len(_KINDS) * random.integers(ITEMS // len(_KINDS))
                basket = {*random.choice(favourites, 2).tolist(), int(tried), int(random.integers(ITEMS))}
                day = _FIRST_DAY + timedelta(days=7 * week + int(random.integers(4)), minutes=customer)
                rows += [
                    (f"c{customer:03}", f"b{customer}-{week}", day.isoformat(), f"i{item:02}")
                    for item in sorted(basket)
                ]
    return pd.DataFrame(rows, columns=["Customer ID", "Invoice", "InvoiceDate", "StockCode"])


def item_table() -> pd.DataFrame:
    """Titles, categories and brands of the items, with two items that nobody bought."""
    names = [f"i{item:02}" for item in range(ITEMS + 2)]
    kinds = [_KINDS[item % len(_KINDS)] for item in range(ITEMS + 2)]
    titles = [f"{kind} number {item}" for item, kind in enumerate(kinds)]
    return pd.DataFrame(
        {"sku": names, "name": titles, "department": "food", "aisle": kinds, "brand": "plain"}
    )


def ratings() -> pd.DataFrame:
    """Each customer rates films of one taste, each film once; times are unix seconds."""
    random, rows = np.random.default_rng(1), []
    for customer in range(150):
        taste = np.where(np.arange(80) % 4 == customer % 4, 8.0, 1.0) / np.arange(4, 84)
        films = random.choice(80, 25, replace=False, p=taste / taste.sum())
        start = 1_100_000_000 + int(random.integers(10_000_000))
        stars = random.integers(1, 11, len(films)) / 2
        rows += [
            (customer, film, star, start + 40 * place)
            for place, (film, star) in enumerate(zip(films, stars, strict=True))
        ]
    return pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])


def write_csv(table: pd.DataFrame, path: Path, delimiter: str = ",") -> Path:
    """Write the table as CSV; the path again."""
    table.to_csv(path, index=False, sep=delimiter)
    return path
