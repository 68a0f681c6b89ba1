"""Item neighbours to the last digit, where the product is content with three; and blocks of customers."""

import numpy as np

from perennial.foundation.arrays import FloatArray
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.item_features import ItemFeatures
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.sources.item_neighbours import ItemNeighbours


def exact_scores(model: ItemNeighbours, history: PurchaseHistory) -> dict[str, FloatArray]:
    """The scores of each question in double precision, shape (customers, pool)."""
    bought, learned = (
        rows.toarray().astype(np.float64)
        for rows in (history.weighted(model.settings.weighing), model.bought)
    )
    scores = {}
    for question, weights in model.weights.items():
        own = (learned[:, model.pool] * weights).sum(axis=0)
        scores[question] = bought @ learned.T @ weights - bought[:, model.pool] * own
    return scores


def block_of(history: PurchaseHistory, catalogue: Catalogue) -> CustomerBlock:
    """The customers of a history as a block."""
    return CustomerBlock(history, catalogue, ItemFeatures.of(history, catalogue))
