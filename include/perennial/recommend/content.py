"""Candidates that are like what a customer bought, by the vectors of the items' texts."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Vectors = NDArray[np.float32]
Whole = NDArray[np.int64]


def tastes(purchases: sparse.csr_array, vectors: Vectors) -> Vectors:
    """One unit vector for each customer: the weighted mean of the texts bought; zeros where nothing is known.

    Args:
        purchases: weight of each text for each customer, shape (customers, texts).
        vectors: of the texts, shape (texts, width), unit length.
    """
    total = purchases @ vectors
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0)


def faces(texts: Whole, buyers: Whole, sellable: NDArray[np.bool_], count: int) -> Whole:
    """The item that stands for each of `count` texts: the sellable one with most buyers, −1 for none."""
    found = np.full(count, -1, np.int64)
    fewest_first = np.argsort(buyers, kind="stable")
    shown = fewest_first[sellable[fewest_first] & (texts[fewest_first] >= 0)]
    found[texts[shown]] = shown
    return found


def candidates(likeness: Vectors, faces_of: Whole, count: int) -> Whole:
    """The items of the texts most like each customer's taste, shape (customers, count), in no order.

    Args:
        likeness: cosine of each customer's taste with each text, shape (customers, texts).
        faces_of: the item that stands for each text, −1 for a text that no item shows.
        count: how many; fewer where there are fewer texts.
    """
    shown = faces_of >= 0
    count = min(count, int(shown.sum()))
    if not count:
        return np.zeros((len(likeness), 0), np.int64)
    open_to_all = likeness if shown.all() else np.where(shown, likeness, np.float32(-2.0))
    width = likeness.shape[1]
    return faces_of[np.argpartition(open_to_all, width - count, axis=1)[:, width - count :]]
