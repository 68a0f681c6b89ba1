"""What is known of each item by the end of a day: how popular, how new, at what price, how promoted."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from perennial.foundation.arrays import BoolArray, Float32Array, Int32Array, IntArray
from perennial.recommend.data.catalogue import GROUPS, Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features import promotions
from perennial.recommend.features.pairs import NEVER, PurchasedPairs

WINDOWS = (7, 14, 28, 91)
NAMES = (
    *(f"buyers_{days}" for days in WINDOWS),
    *("buyers", "new_buyers_28", "share_new", "lines_a_buyer", "lines_a_buyer_28"),
    *("trend_7", "trend_14", "trend_28", "first_sold", "last_sold"),
    *("log_price", "dearer_than_kind", "discount_7", "discount_28", "discount"),
    *(f"share_of_{group}" for group in GROUPS),
    *("new_share_of_kind", "trend_7_of_kind", "trend_28_of_kind", "trend_14_of_brand_line"),
    *promotions.NAMES,
)


@dataclass(frozen=True)
class ItemFeatures:
    """`NAMES` of each item, shape (items, len(NAMES)), float32; counts, shares and prices as logarithms."""

    table: Float32Array

    def __post_init__(self) -> None:
        """Refuse features that other code saved."""
        if self.table.shape[1] != len(NAMES):
            raise ValueError(f"facts: found {self.table.shape[1]} columns; allowed are {len(NAMES)}")

    @classmethod
    def of(cls, history: PurchaseHistory, catalogue: Catalogue, promoted: Float32Array | None = None) -> Self:
        """From the purchases of all customers of a history, and promotions.

        Shares within a group count buyers of the last 28 days. A trend compares the last days with the last
        13 weeks; that of 28 days with all known days.

        Args:
            history: of all customers.
            catalogue: the items.
            promoted: `promotions.NAMES` of each item; None: nothing is promoted.
        """
        items, pairs = history.width, PurchasedPairs.of(history)
        buyers_in = {days: _counted(pairs, pairs.last, days) for days in WINDOWS}
        buyers, new = np.bincount(pairs.items, minlength=items), _counted(pairs, pairs.first, 28)
        lines = np.bincount(history.items, minlength=items)
        recent = history.ages < 28
        first, last = np.zeros(items), np.full(items, float(NEVER))
        np.maximum.at(first, history.items, history.ages)
        np.minimum.at(last, history.items, history.ages)
        pieces = np.bincount(history.items, history.quantities, minlength=items)
        listed = np.bincount(history.items, history.listed, minlength=items)
        price = np.log(np.maximum(listed / np.maximum(pieces, 1), 0.05))
        kind, line = catalogue.groups["kind"], catalogue.groups["brand_line"]
        known_days = max(28, int(history.ages.max(initial=0)))
        columns = [
            *(np.log1p(buyers_of_days) for buyers_of_days in buyers_in.values()),
            *(np.log1p(buyers), np.log1p(new), (new + 1) / (buyers_in[28] + 4)),
            *(
                lines / np.maximum(buyers, 1),
                np.bincount(history.items[recent], minlength=items) / np.maximum(buyers_in[28], 1),
            ),
            *(np.log1p(buyers_in[days]) - np.log1p(buyers_in[91] * days / 91) for days in (7, 14)),
            np.log1p(buyers_in[28]) - np.log1p(buyers * 28 / known_days),
            *(np.log1p(first), np.log1p(last)),
            *(price, price - _mean(kind, price, buyers)),
            *(_discount(history, history.ages < days) for days in (7, 28, NEVER)),
            *(np.log(_share(group, buyers_in[28] + 0.1) + 1e-4) for group in catalogue.groups.values()),
            np.log(_share(kind, new + 0.05)),
            *(
                _trend(group, buyers_in[days], buyers_in[91] * days / 91)
                for group, days in ((kind, 7), (kind, 28), (line, 14))
            ),
            np.zeros((items, len(promotions.NAMES))) if promoted is None else promoted,
        ]
        return cls(np.column_stack(columns).astype(np.float32))

    def column(self, name: str) -> Float32Array:
        """One of `NAMES`, shape (items,)."""
        return self.table[:, NAMES.index(name)]

    @cached_property
    def columns(self) -> Float32Array:
        """The table column by column, shape (len(NAMES), items)."""
        return np.ascontiguousarray(self.table.T)

    @property
    def promoted(self) -> Float32Array:
        """`promotions.NAMES` of each item."""
        return self.table[:, -len(promotions.NAMES) :]

    @cached_property
    def buyers_lately(self) -> Float32Array:
        """Customers who bought each item in the last 28 days, shape (items,)."""
        return np.expm1(self.column("buyers_28")).round()


def _counted(pairs: PurchasedPairs, ages: Int32Array, days: int) -> IntArray:
    """How many customers there are for each item with an age below so many days."""
    return np.bincount(pairs.items[ages < days], minlength=pairs.history.width)


def _sum(group: Int32Array, values: np.ndarray) -> np.ndarray:
    return np.bincount(group, values)[group]


def _share(group: Int32Array, values: np.ndarray) -> np.ndarray:
    return values / np.maximum(_sum(group, values), 1e-9)


def _mean(group: Int32Array, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _sum(group, values * weights) / np.maximum(_sum(group, weights.astype(float)), 1e-9)


def _trend(group: Int32Array, recent: np.ndarray, usual: np.ndarray) -> np.ndarray:
    return np.log((_sum(group, recent) + 2) / (_sum(group, usual) + 2))


def _discount(history: PurchaseHistory, is_counted: BoolArray) -> np.ndarray:
    """Discount as a share of the list value of what was bought."""
    listed = np.bincount(history.items[is_counted], history.listed[is_counted], minlength=history.width)
    paid = np.bincount(history.items[is_counted], history.paid[is_counted], minlength=history.width)
    return np.where(listed > 0, 1 - paid / np.maximum(listed, 0.1), 0)
