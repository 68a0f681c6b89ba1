"""What is learned as of a day: sources, a ranker of what they name, and what customers had bought by then."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import FloatArray, IntArray, StringArray
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchase_matrix
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import HALF_LIFE_DAYS
from perennial.recommend.ranking.ranker import Ranker, TrainingLists
from perennial.recommend.sources.candidates import Candidates
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources

ScoringRule = Callable[[CustomerBlock, Candidates], FloatArray]
"""How much each candidate of a block is wanted."""
Found = TypeVar("Found")


def frequency(block: CustomerBlock, found: Candidates) -> FloatArray:
    """What the customer bought often and lately, filled up with what is popular."""
    weight = block.pairs.weight(HALF_LIFE_DAYS)
    popular = popularity(block, found)
    own = found.pair >= 0
    said = popular / (1 + popular.max(initial=0.0))
    said[own] = 1 + weight[found.pair[own]]
    return said


def popularity(block: CustomerBlock, found: Candidates) -> FloatArray:
    """What many customers bought in the last 28 days."""
    return block.facts.buyers_lately[found.items].astype(np.float64)


RULES: dict[str, ScoringRule] = {"frequency": frequency, "popularity": popularity}
"""What the ranker has to beat."""


@dataclass(frozen=True)
class Fit:
    """What was learned, and what every customer had bought by then."""

    sources: CandidateSources
    ranker: Ranker
    history: PurchaseHistory
    new_items: NewItems

    def probability(self, block: CustomerBlock, found: Candidates) -> FloatArray:
        """P(bought within the window) for each candidate.

        Of customers who never bought anything the ranker learned nothing: to them an item is as likely as
        to anybody, by who bought it in the last 28 days.
        """
        said = self.ranker.probability(block, found)
        unknown = (np.diff(block.history.starts) == 0)[found.rows]
        said[unknown] = popularity(block, found)[unknown] / len(self.history)
        return said

    def each(
        self,
        history: PurchaseHistory,
        work: Callable[[IntArray, CustomerBlock, Candidates, FloatArray], Found],
    ) -> Iterator[Found]:
        """What becomes of the candidates of each block of customers and their probabilities, in order."""
        return self.sources.each(
            history, lambda rows, block, found: work(rows, block, found, self.probability(block, found))
        )

    def of(self, customer_ids: StringArray) -> PurchaseHistory:
        """What customers had bought; nothing of unknown ones."""
        return self.history.of(self.history.find(pa.array(customer_ids, pa.string())), customer_ids)


def training_lists(
    before: CandidateSources, history: PurchaseHistory, after: WindowPurchases
) -> list[TrainingLists]:
    """What the sources said before a window, and what was bought in it.

    Args:
        before: as of the day before the window.
        history: of the customers to learn from, as of that day.
        after: what was bought in the window.
    """
    wanted, chosen = purchase_matrix(after, history, before.shelf), before.chosen.ranker

    def one(rows: IntArray, block: CustomerBlock, found: Candidates) -> TrainingLists:
        bought = np.asarray(wanted[rows[found.rows], found.items]).ravel()
        return TrainingLists.of(block, found, bought, chosen, seed=int(rows[0]))

    return list(before.each(history, one))
