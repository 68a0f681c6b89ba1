"""How popular an item was at past moments, and how popular items of its groups were.

An item that nobody had bought by a moment is described by the mean item of its kind and of its line (brand
within a family), and by the mean item among those that were new then.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from perennial.foundation.arrays import Float32Array, Int32Array, IntArray
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory

WEEKS = (1, 4, 13)
"""Popularity is counted over these numbers of last weeks."""

_GROUPS = ("kind", "brand_line")
_LATELY = WEEKS[-1]
_MEAN_ITEMS = 3
"""So many items of the mean of all groups are added to each group (shrinkage)."""
_OF_GROUP = tuple(f"{what}_of_{group}" for group in _GROUPS for what in ("lines", "new_lines"))
_OWN = tuple(f"lines_{weeks}" for weeks in WEEKS)
FEATURES = (*_OWN, *_OF_GROUP, "unsold", *(f"{name}_unsold" for name in _OF_GROUP))
"""For an item at a moment: logarithms of its lines in the last weeks, of those of the mean item and of the
mean new item of its groups; whether nobody had bought it; the columns of its groups again if so, else 0."""

_WEEK_DAYS = 7
_LEAST = 1e-3


@dataclass(frozen=True)
class ItemTrends:
    """What everybody bought, by week.

    Args:
        older: how many lines of each item are so many weeks old or older, shape (weeks + 1, items).
        groups: the number of each item's group, one array for each of the groupings.
        means: log of the lines, in the last weeks before each week, of the mean item of a group and of the
            mean one that was new, for each of the groupings, shape (weeks + 1, groups, 2).
    """

    older: Float32Array
    groups: tuple[Int32Array, ...]
    means: tuple[Float32Array, ...]

    @classmethod
    def of(cls, history: PurchaseHistory, catalogue: Catalogue) -> Self:
        """Count the lines of a history of the items of a catalogue."""
        week_of_line, width = history.ages.astype(np.int64) // _WEEK_DAYS, history.width
        weeks = int(week_of_line.max(initial=0)) + 1
        lines = np.bincount(week_of_line * width + history.items, minlength=weeks * width)
        summed = np.cumsum(lines.reshape(weeks, width)[::-1], axis=0)[::-1]
        older = np.vstack([summed, np.zeros((1, width))]).astype(np.float32)
        groups = tuple(catalogue.groups[name] for name in _GROUPS)
        return cls(older, groups, tuple(_means(older, group) for group in groups))

    @property
    def weeks(self) -> int:
        """How many weeks are known."""
        return len(self.older) - 1

    def features(self, weeks: IntArray, items: IntArray | slice = slice(None)) -> Float32Array:
        """`FEATURES` of items as of moments, shape (moments, items, len(FEATURES)).

        Args:
            weeks: how long ago each moment was.
            items: rows of the items.
        """
        older, moments = self.older[:, items], np.minimum(weeks, self.weeks)
        own = [np.log1p(older[moments] - older[np.minimum(weeks + span, self.weeks)]) for span in WEEKS]
        by_group = np.concatenate(
            [means[moments][:, group[items]] for means, group in zip(self.means, self.groups, strict=True)],
            axis=-1,
        )
        unsold = (older[moments] == 0)[..., None]
        return np.concatenate([np.stack(own, axis=-1), by_group, unsold, by_group * unsold], axis=-1)


def _means(older: Float32Array, group: Int32Array) -> Float32Array:
    before = np.vstack([older[_LATELY:], np.zeros((min(_LATELY, len(older)), older.shape[1]), np.float32)])
    means = [
        (_mean(sold, np.ones_like(sold), group), _mean(sold * new, new, group))
        for sold, new in zip(older - before, (older > 0) & (before == 0), strict=True)
    ]
    return np.array(means, np.float32).swapaxes(1, 2)


def _mean(lines: Float32Array, items: np.ndarray, group: Int32Array) -> Float32Array:
    mean = lines.sum() / max(1, items.sum())
    lines_of_group = np.bincount(group, lines) + _MEAN_ITEMS * mean
    return np.log(_LEAST + lines_of_group / (np.bincount(group, items) + _MEAN_ITEMS))
