"""Which items are shown? Shares by brand, category, popularity and price, beside catalogue and purchases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.foundation.arrays import FloatArray, Int32Array, IntArray, StringArray
from perennial.recommend.data.catalogue import Catalogue

NOT_KNOWN, OTHERS = "not known", "others"
_MAX_GROUPS = 12
"""The most groups of a dimension; smaller groups are counted together as `OTHERS`."""
_DECILES, _PRICE_BANDS = 10, 5


@dataclass(frozen=True)
class Grouping:
    """A dimension of the report: the names of its groups, and the group code of each item, shape (items,)."""

    names: Sequence[str]
    codes: IntArray


def groupings(catalogue: Catalogue, buyers: IntArray, prices: FloatArray) -> dict[str, Grouping]:
    """The dimensions of the report.

    Args:
        catalogue: the items.
        buyers: how many customers bought each item, shape (items,).
        prices: list price of each item in currency, NaN where unknown, shape (items,).
    """
    return {
        "category": _largest(catalogue.levels[:, 0], catalogue.level_names[0], buyers),
        "brand": _largest(catalogue.brands, catalogue.brand_names, buyers),
        "popularity": _deciles(buyers),
        "price": _price_bands(prices),
    }


def exposure(dimensions: Mapping[str, Grouping], shown: IntArray, bought: FloatArray) -> pa.Table:
    """The shares of each group of each dimension; the shares of a dimension sum to 1 in each column.

    Args:
        dimensions: as `groupings` returns them.
        shown: how often each item was recommended, shape (items,).
        bought: how often it was bought, shape (items,).

    Returns:
        `dimension, group, items, of_catalogue, of_purchases, of_recommendations`.
    """
    rows = []
    for dimension, grouping in dimensions.items():
        counts = [
            np.bincount(grouping.codes, weights, minlength=len(grouping.names))
            for weights in (np.ones(len(shown)), bought, shown)
        ]
        shares = [count / max(count.sum(), 1) for count in counts]
        rows += [
            (dimension, name, int(counts[0][code]), *(float(share[code]) for share in shares))
            for code, name in enumerate(grouping.names)
        ]
    return pa.table(dict(zip(_EXPOSURE.names, zip(*rows, strict=True), strict=True)), schema=_EXPOSURE)


_EXPOSURE = pa.schema(
    [
        ("dimension", pa.string()),
        ("group", pa.string()),
        ("items", pa.int64()),
        ("of_catalogue", pa.float64()),
        ("of_purchases", pa.float64()),
        ("of_recommendations", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Spread:
    """How recommendations spread over the catalogue.

    Args:
        coverage: share of the items that were shown to at least one customer.
        gini: 0 if all items were shown equally often, near 1 if only one item was shown.
        head: share of all places that show the tenth of items with most buyers.
    """

    coverage: float
    gini: float
    head: float

    @classmethod
    def of(cls, shown: IntArray, buyers: IntArray) -> Self:
        """From how often each item was shown and how many customers bought it, shape (items,) each."""
        most = np.argsort(-buyers, kind="stable")[: max(1, len(buyers) // 10)]
        return cls(float((shown > 0).mean()), gini(shown), float(shown[most].sum() / max(shown.sum(), 1)))


def gini(counts: NDArray[np.integer]) -> float:
    """Gini's coefficient of concentration (1912), 0 to 1 - 1/n."""
    ascending, n = np.sort(counts).astype(np.float64), len(counts)
    total = ascending.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * total)) if total else 0.0


def counts(lists: IntArray, size: int) -> IntArray:
    """How often each item is in the lists, shape (size,).

    Args:
        lists: rows of items, −1 for an empty place.
        size: the number of items.
    """
    return np.bincount(lists[lists >= 0], minlength=size)


def _largest(codes: Int32Array, names: StringArray, weights: IntArray) -> Grouping:
    """The groups with most buyers; then all other groups together; then the items without a group.

    Args:
        codes: the group of each item, −1 for none, shape (items,).
        names: of the groups.
        weights: buyers of each item, shape (items,).
    """
    sizes = np.bincount(codes[codes >= 0], weights[codes >= 0], minlength=len(names))
    kept = np.argsort(-sizes, kind="stable")[:_MAX_GROUPS]
    place = np.full(len(names) + 1, len(kept))
    place[kept], place[-1] = np.arange(len(kept)), len(kept) + 1
    return _present(place[codes], [*(str(names[code]) for code in kept), OTHERS, NOT_KNOWN])


def _deciles(buyers: IntArray) -> Grouping:
    """Tenths of the items by number of buyers, the most bought first."""
    rank = np.empty(len(buyers), np.int64)
    rank[np.argsort(-buyers, kind="stable")] = np.arange(len(buyers))
    names = ["1 (most bought)", *map(str, range(2, _DECILES)), f"{_DECILES} (least bought)"]
    return _present(rank * _DECILES // max(len(buyers), 1), names)


def _price_bands(prices: FloatArray) -> Grouping:
    """Fifths of the items by price, the cheapest first; items without a known price at the end."""
    known = ~np.isnan(prices)
    inner = (
        np.unique(np.quantile(prices[known], np.arange(1, _PRICE_BANDS) / _PRICE_BANDS))
        if known.any()
        else np.zeros(0)
    )
    codes = np.where(known, np.searchsorted(inner, prices, side="right"), len(inner) + 1)
    between = (f"{low:.2f} to {high:.2f}" for low, high in pairwise(inner))
    ends = (f"under {inner[0]:.2f}", *between, f"from {inner[-1]:.2f}") if len(inner) else (NOT_KNOWN,)
    return _present(codes, [*ends, NOT_KNOWN])


def _present(codes: IntArray, names: Sequence[str]) -> Grouping:
    """Only the groups with at least one item."""
    used, new_codes = np.unique(codes, return_inverse=True)
    return Grouping([names[code] for code in used], new_codes)
