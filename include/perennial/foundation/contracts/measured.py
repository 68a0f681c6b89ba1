"""The table of what campaigns changed."""

from perennial.foundation.contracts.contract import DAY_COLUMN, INT, REAL, TEXT, column, contract

EFFECTS = contract(
    "effects",
    "What each campaign did, or went along with",
    "day campaign_id measure segment",
    "day",
    DAY_COLUMN,
    column("campaign_id", TEXT, "which campaign"),
    column("measure", TEXT, "name in foundation/measures.py"),
    column("segment", TEXT, "arm, week or group; 'all' for everybody"),
    column("estimate?", REAL, "value in the measure's unit"),
    column("low?", REAL, "lower end of the 95 % interval"),
    column("high?", REAL, "upper end of the 95 % interval"),
    column("method", TEXT, "how the estimate came about"),
    column("n", INT, "customers it rests on"),
)
