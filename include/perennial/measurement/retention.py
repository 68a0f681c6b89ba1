"""Weekly numbers of each group: orders, returning customers, redemptions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import ibis.expr.types as ir

from perennial.foundation.activity import Unit, per_unit
from perennial.measurement.campaigns import WEEKS_BEFORE, Segment
from perennial.measurement.lift_intervals import Estimate, share


@dataclass(frozen=True)
class Week:
    """A group's week `n`, counted from 0 at the start of the campaign; below 0 before the start.

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
class WeeklyRedemptions:
    """The number of coupons that a group redeemed in week `n` of the campaign."""

    campaign_id: str
    segment: Segment
    n: int
    redemptions: int


def weeks(members: ir.Table, orders: ir.Table) -> list[Week]:
    """Every group's weeks in order, from WEEKS_BEFORE weeks before the start."""
    by = ["campaign_id", "segment"]
    counts = per_unit(members, orders, Unit.WEEK, by, -WEEKS_BEFORE).order_by([*by, "n"])
    rows = counts.to_pyarrow().to_pylist()
    return [Week(**{**row, "segment": Segment(row["segment"])}) for row in rows]


def redemptions(members: ir.Table, contacts: ir.Table) -> list[WeeklyRedemptions]:
    """Redemptions of the campaign's own coupons by week, in order; the last week may be shorter."""
    redeemed = contacts.filter(contacts.event_type == "redeem").select("campaign_id", "customer_id", "on")
    rows = members.join(redeemed, ["campaign_id", "customer_id"])
    rows = rows.filter(rows.on.between(rows.since, rows.until))
    rows = rows.mutate(n=rows.on.delta(rows.since, unit="day") // Unit.WEEK.days)
    keys = ["campaign_id", "segment", "n"]
    counts = rows.group_by(keys).agg(redemptions=rows.count()).order_by(keys).to_pyarrow().to_pylist()
    return [WeeklyRedemptions(**{**row, "segment": Segment(row["segment"])}) for row in counts]


def recorded(weeks: Iterable[Week], starts_on: date, records_from: date) -> list[Week]:
    """The weeks that began on or after the first day of the shop's records; earlier ones would look empty."""
    first = -((starts_on - records_from).days // Unit.WEEK.days)
    return [week for week in weeks if week.n >= first]
