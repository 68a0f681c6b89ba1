"""The tables, column by column: name, type, meaning, unit, allowed values. Columns are defined nowhere else.

A change here comes with a migration of the lakes that exist.
"""

from perennial.foundation.contracts.contract import (
    ARMS,
    CHANNELS,
    DAY,
    DRIFT_LEVELS,
    EVENT_TYPES,
    FLAG,
    INSTANT,
    INT,
    LIFE_CYCLES,
    MESSAGES,
    MONEY,
    ORDERS,
    REAL,
    RHYTHMS,
    SOURCES,
    TEXT,
    TEXTS,
    VECTOR,
    WEIGHTS,
    Contract,
)
from perennial.foundation.contracts.decided import ARMS_TABLE, AUDIENCES, CAMPAIGN_LOG, MODEL_LOG
from perennial.foundation.contracts.landed import (
    ASSIGNMENTS,
    CAMPAIGNS,
    CONTACTS,
    EVENTS,
    ITEMS,
    PROMOTIONS,
    QUARANTINE,
    USERS,
    VALIDATIONS,
)
from perennial.foundation.contracts.measured import EFFECTS
from perennial.foundation.contracts.predictions import DRIFT, RECOMMENDATIONS, SCORES
from perennial.foundation.contracts.profiles import ITEM_EMBEDDINGS, PROFILES
from perennial.foundation.contracts.tables import CONTRACTS, LANDED_TABLES

__all__ = [
    "ARMS",
    "ARMS_TABLE",
    "ASSIGNMENTS",
    "AUDIENCES",
    "CAMPAIGNS",
    "CAMPAIGN_LOG",
    "CHANNELS",
    "CONTACTS",
    "CONTRACTS",
    "DAY",
    "DRIFT",
    "DRIFT_LEVELS",
    "EFFECTS",
    "EVENTS",
    "EVENT_TYPES",
    "FLAG",
    "INSTANT",
    "INT",
    "ITEMS",
    "ITEM_EMBEDDINGS",
    "LANDED_TABLES",
    "LIFE_CYCLES",
    "MESSAGES",
    "MODEL_LOG",
    "MONEY",
    "ORDERS",
    "PROFILES",
    "PROMOTIONS",
    "QUARANTINE",
    "REAL",
    "RECOMMENDATIONS",
    "RHYTHMS",
    "SCORES",
    "SOURCES",
    "TEXT",
    "TEXTS",
    "USERS",
    "VALIDATIONS",
    "VECTOR",
    "WEIGHTS",
    "Contract",
]
