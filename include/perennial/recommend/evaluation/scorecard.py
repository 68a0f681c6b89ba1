"""How good lists are on test cases: over all items, over items bought before, over new items."""

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
"""Lists of all candidates; and lists of one kind of candidates, compared with the purchases of that kind."""
_SHORT = {BOUGHT: "repeat", NEW: "explore"}


@dataclass(frozen=True)
class Scorecard:
    """How good a scoring rule is.

    Args:
        metrics: the measures at `JUDGED_AT` of each customer, in the order of the test cases.
        parts: NDCG of the lists of `BOUGHT` and of `NEW`, NaN for a customer without a purchase of that kind,
            shape (customers,).
        coverage: share of the items on offer that are in at least one list.
    """

    metrics: RankingMetrics
    parts: Mapping[str, FloatArray]
    coverage: float

    def figures(self) -> dict[str, float]:
        """Means with their intervals; means of the parts, without intervals; and the coverage."""
        figures = self.metrics.figures(JUDGED_AT) | {f"coverage_{JUDGED_AT}": self.coverage}
        for name, ndcg in self.parts.items():
            if len(known := ndcg[~np.isnan(ndcg)]):
                figures[f"ndcg_{JUDGED_AT}_{_SHORT[name]}"] = float(known.mean())
        return figures


@dataclass(frozen=True)
class _Lists:
    """The items of the lists of each part, one array for each block of customers."""

    items: dict[str, list[IntArray]] = field(default_factory=lambda: {WHOLE: [], BOUGHT: [], NEW: []})

    def add(self, block: CustomerBlock, candidates: Candidates, scores: FloatArray) -> None:
        bought = candidates.pair >= 0
        for part, kept in ((WHOLE, np.ones(len(candidates), bool)), (BOUGHT, bought), (NEW, ~bought)):
            lists = RankedLists.best(block, candidates.where(kept), scores[kept], JUDGED_AT)
            self.items[part].append(lists.items)


def scorecards(fit: Fit, truth: WindowPurchases, rules: Mapping[str, ScoringRule]) -> dict[str, Scorecard]:
    """The scorecards of several scoring rules for the same candidates.

    Args:
        fit: it names the candidates.
        truth: what was bought afterwards.
        rules: by name.
    """
    history, catalogue = fit.history_of(truth.customer_ids), fit.sources.catalogue
    lists = {name: _Lists() for name in rules}
    for _, block, candidates in fit.sources.candidates(history):
        for name, rule in rules.items():
            lists[name].add(block, candidates, rule(block, candidates))
    wanted = purchase_matrix(truth, history, catalogue)
    repeated = wanted.multiply(history.bought > 0).tocsr().astype(bool)
    targets = {BOUGHT: repeated, NEW: (wanted.astype(int) - repeated.astype(int)).tocsr().astype(bool)}
    for target in targets.values():
        target.eliminate_zeros()
    offered = max(1, int(fit.sources.offered.sum()))
    cards = {}
    for name, of_rule in lists.items():
        items = {part: np.concatenate(blocks) for part, blocks in of_rule.items.items()}
        whole = items[WHOLE]
        cards[name] = Scorecard(
            evaluate(hits(whole, wanted), truth.wanted),
            {part: _ndcg(items[part], target) for part, target in targets.items()},
            len(np.unique(whole[whole >= 0])) / offered,
        )
    return cards


def _ndcg(lists: IntArray, wanted: sparse.csr_array) -> FloatArray:
    """NDCG of each customer, NaN for a customer who bought nothing, shape (customers,)."""
    counts = np.diff(wanted.indptr)
    buyers = np.flatnonzero(counts)
    ndcg = np.full(len(counts), np.nan)
    ndcg[buyers] = evaluate(hits(lists, wanted)[buyers], counts[buyers]).ndcg
    return ndcg
