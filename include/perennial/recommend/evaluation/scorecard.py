"""What lists were worth on an examination: as a whole, of what was bought before, of what is new."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from perennial.foundation.arrays import FloatArray, IntArray
from perennial.recommend.data.window_purchases import WindowPurchases, purchase_matrix
from perennial.recommend.evaluation.metrics import RankingMetrics, evaluate, hits
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.fit import Fit, ScoringRule
from perennial.recommend.lists.reasons import RankedLists

JUDGED_AT = 10
WHOLE, BOUGHT, NEW = "", "what they bought before", "what is new to them"
"""Of everything; and lists of one sort alone, held against what was bought of it."""
_SHORT = {BOUGHT: "repeat", NEW: "explore"}


@dataclass(frozen=True)
class Scorecard:
    """How a way to rank did.

    Args:
        outcome: the measures at `JUDGED_AT` of each customer of the examination, in its order.
        parts: NDCG of the lists of `BOUGHT` and `NEW` alone, NaN for who bought nothing of it, shape (n,).
        coverage: share of the items on offer that are in anybody's list.
    """

    outcome: RankingMetrics
    parts: Mapping[str, FloatArray]
    coverage: float

    def figures(self) -> dict[str, float]:
        """Means with their intervals, those of the parts without, and the coverage."""
        found = self.outcome.figures(JUDGED_AT) | {f"coverage_{JUDGED_AT}": self.coverage}
        for name, ndcg in self.parts.items():
            if len(there := ndcg[~np.isnan(ndcg)]):
                found[f"ndcg_{JUDGED_AT}_{_SHORT[name]}"] = float(there.mean())
        return found


@dataclass(frozen=True)
class _Lists:
    """Items by part, a block behind the other."""

    items: dict[str, list[IntArray]] = field(default_factory=lambda: {WHOLE: [], BOUGHT: [], NEW: []})

    def add(self, block: CustomerBlock, found: Candidates, said: FloatArray) -> None:
        old = found.pair >= 0
        for part, kept in ((WHOLE, np.ones(len(found), bool)), (BOUGHT, old), (NEW, ~old)):
            ranking = RankedLists.best(block, found.where(kept), said[kept], JUDGED_AT)
            self.items[part].append(ranking.items)


def scorecards(fit: Fit, truth: WindowPurchases, rules: Mapping[str, ScoringRule]) -> dict[str, Scorecard]:
    """The marks of several ways to rank the same candidates.

    Args:
        fit: of the candidates.
        truth: what was bought afterwards.
        rules: by name.
    """
    asked, catalogue = fit.history_of(truth.customer_ids), fit.sources.catalogue
    lists = {name: _Lists() for name in rules}
    for _, block, found in fit.sources.candidates(asked):
        for name, rule in rules.items():
            lists[name].add(block, found, rule(block, found))
    wanted = purchase_matrix(truth, asked, catalogue)
    again = wanted.multiply(asked.bought > 0).tocsr().astype(bool)
    targets = {BOUGHT: again, NEW: (wanted.astype(int) - again.astype(int)).tocsr().astype(bool)}
    for target in targets.values():
        target.eliminate_zeros()
    found_marks = {}
    for name, held in lists.items():
        items = {part: np.concatenate(blocks) for part, blocks in held.items.items()}
        whole = items[WHOLE]
        found_marks[name] = Scorecard(
            evaluate(hits(whole, wanted), truth.wanted),
            {part: _ndcg(items[part], target) for part, target in targets.items()},
            len(np.unique(whole[whole >= 0])) / max(1, int(fit.sources.offered.sum())),
        )
    return found_marks


def _ndcg(lists: IntArray, wanted: sparse.csr_array) -> FloatArray:
    """Of each customer, NaN for who wanted nothing."""
    counts = np.diff(wanted.indptr)
    some = np.flatnonzero(counts)
    found = np.full(len(counts), np.nan)
    found[some] = evaluate(hits(lists, wanted)[some], counts[some]).ndcg
    return found
