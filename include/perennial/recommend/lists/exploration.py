"""A small share of the places goes to new items, drawn by chance, with the probability of the draw on record.

New items have no purchases to be ranked by, and get none unless somebody sees them. Each place is drawn from
a lot of its own with probabilities in proportion to the scores (a softmax of their logarithms), by the
largest of Gumbel-distributed keys (Gumbel 1954; Maddison, Tarlow and Minka 2014, "A* sampling"). The
probability written down is exact, so that what was shown can be weighed by it later; the rest of a list
follows from the scores without any chance: probability 1.
"""

import numpy as np

from perennial.foundation.arrays import BoolArray, FloatArray, IntArray, RealArray
from perennial.foundation.chance import KeyedChance
from perennial.recommend.lists.eligibility import EligibilityRules

_LEAST = 1e-12


def insert_new_items(
    lists: IntArray,
    rows: IntArray,
    items: IntArray,
    scores: RealArray,
    new: BoolArray,
    rules: EligibilityRules,
    chance: KeyedChance,
    one_in: int,
) -> tuple[IntArray, FloatArray]:
    """The lists with new items in every `one_in`-th place, and the probability of each item to be there.

    A new item comes in only where the rules let it stand beside the whole list, whatever else is drawn. Where
    there are fewer new items than places for them, the list keeps its own.

    Args:
        lists: positions of the selected candidates, −1 for none, shape (customers, k).
        rows: row of the customer of each eligible candidate, ascending, shape (n,), as the next three.
        items: row of its item in the catalogue.
        scores: not negative.
        new: is the item new?
        rules: the limits of a list.
        chance: of the same customers and catalogue.
        one_in: a list has room for k // one_in of them.

    Returns:
        Positions and probabilities, shape (customers, k) each.
    """
    lots = lists.shape[1] // one_in
    waiting = new.copy()
    waiting[lists[lists >= 0]] = False
    drawable = np.flatnonzero(waiting)
    if not lots or not len(drawable):
        return lists, np.ones(lists.shape)
    room = rules.room(np.where(lists >= 0, items[lists], -1), rows[drawable], items[drawable])
    drawable, room = drawable[room > 0], room[room > 0]
    place = np.arange(len(drawable)) - np.searchsorted(rows[drawable], rows[drawable])
    lot = rows[drawable] * lots + place % np.minimum(lots, room)
    drawn, probability = _draw(lot, scores[drawable], chance.uniform(rows[drawable], items[drawable]))
    return _inserted(lists, rows[drawable[drawn]], drawable[drawn], probability, one_in)


def _draw(lots: IntArray, scores: RealArray, chance: FloatArray) -> tuple[IntArray, FloatArray]:
    """One position of each lot, by lot, and how likely it was."""
    weights = np.maximum(scores.astype(np.float64), _LEAST)
    group = np.unique(lots, return_inverse=True)[1]
    order = np.lexsort((np.log(weights) - np.log(-np.log(chance)), group))
    drawn = order[np.flatnonzero(np.diff(group[order], append=-1))]
    return drawn, weights[drawn] / np.bincount(group, weights)


def _inserted(
    lists: IntArray, rows: IntArray, drawn: IntArray, probability: FloatArray, one_in: int
) -> tuple[IntArray, FloatArray]:
    """The lists with what was drawn in its places; what was there moves down, and out at the end."""
    number = np.arange(len(rows)) - np.searchsorted(rows, rows)
    lengths = (lists >= 0).sum(axis=1)
    at = rows, np.minimum((number + 1) * one_in - 1, lengths[rows] + number)
    is_kept, probabilities = np.ones(lists.shape, bool), np.ones(lists.shape)
    is_kept[at] = False
    with_new = np.take_along_axis(lists, np.cumsum(is_kept, axis=1) - 1, axis=1)
    with_new[at], probabilities[at] = drawn, probability
    return with_new, probabilities
