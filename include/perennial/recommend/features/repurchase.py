"""Features of an item that the customer bought before: when, how often, and how overdue it is.

Counts and ages are logarithms.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from perennial.foundation.arrays import Float32Array, IntArray, RealArray
from perennial.recommend.features.pairs import PurchasedPairs

NAMES = (
    *("times", "last", "first", "one_before", "orders_since_last", "orders_since_first"),
    *("weight_7", "weight_14", "weight_30", "weight_90", "lately_28", "lately_91"),
    *("quantity", "paid", "gap", "due", "newest_gap", "discount_of_item", "rate"),
    *("share_in_kind", "share_in_family", "switched"),
)
_NO_GAP = -0.9


def columns(
    pairs: PurchasedPairs, pair: IntArray, share: RealArray, by_name: Mapping[str, Float32Array]
) -> Iterator[RealArray]:
    """`NAMES` of candidates that were bought before, column by column, shape (n,) each.

    Args:
        pairs: of the customers of a block.
        pair: position of each candidate among them, shape (n,).
        share: of the item in what its customer buys, shape (n,).
        by_name: columns of the same candidates: the shares and the last purchases of their groups.
    """
    lines = pairs.history
    times, last, first = pairs.times[pair], pairs.last[pair], pairs.first[pair]
    listed, paid = pairs.total(lines.listed)[pair], pairs.total(lines.paid)[pair]
    gap = np.where(times > 1, (first - last) / np.maximum(times - 1, 1), _NO_GAP)
    since_first = pairs.orders_since_first[pair]
    yield from (np.log1p(count) for count in (times, last, first, pairs.one_before[pair]))
    yield from (np.log1p(count) for count in (pairs.orders_since_last[pair], since_first))
    yield from (np.log1p(pairs.weight(days)[pair]) for days in (7, 14, 30, 90))
    yield from (np.log1p(pairs.total(lines.ages < days)[pair]) for days in (28, 91))
    yield np.log1p(pairs.total(lines.quantities)[pair] / times)
    yield np.log1p(np.maximum(paid, 0))
    yield np.log1p(gap)
    yield np.log1p(np.where(gap >= 0, last / np.maximum(gap, 1), _NO_GAP))
    yield np.log1p(np.maximum(pairs.one_before[pair] - last, 0))
    yield np.where(listed > 0, 1 - paid / np.maximum(listed, 0.1), 0)
    yield times / np.maximum(since_first, 1)
    yield from (share / np.exp(by_name[f"share_of_{name}"]) for name in ("kind", "family"))
    yield np.log1p(last) - by_name["last_of_kind"]
