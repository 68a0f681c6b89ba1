"""Tables as others have them: a shop of baskets, and ratings of films that nobody watches twice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

ITEMS, CUSTOMERS, WEEKS = 40, 120, 20
_BEGIN = datetime(2023, 1, 2, 9, tzinfo=UTC)
_KINDS = ("tea", "soup", "rice", "soap")
_APART = len(_KINDS)


def baskets() -> pd.DataFrame:
    """Each customer comes about every week for favourites of one kind, and tries others now and then."""
    random, rows = np.random.default_rng(0), []
    for customer in range(CUSTOMERS):
        kind = customer % _APART
        favourites = [
            kind + len(_KINDS) * ((customer // len(_KINDS) + step) % (ITEMS // len(_KINDS)))
            for step in range(3)
        ]
        for week in range(WEEKS):
            if random.random() < 0.85:
                tried = kind + len(_KINDS) * random.integers(ITEMS // len(_KINDS))
                chosen = {*random.choice(favourites, 2).tolist(), int(tried), int(random.integers(ITEMS))}
                day = _BEGIN + timedelta(days=7 * week + int(random.integers(4)), minutes=customer)
                rows += [
                    (f"c{customer:03}", f"b{customer}-{week}", day.isoformat(), f"i{item:02}")
                    for item in sorted(chosen)
                ]
    return pd.DataFrame(rows, columns=["Customer ID", "Invoice", "InvoiceDate", "StockCode"])


def goods() -> pd.DataFrame:
    """What is known of the items, of two more than were sold."""
    names = [f"i{item:02}" for item in range(ITEMS + 2)]
    kinds = [_KINDS[item % len(_KINDS)] for item in range(ITEMS + 2)]
    titles = [f"{kind} number {item}" for item, kind in enumerate(kinds)]
    return pd.DataFrame(
        {"sku": names, "name": titles, "department": "food", "aisle": kinds, "brand": "plain"}
    )


def ratings() -> pd.DataFrame:
    """Each customer rates films of a taste, one after another, none twice; in unix seconds."""
    random, rows = np.random.default_rng(1), []
    for customer in range(150):
        taste = np.where(np.arange(80) % 4 == customer % 4, 8.0, 1.0) / np.arange(4, 84)
        films = random.choice(80, 25, replace=False, p=taste / taste.sum())
        began = 1_100_000_000 + int(random.integers(10_000_000))
        stars = random.integers(1, 11, len(films)) / 2
        rows += [
            (customer, film, star, began + 40 * place)
            for place, (film, star) in enumerate(zip(films, stars, strict=True))
        ]
    return pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])


def written(table: pd.DataFrame, path: Path, mark: str = ",") -> Path:
    """The table as CSV."""
    table.to_csv(path, index=False, sep=mark)
    return path
