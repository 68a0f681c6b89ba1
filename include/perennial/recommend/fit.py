"""What is learned as of a day: sources, a ranker of their candidates, and the purchases until then."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import FloatArray, IntArray, StringArray
from perennial.recommend.arrays.parallel import map_blocks
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchase_matrix
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.ranking.ranker import Ranker, TrainingLists
from perennial.recommend.ranking.unknown_customers import with_unknown_customers
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources

ScoringRule = Callable[[CustomerBlock, Candidates], FloatArray]
"""From the candidates of a block to a score for each of them."""
NO_ITEMS = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Fit:
    """What was learned, and what every customer had bought by then."""

    sources: CandidateSources
    ranker: Ranker
    history: PurchaseHistory
    new_items: NewItems

    def probability(self, block: CustomerBlock, candidates: Candidates) -> FloatArray:
        """P(bought within the window) for each candidate; of customers without purchases by popularity."""
        probabilities = self.ranker.probability(block, candidates)
        return with_unknown_customers(probabilities, block, candidates, len(self.history))

    def candidates(
        self, history: PurchaseHistory
    ) -> Iterator[tuple[IntArray, CustomerBlock, Candidates, FloatArray]]:
        """Block by block: rows of the history, customers of the block, candidates, probabilities."""

        def of_block(rows: IntArray) -> tuple[IntArray, CustomerBlock, Candidates, FloatArray]:
            block, candidates = self.sources.candidates_of(history.of(rows))
            return rows, block, candidates, self.probability(block, candidates)

        return map_blocks(len(history), of_block)

    def history_of(self, customer_ids: StringArray) -> PurchaseHistory:
        """What these customers had bought; unknown ones have bought nothing."""
        return self.history.of(self.history.find(pa.array(customer_ids, pa.string())), customer_ids)


@dataclass(frozen=True)
class TrainingWindow:
    """A past window.

    Args:
        sources: as of the day before it.
        history: of the customers to learn from, as of that day.
        purchases: of those customers in the window.
    """

    sources: CandidateSources
    history: PurchaseHistory
    purchases: WindowPurchases

    @cached_property
    def lists(self) -> list[TrainingLists]:
        """The candidates as of the day before, with what was bought of them, block by block."""
        bought = purchase_matrix(self.purchases, self.history, self.sources.catalogue)
        settings = self.sources.settings.ranker

        def of_block(rows: IntArray) -> TrainingLists:
            block, candidates = self.sources.candidates_of(self.history.of(rows))
            labels = np.asarray(bought[rows[candidates.rows], candidates.items]).ravel()
            return TrainingLists.of(block, candidates, labels, settings, seed=int(rows[0]))

        return list(map_blocks(len(self.history), of_block))


def with_sequence_model(
    sources: Sequence[CandidateSources],
    histories: Sequence[PurchaseHistory],
    warm: SequenceModel | None = None,
) -> list[CandidateSources]:
    """The same sources with a sequence model, if the settings ask for one.

    It learns once, on the oldest day, so that it knows no window; what it reads is as of each day.

    Args:
        sources: as of several days, the newest first.
        histories: of the same days.
        warm: a sequence model to start from; it learned on no later day than the oldest.
    """
    settings = sources[0].settings.sequence
    if settings is None:
        return list(sources)
    oldest = SequenceModel.fit(histories[-1], sources[-1].catalogue, settings, warm)
    return [
        of_day.with_sequence(oldest.on(history, of_day.catalogue))
        for of_day, history in zip(sources, histories, strict=True)
    ]


def fit_recommender(
    sources: CandidateSources,
    history: PurchaseHistory,
    windows: Sequence[TrainingWindow],
    new_items: IntArray = NO_ITEMS,
) -> Fit:
    """Learn to rank from past windows, for recommendations as of a day.

    Args:
        sources: as of the day; all windows have ended by then.
        history: of all customers, as of the day.
        windows: of the same catalogue.
        new_items: rows of the items that are new on the day.
    """
    if sources.settings.sequence is not None and sources.sequence is None:
        histories = [history, *(window.history for window in windows)]
        without = [sources, *(window.sources for window in windows)]
        sources, *of_windows = with_sequence_model(without, histories)
        windows = [
            replace(window, sources=of_window) for window, of_window in zip(windows, of_windows, strict=True)
        ]
    lists = [lists for window in windows for lists in window.lists]
    ranker = Ranker.fit(lists, sources.score_names, sources.settings.ranker)
    taste = sources.settings.content
    return Fit(sources, ranker, history, NewItems.fit(history, sources.catalogue, new_items, taste))
