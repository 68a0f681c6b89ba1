"""What a ranker is told of a candidate: of the customer, the item, both, and what the sources say of it.

Counts, shares and ages come as logarithms: trees do not mind, and a network needs them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from perennial.recommend import facts
from perennial.recommend.candidates import Candidates
from perennial.recommend.facts import Facts
from perennial.recommend.history import History, Reals
from perennial.recommend.pairs import HALF_LIFE_DAYS, NEVER, Pairs
from perennial.recommend.ragged import Ragged
from perennial.recommend.shelf import GROUPS, Shelf, Whole

Numbers = NDArray[np.floating]

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
OWN = (
    *("times", "last", "first", "one_before", "orders_since_last", "orders_since_first"),
    *("weight_7", "weight_14", "weight_30", "weight_90", "lately_28", "lately_91"),
    *("quantity", "paid", "gap", "due", "newest_gap", "discount_of_item", "rate"),
    *("share_in_kind", "share_in_family", "switched"),
)
_LEAST = 1e-5
_NO_GAP = -0.9
_LEAST_SHARE = 1e-4


def names(sources: Sequence[str], *, bought: bool) -> tuple[str, ...]:
    """The columns of `Block.features`."""
    parts = () if bought else ("", "_to_best", "_rank")
    said = [f"{source}{part}" for part in parts for source in sources]
    of_item = (f"item_{name}" for name in facts.NAMES)
    rest = (*TOGETHER_BOUGHT, *OWN) if bought else TOGETHER_NEW
    return (*said, *of_item, *CUSTOMER, *rest)


@dataclass(frozen=True)
class Block:
    """What is known of the customers of a block."""

    history: History
    shelf: Shelf
    facts: Facts

    @cached_property
    def pairs(self) -> Pairs:
        """What they bought."""
        return Pairs.of(self.history)

    def features(self, candidates: Candidates, *, bought: bool) -> Reals:
        """One row for each candidate, columns as in `names`; `bought`: all were bought before, or none."""
        rows, items, pair = candidates.rows, candidates.items, candidates.pair
        known = [*(one[items] for one in self.facts.columns), *(one[rows] for one in self.customers.T)]
        dearer = self.facts.column("dearer_than_kind")[items] - self._dearer[rows]
        if not bought:
            cells = {name: self._cells(name, rows, items) for name in GROUPS}
            together = self._together(TOGETHER_NEW, rows, cells)
            return _beside([*_said(candidates, len(self.history)), *known, *together.values(), dearer])
        cells = {name: self._own_cells(name, pair) for name in BOUGHT_GROUPS}
        together = self._together(TOGETHER_BOUGHT, rows, cells)
        return _beside([*known, *together.values(), dearer, *self._own(rows, pair, together)])

    @cached_property
    def customers(self) -> Reals:
        """`CUSTOMER`, shape (customers, len(CUSTOMER))."""
        history, size = self.history, len(self.history)
        first = np.diff(history.orders, prepend=-1) != 0
        of_order, age = history.customers[first], history.ages[first]
        some, held = np.diff(history.starts) > 0, np.append(history.ages, NEVER)
        listed = np.bincount(history.customers, history.listed, minlength=size)
        paid = np.bincount(history.customers, history.paid, minlength=size)
        counts = [
            *(np.bincount(of_order[age < days], minlength=size) for days in (14, 28, 91, NEVER)),
            np.bincount(history.customers[history.ages < 28], minlength=size),
            np.where(some, held[history.starts[1:] - 1], NEVER),
            np.where(some, held[history.starts[:-1]], NEVER),
            np.bincount(self.pairs.rows, minlength=size),
            np.bincount(self.pairs.rows[self.pairs.first < 28], minlength=size),
        ]
        discounted = np.where(listed > 0, 1 - paid / np.maximum(listed, 0.1), 0)
        return _beside([*map(np.log1p, counts), self._dearer, discounted])

    def share_of(self, name: str, items: Whole) -> Reals:
        """The share of each item's group in what a customer buys, above 0, shape (customers, items)."""
        cells = self._cells(name, np.arange(len(self.history))[:, None], items)
        share = cells.total(self._worth["weight"]) / np.repeat(self._total, cells.count // len(self._total))
        return (share + _LEAST_SHARE).astype(np.float32)[cells.asked]

    @cached_property
    def _worth(self) -> dict[str, Numbers]:
        """What a pair adds to the sums of its groups."""
        pairs = self.pairs
        return {
            "weight": pairs.weight(HALF_LIFE_DAYS),
            "lines": pairs.times.astype(np.float64),
            "different": np.ones(len(pairs.starts)),
            "lately": pairs.total(self.history.ages < 28),
            "new": (pairs.first < 28).astype(np.float64),
        }

    @cached_property
    def _total(self) -> Numbers:
        weight = np.bincount(self.pairs.rows, self._worth["weight"], minlength=len(self.history))
        return np.maximum(weight, 1e-6)

    @cached_property
    def _dearer(self) -> Numbers:
        """How much dearer than their kind the things are that the customer buys, in log price."""
        dearer = self._worth["weight"] * self.facts.column("dearer_than_kind")[self.pairs.items]
        return np.bincount(self.pairs.rows, dearer, minlength=len(self.history)) / self._total

    def _cells(self, name: str, rows: Whole, items: Whole) -> "_Cells":
        """By customer and group of some items; whatever else they buy is one more group."""
        group = self.shelf.groups[name]
        held = np.flatnonzero(np.bincount(group[items]))
        number = np.full(int(group.max(initial=0)) + 1, len(held))
        number[held] = np.arange(len(held))
        size = len(held) + 1
        own = self.pairs.rows * np.int64(size) + number[group[self.pairs.items]]
        return _Cells(own, rows * np.int64(size) + number[group[items]], len(self.history) * size)

    def _own_cells(self, name: str, pair: Whole) -> "_Cells":
        """By customer and group of an item that they bought."""
        group = self.shelf.groups[name]
        size = np.int64(group.max(initial=0)) + 1
        held, own = np.unique(self.pairs.rows * size + group[self.pairs.items], return_inverse=True)
        return _Cells(own, own[pair], len(held))

    def _together(
        self, columns: Sequence[str], rows: Whole, cells: Mapping[str, "_Cells"]
    ) -> dict[str, Numbers]:
        """Columns named `<part>_of_<group>`, as logarithms."""
        found = {}
        for name in columns:
            part, _, group = name.partition("_of_")
            if part == "share":
                weight = cells[group].total(self._worth["weight"])[cells[group].asked]
                found[name] = np.log(weight / self._total[rows] + _LEAST_SHARE)
            elif part == "last":
                found[name] = np.log1p(self._newest(cells[group])[cells[group].asked])
            elif group:
                found[name] = np.log1p(cells[group].total(self._worth[part])[cells[group].asked])
        return found

    def _newest(self, cells: "_Cells") -> Numbers:
        """Days since the newest purchase of each cell."""
        found = np.full(cells.count, float(NEVER))
        # The oldest line of a customer comes first, so the newest age is what stays.
        found[cells.own[self.history.pair_of_line]] = self.history.ages
        return found

    def _own(self, rows: Whole, pair: Whole, together: Mapping[str, Numbers]) -> list[Numbers]:
        """`OWN` of pairs."""
        pairs, lines = self.pairs, self.history
        times, last, first = pairs.times[pair], pairs.last[pair], pairs.first[pair]
        listed, paid = pairs.total(lines.listed)[pair], pairs.total(lines.paid)[pair]
        gap = np.where(times > 1, (first - last) / np.maximum(times - 1, 1), _NO_GAP)
        since_first = pairs.orders_since_first[pair]
        counts = [
            *(times, last, first, pairs.one_before[pair], pairs.orders_since_last[pair], since_first),
            *(pairs.weight(days)[pair] for days in (7, 14, 30, 90)),
            *(pairs.total(lines.ages < days)[pair] for days in (28, 91)),
            pairs.total(lines.quantities)[pair] / times,
            np.maximum(paid, 0),
            gap,
            np.where(gap >= 0, last / np.maximum(gap, 1), _NO_GAP),
            np.maximum(pairs.one_before[pair] - last, 0),
        ]
        share = self._worth["weight"][pair] / self._total[rows]
        return [
            *map(np.log1p, counts),
            np.where(listed > 0, 1 - paid / np.maximum(listed, 0.1), 0),
            times / np.maximum(since_first, 1),
            *(share / np.exp(together[f"share_of_{name}"]) for name in ("kind", "family")),
            np.log1p(last) - together["last_of_kind"],
        ]


@dataclass(frozen=True)
class _Cells:
    """Customers by groups of items.

    Args:
        own: the cell of each pair.
        asked: the cell of each candidate.
        count: how many cells.
    """

    own: Whole
    asked: Whole
    count: int

    def total(self, of_pairs: np.ndarray) -> np.ndarray:
        """The sum over the pairs of each cell."""
        return np.bincount(self.own, of_pairs, self.count)


def _said(candidates: Candidates, customers: int) -> tuple[Reals, Reals, Reals]:
    """Each source's score, how it compares with its best of the same customer, and its rank (logarithms)."""
    lists = Ragged(candidates.rows, customers)
    said = np.log(np.maximum(candidates.scores.T, _LEAST))
    best = np.stack([lists.table(one, -np.inf).max(axis=1)[lists.rows] for one in said])
    ranks = np.stack([lists.ranks(one) for one in said])
    return said.T, (said - best).T, np.log1p(ranks).T


def _beside(parts: Iterable[np.ndarray]) -> Reals:
    """Columns and tables of as many rows side by side, in memory column by column."""
    held = [part if part.ndim == 2 else part[:, None] for part in parts]
    ends = np.cumsum([part.shape[1] for part in held])
    found = np.empty((ends[-1], len(held[0])), np.float32).T
    for part, end in zip(held, ends, strict=True):
        found[:, end - part.shape[1] : end] = part
    return found
