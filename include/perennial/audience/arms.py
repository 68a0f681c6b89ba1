"""Random assignment of customers to the arms of a campaign.

A salted hash of the customer's id decides. So the assignment is the same on every machine and in every
repetition, and needs no stored random state. The global holdout uses one salt for all campaigns: a customer
who is in it is in it for every campaign. Each campaign draws its own holdout among the other customers. Its
salt is the campaign's id, so its holdout is independent of every other campaign's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from perennial.foundation.chance import position
from perennial.foundation.contracts import ARMS_TABLE

TREATMENT, HOLDOUT, NONE = "treatment", "holdout", "none"


@dataclass(frozen=True)
class Draw:
    """A campaign's draw: its id, its holdout's share, and the share and salt of the global holdout."""

    campaign_id: str
    holdout: float
    global_holdout: float
    global_salt: str

    def arm(self, customer_id: str) -> tuple[str, float]:
        """The customer's arm, and the probability of that arm (the same for every customer)."""
        not_global = 1 - self.global_holdout
        if position(f"global holdout|{self.global_salt}", customer_id) < self.global_holdout:
            return NONE, self.global_holdout
        if position(f"campaign holdout|{self.campaign_id}", customer_id) < self.holdout:
            return HOLDOUT, not_global * self.holdout
        return TREATMENT, not_global * (1 - self.holdout)


def arms(draw: Draw, customer_ids: Sequence[str], day: date) -> pa.Table:
    """Rows of the table `arms` for customers who enter the campaign on `day`, sorted by customer id."""
    assigned = [(customer_id, *draw.arm(customer_id)) for customer_id in sorted(customer_ids)]
    columns = {
        "campaign_id": [draw.campaign_id] * len(assigned),
        "customer_id": [customer_id for customer_id, _, _ in assigned],
        "arm": [arm for _, arm, _ in assigned],
        "propensity": [propensity for _, _, propensity in assigned],
        "eligible_since": [day] * len(assigned),
        "day": [day] * len(assigned),
    }
    return pa.table(columns, schema=ARMS_TABLE.schema)
