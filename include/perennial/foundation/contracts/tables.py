"""All tables by name, and those that landing files fill."""

from perennial.foundation.contracts.contract import Contract
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

CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        *(EVENTS, ITEMS, PROMOTIONS, USERS, CONTACTS, CAMPAIGNS, ASSIGNMENTS),
        *(QUARANTINE, VALIDATIONS),
        *(ITEM_EMBEDDINGS, PROFILES, SCORES, RECOMMENDATIONS, MODEL_LOG, DRIFT),
        *(AUDIENCES, CAMPAIGN_LOG, ARMS_TABLE, EFFECTS),
    )
}
LANDED_TABLES = ("items", "promotions", "users", "contacts", "campaigns", "assignments", "events")
"""Tables filled from landing files, each after those it refers to."""
