"""What is learned as of a day: sources, a ranker of what they name, and what customers had bought by then."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import FloatArray, IntArray, StringArray
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchase_matrix
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.ranking.ranker import Ranker, TrainingLists
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources

ScoringRule = Callable[[CustomerBlock, Candidates], FloatArray]
"""How much each candidate of a block is wanted."""
Found = TypeVar("Found")


def popularity(block: CustomerBlock, found: Candidates) -> FloatArray:
    """What many customers bought in the last 28 days."""
    return block.item_features.buyers_lately[found.items].astype(np.float64)


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
    wanted, chosen = purchase_matrix(after, history, before.catalogue), before.chosen.ranker

    def one(rows: IntArray, block: CustomerBlock, found: Candidates) -> TrainingLists:
        bought = np.asarray(wanted[rows[found.rows], found.items]).ravel()
        return TrainingLists.of(block, found, bought, chosen, seed=int(rows[0]))

    return list(before.each(history, one))


NO_ITEMS = np.zeros(0, np.int64)


@dataclass(frozen=True)
class TrainingWindow:
    """A past window.

    Args:
        sources: as of the day before it.
        history: of the customers to learn from, as of that day.
        after: what was bought in it.
    """

    sources: CandidateSources
    history: PurchaseHistory
    after: WindowPurchases

    @cached_property
    def lessons(self) -> list[TrainingLists]:
        """What is to be learned from it."""
        return training_lists(self.sources, self.history, self.after)


def with_sequence_model(
    sources: Sequence[CandidateSources],
    histories: Sequence[PurchaseHistory],
    warm: SequenceModel | None = None,
) -> list[CandidateSources]:
    """The same with a sequence model, if the settings ask for one.

    It learns once, on the oldest day, so that no window is known to it; what is read is as of each day.

    Args:
        sources: as of several days, the newest first.
        histories: of the same days.
        warm: a sequence model that learned on no later day than the oldest, to start from.
    """
    chosen = sources[0].chosen.sequence
    if chosen is None:
        return list(sources)
    oldest = SequenceModel.fit(histories[-1], sources[-1].catalogue, chosen, warm)
    return [
        replace(one, sequence=oldest.on(history, one.catalogue))
        for one, history in zip(sources, histories, strict=True)
    ]


def fit_recommender(
    now: CandidateSources,
    history: PurchaseHistory,
    windows: Sequence[TrainingWindow],
    new_items: IntArray = NO_ITEMS,
) -> Fit:
    """Learn to rank from past windows; then look from now.

    Args:
        now: as of the day from which to recommend; all windows have ended by then.
        history: of everybody, as of that day.
        windows: of the same catalogue.
        new_items: rows of the items that are new on that day.
    """
    if now.chosen.sequence is not None and now.sequence is None:
        days = [history, *(window.history for window in windows)]
        now, *before = with_sequence_model([now, *(window.sources for window in windows)], days)
        windows = [replace(one, sources=then) for one, then in zip(windows, before, strict=True)]
    learned = [lesson for window in windows for lesson in window.lessons]
    ranker = Ranker.fit(learned, now.names, now.chosen.ranker)
    return Fit(now, ranker, history, NewItems.fit(history, now.catalogue, new_items, now.chosen.content))
