"""A plain LightGBM over recency, frequency and money: what a data scientist would try first."""

import lightgbm
import numpy as np

from perennial.foundation.arrays import FloatArray
from perennial.models.features import NAMES

READ = (
    *("recency_days", "tenure_days", "orders", "orders_7", "orders_14", "orders_28", "orders_56"),
    *("orders_91", "spend_28", "spend_91", "average_order_value", "average_order_quantity"),
    *("gap_mean_days", "gap_deviation_days", "last_gap_days", "recent_gap_days"),
    *("recency_in_gaps", "rate_change", "discount_share", "coupon_share"),
)
_CHOSEN = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": 0,
    "verbosity": -1,
}
_ROUNDS = 200


def probabilities(training: FloatArray, labels: FloatArray, cases: FloatArray) -> FloatArray:
    """P(order within the window) of the cases, shape (n,).

    Args:
        training: feature matrix of the training cases.
        labels: whether they came back.
        cases: feature matrix of the cases to predict.
    """
    columns = [NAMES.index(name) for name in READ]
    trees = lightgbm.train(_CHOSEN, lightgbm.Dataset(training[:, columns], labels), _ROUNDS)
    return np.asarray(trees.predict(cases[:, columns], num_threads=1), float)
