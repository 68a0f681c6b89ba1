"""What a ranker is told of a candidate: of the customer, the item, both, and what the sources say of it.

Counts, shares and ages come as logarithms: trees do not mind, and a network needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from perennial.recommend import facts
from perennial.recommend.candidates import Candidates
from perennial.recommend.facts import Facts
from perennial.recommend.history import History, Reals
from perennial.recommend.pairs import NEVER, Pairs
from perennial.recommend.shelf import GROUPS, Codes, Shelf, Whole

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
HALF_LIFE_DAYS = 90.0
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
    _held: dict[str, dict[str, Reals]] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> Pairs:
        """What they bought."""
        return Pairs.of(self.history)

    def features(self, candidates: Candidates, *, bought: bool) -> Reals:
        """One row for each candidate, columns as in `names`; `bought`: all were bought before."""
        rows, items = candidates.rows, candidates.items
        parts = [
            *(() if bought else _said(candidates.scores, rows)),
            self.facts.table[items],
            self.customers[rows],
            self._together(TOGETHER_BOUGHT if bought else TOGETHER_NEW, rows, items),
        ]
        if bought:
            parts.append(self._own(candidates))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    @cached_property
    def customers(self) -> Reals:
        """`CUSTOMER`, shape (customers, len(CUSTOMER))."""
        history, size = self.history, len(self.history)
        first = np.diff(history.orders, prepend=-1) != 0
        of_order, age = history.customers[first], history.ages[first]
        some, held = np.diff(history.starts) > 0, np.r_[history.ages, NEVER]
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
        return np.column_stack([np.log1p(np.column_stack(counts)), self._dearer, discounted]).astype(
            np.float32
        )

    @cached_property
    def _weights(self) -> sparse.csr_array:
        return self.history.weights(HALF_LIFE_DAYS)

    @cached_property
    def _total(self) -> Reals:
        return np.maximum(np.asarray(self._weights.sum(axis=1)).ravel(), 1e-6)

    @cached_property
    def _dearer(self) -> Reals:
        """How much dearer than their kind the things are that the customer buys, in log price."""
        return (self._weights @ self.facts.column("dearer_than_kind")) / self._total

    def part_of(self, group: str) -> Reals:
        """The log of each group's share in what a customer buys, shape (customers, groups)."""
        return self._of_group(group)["share"]

    def _of_group(self, name: str) -> dict[str, Reals]:
        """What each customer buys of each group, shape (customers, groups) each, as logarithms."""
        if name not in self._held:
            history, group = self.history, self.shelf.groups[name]
            weight = self._by_group(self._weights, group)
            last = np.full(weight.shape, NEVER, np.float32)
            # The oldest line comes first, so the newest age of a group is what stays.
            last[history.customers, group[history.items]] = history.ages
            counts = {"lines": history.weights(), "different": history.bought}
            counts |= {"lately": history.weights(window_days=28), "new": self.pairs.first_since(28)}
            self._held[name] = {
                "weight": np.log1p(weight),
                "share": np.log(weight / self._total[:, None] + _LEAST_SHARE),
                "last": np.log1p(last),
                **{part: np.log1p(self._by_group(one, group)) for part, one in counts.items()},
            }
        return self._held[name]

    def _by_group(self, weights: sparse.csr_array, group: Codes) -> Reals:
        """The sum over the items of each group, shape (customers, groups)."""
        shape = self.history.width, int(group.max(initial=0)) + 1
        member = sparse.csr_array(
            (np.ones(len(group), np.float32), (np.arange(len(group)), group)), shape=shape
        )
        return (weights @ member).toarray()

    def _together(self, columns: Sequence[str], rows: Whole, items: Whole) -> Reals:
        """Columns named `<part>_of_<group>`, and how much dearer than usual the item is."""
        split = (name.split("_of_") for name in columns if "_of_" in name)
        groups = self.shelf.groups
        found = [self._of_group(group)[part][rows, groups[group][items]] for part, group in split]
        return np.column_stack([*found, self.facts.column("dearer_than_kind")[items] - self._dearer[rows]])

    @cached_property
    def _of_pair(self) -> Reals:
        """The first columns of `OWN` for each pair."""
        pairs, lines = self.pairs, self.history
        listed, paid = pairs.total(lines.listed), pairs.total(lines.paid)
        gap = np.where(pairs.times > 1, (pairs.first - pairs.last) / np.maximum(pairs.times - 1, 1), _NO_GAP)
        counts: list[np.ndarray] = [
            *(pairs.times, pairs.last, pairs.first, pairs.one_before),
            *(pairs.orders_since_last, pairs.orders_since_first),
            *(pairs.weight(days) for days in (7, 14, 30, 90)),
            *(pairs.total((lines.ages < days).astype(np.float32)) for days in (28, 91)),
            pairs.total(lines.quantities) / pairs.times,
            np.maximum(paid, 0),
            gap,
            np.where(gap >= 0, pairs.last / np.maximum(gap, 1), _NO_GAP),
            pairs.one_before - pairs.last,
        ]
        shares = [
            np.where(listed > 0, 1 - paid / np.maximum(listed, 0.1), 0),
            pairs.times / np.maximum(pairs.orders_since_first, 1),
        ]
        return np.column_stack([np.log1p(np.column_stack(counts)), *shares]).astype(np.float32)

    def _own(self, candidates: Candidates) -> Reals:
        rows, held = candidates.rows, self._of_pair[candidates.pair]
        groups = self.shelf.groups
        weight = np.expm1(held[:, OWN.index("weight_90")]) / self._total[rows]
        shares = [
            weight / np.exp(self.part_of(name)[rows, groups[name][candidates.items]])
            for name in ("kind", "family")
        ]
        newest = self._of_group("kind")["last"][rows, groups["kind"][candidates.items]]
        return np.column_stack([held, *shares, held[:, OWN.index("last")] - newest])


def _said(scores: Reals, rows: Whole) -> tuple[Reals, Reals, Reals]:
    """Each source's score, how it compares with its best of the same customer, and its rank (logarithms)."""
    said = np.log(np.maximum(scores, _LEAST))
    if not len(rows):
        return said, said, said
    changed = np.diff(rows, prepend=-1) != 0
    starts = np.flatnonzero(changed)
    place = np.cumsum(changed) - 1
    best = np.fmax.reduceat(said, starts)
    ranks = np.empty_like(said)
    for source, column in enumerate(said.T):
        order = np.lexsort((-column, rows))
        ranks[order, source] = np.arange(len(rows)) - starts[place[order]]
    return said, said - best[place], np.log1p(ranks)
