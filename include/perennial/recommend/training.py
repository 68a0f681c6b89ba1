"""How the recommender learns: sources as of a day, a ranker from what they said before past windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perennial.recommend.examination import Examination
from perennial.recommend.fit import Fit, lessons
from perennial.recommend.history import History
from perennial.recommend.new_items import NewItems
from perennial.recommend.ranker import Lesson, Ranker
from perennial.recommend.shelf import Whole
from perennial.recommend.sources import Sources

NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Window:
    """A past window.

    Args:
        sources: as of the day before it.
        history: of the customers to learn from, as of that day.
        after: what was bought in it.
    """

    sources: Sources
    history: History
    after: Examination

    @cached_property
    def lessons(self) -> list[Lesson]:
        """What is to be learned from it."""
        return lessons(self.sources, self.history, self.after)


def fit(now: Sources, history: History, windows: Sequence[Window], new_items: Whole = NOTHING) -> Fit:
    """Learn to rank from past windows; then look from now.

    Args:
        now: as of the day from which to recommend; all windows have ended by then.
        history: of everybody, as of that day.
        windows: on the same shelf.
        new_items: rows of the items that are new on that day.
    """
    learned = [lesson for window in windows for lesson in window.lessons]
    ranker = Ranker.fit(learned, now.names, now.chosen.ranker)
    return Fit(now, ranker, history, NewItems.fit(history, now.shelf, new_items, now.chosen.content))
