"""How the recommender learns: sources as of a day, a ranker from what they said before past windows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from perennial.foundation.arrays import IntArray
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.fit import Fit, training_lists
from perennial.recommend.ranking.ranker import Ranker, TrainingLists
from perennial.recommend.sequence import model
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources

NOTHING = np.zeros(0, np.int64)


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
    warm: model.SequenceModel | None = None,
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
    oldest = model.SequenceModel.fit(histories[-1], sources[-1].shelf, chosen, warm)
    return [
        replace(one, sequence=oldest.on(history, one.shelf))
        for one, history in zip(sources, histories, strict=True)
    ]


def fit(
    now: CandidateSources,
    history: PurchaseHistory,
    windows: Sequence[TrainingWindow],
    new_items: IntArray = NOTHING,
) -> Fit:
    """Learn to rank from past windows; then look from now.

    Args:
        now: as of the day from which to recommend; all windows have ended by then.
        history: of everybody, as of that day.
        windows: on the same shelf.
        new_items: rows of the items that are new on that day.
    """
    if now.chosen.sequence is not None and now.sequence is None:
        days = [history, *(window.history for window in windows)]
        now, *before = with_sequence_model([now, *(window.sources for window in windows)], days)
        windows = [replace(one, sources=then) for one, then in zip(windows, before, strict=True)]
    learned = [lesson for window in windows for lesson in window.lessons]
    ranker = Ranker.fit(learned, now.names, now.chosen.ranker)
    return Fit(now, ranker, history, NewItems.fit(history, now.shelf, new_items, now.chosen.content))
