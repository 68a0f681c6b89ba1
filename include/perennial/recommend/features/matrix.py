"""The features of candidates: of the customer, of the item, of both together, and the scores of the sources.

Counts, shares and ages are logarithms: trees do not mind, and a network needs them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perennial.foundation.arrays import Float32Array, IntArray, RealArray
from perennial.recommend.arrays.lookup import sort_keys
from perennial.recommend.arrays.ragged import RaggedLists
from perennial.recommend.data.catalogue import GROUPS, Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features import item_features, repurchase
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.pairs import HALF_LIFE_DAYS, NEVER, Candidates, PurchasedPairs

CUSTOMER = (
    *("orders_14", "orders_28", "orders_91", "orders", "lines_28", "last_order", "first_order"),
    *("different_items", "new_items_28", "buys_dearer", "buys_discounted"),
)
NEW_GROUPS = ("kind", "brand_line", "text")
BOUGHT_GROUPS = ("kind", "family", "brand")
TOGETHER_NEW = (
    *(f"{part}_of_{group}" for group in GROUPS for part in ("share", "different")),
    *(f"{part}_of_{group}" for group in NEW_GROUPS for part in ("lines", "last", "lately", "new")),
    "dearer_than_usual",
)
TOGETHER_BOUGHT = (
    *(
        f"{part}_of_{group}"
        for group in BOUGHT_GROUPS
        for part in ("weight", "share", "different", "lines", "last")
    ),
    *("lately_of_kind", "new_of_kind", "dearer_than_usual"),
)
_LEAST = 1e-5
_LEAST_SHARE = 1e-4


def feature_names(sources: Sequence[str], *, bought: bool) -> tuple[str, ...]:
    """The columns of `CustomerBlock.features`."""
    parts = () if bought else ("", "_to_best", "_rank")
    of_scores = [f"{source}{part}" for part in parts for source in sources]
    of_item = (f"item_{name}" for name in item_features.NAMES)
    rest = (*TOGETHER_BOUGHT, *repurchase.NAMES) if bought else TOGETHER_NEW
    return (*of_scores, *of_item, *CUSTOMER, *rest)


@dataclass(frozen=True)
class CustomerBlock:
    """The customers of a block: what they bought, and what is known of the items."""

    history: PurchaseHistory
    catalogue: Catalogue
    item_features: ItemFeatures

    @cached_property
    def pairs(self) -> PurchasedPairs:
        """What they bought."""
        return PurchasedPairs.of(self.history)

    def features(self, candidates: Candidates, *, bought: bool) -> Float32Array:
        """One row for each candidate, columns as in `feature_names`; `bought`: all or none were before."""
        columns = feature_names([str(source) for source in range(candidates.scores.shape[1])], bought=bought)
        table = np.empty((len(columns), len(candidates)), np.float32)
        by_name = dict(zip(columns, table, strict=True))
        # One column after the other: the arrays of each stay in the cache.
        for column, values in zip(table, self._columns(candidates, by_name, bought=bought), strict=True):
            column[:] = values
        return table.T

    def _columns(
        self, candidates: Candidates, by_name: Mapping[str, Float32Array], *, bought: bool
    ) -> Iterator[RealArray]:
        """The columns in the order of `feature_names`; each is in `by_name` when the next is needed."""
        rows, items, pair = candidates.rows, candidates.items, candidates.pair
        if not bought:
            yield from _score_features(candidates, len(self.history))
        yield from (column[items] for column in self.item_features.columns)
        yield from (column[rows] for column in self.customers.T)
        if bought:
            cells = {name: self._own_cells(name, pair) for name in BOUGHT_GROUPS}
        else:
            cells = {name: self._cells(name, rows, items) for name in GROUPS}
        together = TOGETHER_BOUGHT if bought else TOGETHER_NEW
        yield from (self._together(name, rows, cells) for name in together[:-1])
        yield self.item_features.column("dearer_than_kind")[items] - self._dearer[rows]
        if bought:
            share = self._sums_of_pair["weight"][pair] / self._total[rows]
            yield from repurchase.columns(self.pairs, pair, share, by_name)

    @cached_property
    def customers(self) -> Float32Array:
        """`CUSTOMER`, shape (customers, len(CUSTOMER))."""
        history, size = self.history, len(self.history)
        is_first_line = np.diff(history.orders, prepend=-1) != 0
        of_order, age = history.customers[is_first_line], history.ages[is_first_line]
        has_history, ages = np.diff(history.starts) > 0, np.append(history.ages, NEVER)
        listed = np.bincount(history.customers, history.listed, minlength=size)
        paid = np.bincount(history.customers, history.paid, minlength=size)
        counts = [
            *(np.bincount(of_order[age < days], minlength=size) for days in (14, 28, 91, NEVER)),
            np.bincount(history.customers[history.ages < 28], minlength=size),
            np.where(has_history, ages[history.starts[1:] - 1], NEVER),
            np.where(has_history, ages[history.starts[:-1]], NEVER),
            np.bincount(self.pairs.rows, minlength=size),
            np.bincount(self.pairs.rows[self.pairs.first < 28], minlength=size),
        ]
        discounted = np.where(listed > 0, 1 - paid / np.maximum(listed, 0.1), 0)
        return np.column_stack([*map(np.log1p, counts), self._dearer, discounted]).astype(np.float32)

    def share_of(self, name: str, items: IntArray) -> Float32Array:
        """The share of each item's group in what a customer buys, above 0, shape (customers, items)."""
        cell_of_pair, group_of_item, groups = self._numbered(name, items)
        weight = np.bincount(cell_of_pair, self._sums_of_pair["weight"], len(self.history) * groups).reshape(
            -1, groups
        )
        share = weight / self._total[:, None] + _LEAST_SHARE
        return np.take(share.astype(np.float32), group_of_item, axis=1)

    @cached_property
    def _sums_of_pair(self) -> dict[str, RealArray]:
        """What a pair adds to the sums of its groups, by the name of the sum."""
        pairs = self.pairs
        return {
            "weight": pairs.weight(HALF_LIFE_DAYS),
            "lines": pairs.times.astype(np.float64),
            "different": np.ones(len(pairs.starts)),
            "lately": pairs.total(self.history.ages < 28),
            "new": (pairs.first < 28).astype(np.float64),
        }

    @cached_property
    def _total(self) -> RealArray:
        weight = np.bincount(self.pairs.rows, self._sums_of_pair["weight"], minlength=len(self.history))
        return np.maximum(weight, 1e-6)

    @cached_property
    def _dearer(self) -> RealArray:
        """How much dearer than their kind the items are that the customer buys, in log price."""
        dearer = (
            self._sums_of_pair["weight"] * self.item_features.column("dearer_than_kind")[self.pairs.items]
        )
        return np.bincount(self.pairs.rows, dearer, minlength=len(self.history)) / self._total

    def _cells(self, name: str, rows: IntArray, items: IntArray) -> "_Cells":
        """Cells by customer and group of some items; all other purchases are one more group."""
        cell_of_pair, group_of_item, groups = self._numbered(name, items)
        return _Cells(cell_of_pair, rows * groups + group_of_item, len(self.history) * groups)

    def _numbered(self, name: str, items: IntArray) -> tuple[IntArray, IntArray, int]:
        """The cell of each pair, the number of each item's group, and how many groups there are."""
        group = self.catalogue.groups[name]
        present = np.flatnonzero(np.bincount(group[items]))
        number = np.full(int(group.max(initial=0)) + 1, len(present))
        number[present] = np.arange(len(present))
        groups = len(present) + 1
        return (
            self.pairs.rows * np.int64(groups) + number[group[self.pairs.items]],
            number[group[items]],
            groups,
        )

    def _own_cells(self, name: str, pair: IntArray) -> "_Cells":
        """Cells by customer and group of an item that they bought."""
        group = self.catalogue.groups[name]
        keys = self.pairs.rows * (np.int64(group.max(initial=0)) + 1) + group[self.pairs.items]
        order, ordered = sort_keys(keys)
        cell_of_pair = np.empty(len(keys), np.int64)
        cell_of_pair[order] = np.cumsum(np.diff(ordered, prepend=-1) != 0) - 1
        return _Cells(cell_of_pair, cell_of_pair[pair], int(cell_of_pair.max(initial=-1)) + 1)

    def _together(self, name: str, rows: IntArray, cells: Mapping[str, "_Cells"]) -> RealArray:
        """A column named `<part>_of_<group>`, as logarithms."""
        part, _, group = name.partition("_of_")
        of_group = cells[group]
        if part == "share":
            return np.log(
                of_group.total(self._sums_of_pair["weight"])[of_group.of_candidate] / self._total[rows]
                + _LEAST_SHARE
            )
        if part == "last":
            return np.log1p(self._newest(of_group)[of_group.of_candidate])
        return np.log1p(of_group.total(self._sums_of_pair[part])[of_group.of_candidate])

    def _newest(self, cells: "_Cells") -> RealArray:
        """Days since the newest purchase of each cell."""
        days = np.full(cells.count, float(NEVER))
        # Lines are from old to new: the newest age is written last and stays.
        days[cells.of_pair[self.history.pair_of_line]] = self.history.ages
        return days


@dataclass(frozen=True)
class _Cells:
    """Customers by groups of items.

    Args:
        of_pair: the cell of each pair.
        of_candidate: the cell of each candidate.
        count: how many cells.
    """

    of_pair: IntArray
    of_candidate: IntArray
    count: int

    def total(self, of_pairs: np.ndarray) -> np.ndarray:
        """The sum over the pairs of each cell."""
        return np.bincount(self.of_pair, of_pairs, self.count)


def _score_features(candidates: Candidates, customers: int) -> Iterator[Float32Array]:
    """Each score, its difference to the customer's best, and its rank (logarithms)."""
    lists = RaggedLists(candidates.rows, customers)
    starts = np.flatnonzero(np.diff(candidates.rows, prepend=-1))
    lengths = np.diff(starts, append=len(candidates))
    log_scores = [np.log(np.maximum(column, _LEAST)) for column in candidates.scores.T]
    yield from log_scores
    yield from (column - np.repeat(np.maximum.reduceat(column, starts), lengths) for column in log_scores)
    yield from (np.log1p(lists.ranks(column)) for column in log_scores)
