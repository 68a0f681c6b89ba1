"""Who gets shown? Shares of brands, categories, popularity and price, against catalogue and purchases.

And what it costs to lean away from what everybody buys: scores are divided by a power of the item's buyers,
and the accuracy is measured for each power.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from perennial.foundation.arrays import FloatArray, Int32Array, IntArray, StringArray
from perennial.foundation.bootstrap import Interval, interval
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.evaluation.metrics import evaluate, hits

NOT_KNOWN, OTHERS = "not known", "others"
_SHOWN = 12
"""Groups of a dimension that are told apart; the smaller ones are counted together."""
_DECILES, _BANDS = 10, 5


@dataclass(frozen=True)
class Grouping:
    """A dimension by which items are told apart: names, and the code of each item, shape (items,)."""

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


def exposure(found: Mapping[str, Grouping], shown: IntArray, bought: FloatArray) -> pa.Table:
    """Shares of each group of each dimension; those of a dimension sum to 1 in each column.

    Args:
        found: `groupings`.
        shown: how often each item was recommended, shape (items,).
        bought: how often it was bought, shape (items,).

    Returns:
        `dimension, group, items, of_catalogue, of_purchases, of_recommendations`.
    """
    rows = []
    for dimension, grouping in found.items():
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
        coverage: share of the items that anybody was shown.
        gini: 0 when all items were shown equally often, near 1 when one had it all.
        head: share of what was shown that belongs to the tenth of items with most buyers.
    """

    coverage: float
    gini: float
    head: float

    @classmethod
    def of(cls, shown: IntArray, buyers: IntArray) -> Self:
        """From how often each item was shown, and how many customers bought it; shape (items,) each."""
        most = np.argsort(-buyers, kind="stable")[: max(1, len(buyers) // 10)]
        return cls(float((shown > 0).mean()), gini(shown), float(shown[most].sum() / max(shown.sum(), 1)))


def gini(counts: NDArray[np.integer]) -> float:
    """Gini's coefficient of concentration (1912), 0 to 1 - 1/n."""
    ascending, n = np.sort(counts).astype(np.float64), len(counts)
    total = ascending.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * total)) if total else 0.0


def counts(lists: IntArray, size: int) -> IntArray:
    """How often each of `size` items is in lists of rows of items, −1 for none."""
    return np.bincount(lists[lists >= 0], minlength=size)


@dataclass(frozen=True)
class Step:
    """What one setting gives.

    Args:
        setting: its value.
        ndcg: mean over customers, with its interval.
        change: of each customer against the first step, paired.
        spread: over the catalogue.
    """

    setting: float
    ndcg: Interval
    change: Interval
    spread: Spread


def cost_curve(
    settings: Sequence[float], lists: Callable[[float], IntArray], wanted: sparse.csr_array, buyers: IntArray
) -> list[Step]:
    """Accuracy and spread for each value of a setting, against its first value.

    Args:
        settings: the first is what the others are compared with.
        lists: from a value to the items of each customer's list, −1 for none, shape (customers, k).
        wanted: what each customer bought afterwards, as booleans, shape (customers, items); who wanted
            nothing is left out.
        buyers: how many customers bought each item before, shape (items,).
    """
    asked = np.diff(wanted.indptr) > 0
    found: list[Step] = []
    reference = np.zeros(0)
    for setting in settings:
        shown = lists(setting)
        ndcg = evaluate(hits(shown, wanted)[asked], np.diff(wanted.indptr)[asked]).ndcg
        reference = reference if found else ndcg
        spread = Spread.of(counts(shown, len(buyers)), buyers)
        found.append(Step(setting, interval(ndcg), interval(ndcg - reference), spread))
    return found


def _largest(codes: Int32Array, names: StringArray, weights: IntArray) -> Grouping:
    """The groups with most purchases by name; the rest together, and what has none, at the end."""
    sizes = np.bincount(codes[codes >= 0], weights[codes >= 0], minlength=len(names))
    kept = np.argsort(-sizes, kind="stable")[:_SHOWN]
    place = np.full(len(names) + 1, len(kept))
    place[kept], place[-1] = np.arange(len(kept)), len(kept) + 1
    return _present(place[codes], [*(str(names[code]) for code in kept), OTHERS, NOT_KNOWN])


def _deciles(buyers: IntArray) -> Grouping:
    """Tenths of the items by their buyers, the most bought first."""
    rank = np.empty(len(buyers), np.int64)
    rank[np.argsort(-buyers, kind="stable")] = np.arange(len(buyers))
    names = ["1 (most bought)", *map(str, range(2, _DECILES)), f"{_DECILES} (least bought)"]
    return _present(rank * _DECILES // max(len(buyers), 1), names)


def _price_bands(prices: FloatArray) -> Grouping:
    """Fifths of the items by price, the cheapest first; unknown ones at the end."""
    known = ~np.isnan(prices)
    inner = (
        np.unique(np.quantile(prices[known], np.arange(1, _BANDS) / _BANDS)) if known.any() else np.zeros(0)
    )
    codes = np.where(known, np.searchsorted(inner, prices, side="right"), len(inner) + 1)
    between = (f"{low:.2f} to {high:.2f}" for low, high in pairwise(inner))
    ends = (f"under {inner[0]:.2f}", *between, f"from {inner[-1]:.2f}") if len(inner) else (NOT_KNOWN,)
    return _present(codes, [*ends, NOT_KNOWN])


def _present(codes: IntArray, names: Sequence[str]) -> Grouping:
    """Only the groups that any item is in."""
    held, found = np.unique(codes, return_inverse=True)
    return Grouping([names[code] for code in held], found)
