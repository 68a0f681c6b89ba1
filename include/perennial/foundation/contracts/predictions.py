"""The tables of what models predict: scores, recommendations, drift."""

from perennial.foundation.contracts.contract import (
    CUSTOMER_ID,
    DAY_COLUMN,
    DRIFT_LEVELS,
    FLAG,
    INT,
    ITEM_ID,
    REAL,
    SOURCES,
    TEXT,
    TEXTS,
    column,
    contract,
)

SCORES = contract(
    "scores",
    "What the models in force say of each customer",
    "day customer_id",
    "day",
    DAY_COLUMN,
    CUSTOMER_ID,
    column("p_return_7?", REAL, "probability of an order within 7 days", unit="0 to 1"),
    column("p_return_14?", REAL, "probability of an order within 14 days", unit="0 to 1"),
    column("p_return_28?", REAL, "probability of an order within 28 days", unit="0 to 1"),
    column(
        "expected_spend?", REAL, "spend within 28 days that half of such customers exceed", unit="currency"
    ),
    column("reasons", TEXTS, "the main reasons for the probability within 28 days, in words"),
    column("model_version", INT, "registry version of the return model"),
)
RECOMMENDATIONS = contract(
    "recommendations",
    "The items each customer is most likely to want",
    "day customer_id rank",
    "day",
    DAY_COLUMN,
    CUSTOMER_ID,
    column("rank", INT, "from 1"),
    ITEM_ID,
    column("score", REAL, "the recommender's own score"),
    column("source", TEXT, "what brought it up", allowed=SOURCES),
    column("reason", TEXT, "one sentence for a person"),
    column("evidence", TEXTS, "items the reason rests on"),
    column(
        "propensity?", REAL, "probability with which the item was drawn; 1: without chance", unit="0 to 1"
    ),
    column("model_version", INT, "registry version of the recommender"),
)
DRIFT = contract(
    "drift",
    "How far the customers of a day are from those that the model in force learnt from",
    "day model measure",
    "day",
    DAY_COLUMN,
    column("model", TEXT, "registered name"),
    column("measure", TEXT, "a feature of the model, or score"),
    column("psi", REAL, "population stability index against the training cases"),
    column("by_chance", REAL, "what it stays under without any drift, in 999 of 1,000 days"),
    column("level", TEXT, "what it says", allowed=DRIFT_LEVELS),
    column("grows", FLAG, "grows by itself as the shop gets older, and alarms nobody"),
    column("model_version", INT, "registry version of the model in force"),
)
