"""The step of `decide_contacts`: who is in which audience, and the arm of whoever is new in a campaign.

Once-only: a day is decided when its turn comes and never again. What was planned and who was in the audiences
is written first; the arms follow from those two records alone, so that a run that was killed in between ends
the same when it is run again, whatever has happened to the configuration since.
"""

from dataclasses import fields
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.audience.arms import Draw, arms
from perennial.audience.rules import members
from perennial.audience.settings import Campaigns, Plan, load_plan
from perennial.foundation.contracts import CAMPAIGN_LOG
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger

STEP = "decide_contacts"


class DecisionError(RuntimeError):
    """The day cannot be decided; the message says what is missing."""


def decide(day: str) -> dict[str, int]:
    """Decide the day if that is still to be done, and say what was decided.

    Returns:
        The size of each audience by its name, and the number of customers who came into a campaign that day
        by `campaign/arm`. Empty for a past day that was never decided.

    Raises:
        DecisionError: the day's profiles or scores are missing, or a campaign has the id of one of the
            shop's.
        ConfigError: audiences.yaml or campaigns.yaml is wrong.
        OutOfOrderError: an earlier day has to be decided first.
    """
    today = date.fromisoformat(day)
    lake = open_lake()
    with open_ledger().once(STEP, today) as first:
        if first:
            record(lake, load_plan(), today)
            draw(lake, today)
    return decided(lake, today)


def record(lake: Lake, plan: Plan, day: date) -> None:
    """Write down the day's audiences and the campaigns that take customers in, unless that is done."""
    _check_names(lake, plan.campaigns, day)
    found = members(plan.audiences, customers(lake, day))
    lake.create("audiences", found.mutate(day=ibis.literal(day)), day)
    lake.create("campaign_log", running(plan.campaigns, day), day)


def draw(lake: Lake, day: date) -> None:
    """Draw the arms of customers who are in a campaign's audience for the first time; others keep theirs."""
    for campaign in _of_day(lake, "campaign_log", day).order_by("campaign_id").to_pyarrow().to_pylist():
        audience = _of_day(lake, "audiences", day)
        audience = audience.filter(audience.audience == campaign["audience"])
        held = lake.read("arms")
        held = held.filter(held.campaign_id == campaign["campaign_id"])
        fresh = audience.anti_join(held, "customer_id").select("customer_id").to_pyarrow()
        if fresh.num_rows:
            rule = Draw(**{field.name: campaign[field.name] for field in fields(Draw)})
            lake.add("arms", arms(rule, fresh["customer_id"].to_pylist(), day))


def customers(lake: Lake, day: date) -> ir.Table:
    """Everything that rules may ask: the day's profiles, scores and what the shop knows of each customer.

    Raises:
        DecisionError: there are no profiles or no scores of that day.
    """
    for name, maker in (("profiles", "build_profiles"), ("scores", "score_customers")):
        if day not in lake.days(name):
            raise DecisionError(f"{name} of {day} are missing; run {maker} for that day first")
    found = _of_day(lake, "profiles", day)
    for further in (_of_day(lake, "scores", day), lake.known("users", day)):
        fresh = [name for name in further.columns if name not in found.columns]
        further = further.select("customer_id", *fresh)
        found = found.left_join(further, "customer_id").drop("customer_id_right")
    return found


def running(campaigns: Campaigns, day: date) -> pa.Table:
    """Rows of `campaign_log`: the campaigns that take customers in on the day, by id."""
    share = campaigns.global_holdout
    found = [
        {
            **campaign.model_dump(),
            "day": day,
            "campaign_id": name,
            "global_holdout": share.share,
            "global_salt": share.salt,
        }
        for name, campaign in sorted(campaigns.campaigns.items())
        if campaign.runs_on(day)
    ]
    return pa.Table.from_pylist(found, CAMPAIGN_LOG.schema)


def decided(lake: Lake, day: date) -> dict[str, int]:
    """What the record says of the day: audiences by name, then new customers by `campaign/arm`."""
    audiences = _of_day(lake, "audiences", day)
    sizes = audiences.group_by(name="audience").agg(n=ibis._.count())
    drawn = _of_day(lake, "arms", day)
    entered = drawn.group_by(name=drawn.campaign_id + "/" + drawn.arm).agg(n=ibis._.count())
    counted = [row for table in (sizes, entered) for row in table.order_by("name").to_pyarrow().to_pylist()]
    return {row["name"]: row["n"] for row in counted}


def _of_day(lake: Lake, name: str, day: date) -> ir.Table:
    rows = lake.read(name)
    return rows.filter(rows.day == day)


def _check_names(lake: Lake, campaigns: Campaigns, day: date) -> None:
    """Our campaigns and the shop's own meet in the reports, so that their ids must differ."""
    shops = lake.known("campaigns", day).select("campaign_id").to_pyarrow()["campaign_id"].to_pylist()
    taken = sorted(set(shops) & set(campaigns.campaigns))
    if taken:
        raise DecisionError(f"campaigns.yaml: the shop has campaigns with the same id: {', '.join(taken)}")
