"""Means over test months with bootstrap intervals."""

from collections.abc import Sequence

import numpy as np

from perennial.foundation.arrays import FloatArray, StringArray
from perennial.foundation.bootstrap import Interval, bounds


def over_months(
    values: Sequence[FloatArray], customer_ids: Sequence[StringArray], draws: int = 1000
) -> Interval:
    """The mean over months of the means over customers, with its 95 % bootstrap interval.

    A customer is drawn with all months, because the values of one customer are alike.

    Args:
        values: of each month, one for each customer.
        customer_ids: of each month, whose values they are; each customer at most once in a month.
        draws: bootstrap samples.
    """
    lengths = [len(ids) for ids in customer_ids]
    names, places = np.unique(np.concatenate(customer_ids).astype(str), return_inverse=True)
    at = np.repeat(np.arange(len(lengths)), lengths), places
    sums, present = np.zeros((2, len(lengths), len(names)))
    sums[at], present[at] = np.concatenate(values), 1
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), draws).T
    means = (sums @ drawn / (present @ drawn)).mean(axis=0)
    low, high = bounds(means)
    return Interval(float((sums.sum(axis=1) / present.sum(axis=1)).mean()), float(low), float(high))
