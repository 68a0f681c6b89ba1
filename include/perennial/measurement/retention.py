"""Week by week: who ordered, who came back, who redeemed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import ibis.expr.types as ir

from perennial.foundation.activity import Unit, per_unit
from perennial.measurement.campaigns import WEEKS_BEFORE, Segment
from perennial.measurement.lift_intervals import Estimate, share


@dataclass(frozen=True)
class Week:
    """A group in one week after (or, below 0, before) the campaign began for it.

    Args:
        size: customers whose week had ended.
        orders: their orders in it.
        active: customers with an order in it.
        active_later: customers with an order in it or later in the window.
    """

    campaign_id: str
    segment: Segment
    n: int
    size: int
    orders: int
    active: int
    active_later: int

    @property
    def exact(self) -> Estimate:
        """Weekly retention, exact."""
        return share(self.active, self.size)

    @property
    def unbounded(self) -> Estimate:
        """Weekly retention, unbounded."""
        return share(self.active_later, self.size)


@dataclass(frozen=True)
class Redeemed:
    """Coupons that a group redeemed in one week of the campaign."""

    campaign_id: str
    segment: Segment
    n: int
    redemptions: int


def weeks(members: ir.Table, orders: ir.Table) -> list[Week]:
    """Every group's weeks, from the weeks before on, in order."""
    by = ["campaign_id", "segment"]
    found = per_unit(members, orders, Unit.WEEK, by, -WEEKS_BEFORE).order_by([*by, "n"])
    rows = found.to_pyarrow().to_pylist()
    return [Week(**{**row, "segment": Segment(row["segment"])}) for row in rows]


def redemptions(members: ir.Table, contacts: ir.Table) -> list[Redeemed]:
    """Redemptions of the campaign's own coupons by week, in order; the last week may be cut short."""
    redeemed = contacts.filter(contacts.event_type == "redeem").select("campaign_id", "customer_id", "on")
    found = members.join(redeemed, ["campaign_id", "customer_id"])
    found = found.filter(found.on.between(found.since, found.until))
    found = found.mutate(n=found.on.delta(found.since, unit="day") // Unit.WEEK.days)
    keys = ["campaign_id", "segment", "n"]
    rows = found.group_by(keys).agg(redemptions=found.count()).order_by(keys).to_pyarrow().to_pylist()
    return [Redeemed(**{**row, "segment": Segment(row["segment"])}) for row in rows]


def recorded(found: Iterable[Week], starts_on: date, records_from: date) -> list[Week]:
    """Without the weeks that began before the shop's records do: they look idle and were not."""
    first = -((starts_on - records_from).days // Unit.WEEK.days)
    return [week for week in found if week.n >= first]
