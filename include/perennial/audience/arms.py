"""Chance, drawn once: which arm of a campaign a customer is in.

A keyed hash of the customer's id takes the place of a die, so that a draw is the same on every machine,
however often it is made, and needs no record to be repeated. The global holdout is drawn with one salt for
all campaigns: a customer in it is in it everywhere. A campaign draws its own holdout among the others with
the campaign's id as salt, hence independently of every other campaign.
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
    """How a campaign draws: its id, its own holdout's share, and the share and salt of the global holdout."""

    campaign_id: str
    holdout: float
    global_holdout: float
    global_salt: str

    def arm(self, customer_id: str) -> tuple[str, float]:
        """The customer's arm and the probability with which anybody gets that arm."""
        reached = 1 - self.global_holdout
        if position(f"global holdout|{self.global_salt}", customer_id) < self.global_holdout:
            return NONE, self.global_holdout
        if position(f"campaign holdout|{self.campaign_id}", customer_id) < self.holdout:
            return HOLDOUT, reached * self.holdout
        return TREATMENT, reached * (1 - self.holdout)


def arms(draw: Draw, customer_ids: Sequence[str], day: date) -> pa.Table:
    """Rows of the table `arms` for customers who come into the campaign on `day`, by customer id."""
    drawn = [(customer_id, *draw.arm(customer_id)) for customer_id in sorted(customer_ids)]
    columns = {
        "campaign_id": [draw.campaign_id] * len(drawn),
        "customer_id": [customer_id for customer_id, _, _ in drawn],
        "arm": [arm for _, arm, _ in drawn],
        "propensity": [propensity for _, _, propensity in drawn],
        "eligible_since": [day] * len(drawn),
        "day": [day] * len(drawn),
    }
    return pa.table(columns, schema=ARMS_TABLE.schema)
