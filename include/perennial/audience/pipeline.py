"""The step of `decide_contacts`: the members of each audience, and the arms of customers new in a campaign.

Once-only: each day is decided once, in the order of days. The step first writes the settings of the running
campaigns and the members of the audiences. The arms depend on these two records only. So a run that was
killed in between gives the same result when it is repeated, even if the configuration has changed since.
"""

from dataclasses import fields
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.audience.arms import Draw, arms
from perennial.audience.rules import members
from perennial.audience.settings import Campaigns, CampaignSettings, campaign_settings
from perennial.foundation.contracts import CAMPAIGN_LOG
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger

STEP = "decide_contacts"


class DecisionError(RuntimeError):
    """The day cannot be decided; the message says what is missing."""


def decide(day: str) -> dict[str, int]:
    """Decide the day unless it is already decided, and return the numbers of the decision.

    Returns:
        The size of each audience by its name, and the number of customers who entered a campaign that day by
        `campaign/arm`. Empty for a past day that was never decided.

    Raises:
        DecisionError: the day's profiles or scores are missing, or one of our campaigns has the id of a
            campaign of the shop.
        ConfigError: audiences.yaml or campaigns.yaml is wrong.
        OutOfOrderError: an earlier day has to be decided first.
    """
    today = date.fromisoformat(day)
    lake = open_lake()
    with open_ledger().once(STEP, today) as first:
        if first:
            record(lake, campaign_settings(), today)
            draw(lake, today)
    return decided(lake, today)


def record(lake: Lake, settings: CampaignSettings, day: date) -> None:
    """Write the day's audiences and the campaigns that customers can enter that day; skip what is written."""
    _check_names(lake, settings.campaigns, day)
    memberships = members(settings.audiences, customers(lake, day))
    lake.create("audiences", memberships.mutate(day=ibis.literal(day)), day)
    lake.create("campaign_log", running(settings.campaigns, day), day)


def draw(lake: Lake, day: date) -> None:
    """Draw an arm for each customer who is new in a campaign's audience; all others keep their arm."""
    for campaign in _of_day(lake, "campaign_log", day).order_by("campaign_id").to_pyarrow().to_pylist():
        audience = _of_day(lake, "audiences", day)
        audience = audience.filter(audience.audience == campaign["audience"])
        known = lake.read("arms")
        known = known.filter(known.campaign_id == campaign["campaign_id"])
        new = audience.anti_join(known, "customer_id").select("customer_id").to_pyarrow()
        if new.num_rows:
            parameters = Draw(**{field.name: campaign[field.name] for field in fields(Draw)})
            lake.add("arms", arms(parameters, new["customer_id"].to_pylist(), day))


def customers(lake: Lake, day: date) -> ir.Table:
    """One row for each customer, with every column that rules may use: profiles, scores, the shop's data.

    Raises:
        DecisionError: there are no profiles or no scores of that day.
    """
    for name, dag in (("profiles", "build_profiles"), ("scores", "score_customers")):
        if day not in lake.days(name):
            raise DecisionError(f"{name} of {day} are missing; run {dag} for that day first")
    rows = _of_day(lake, "profiles", day)
    for further in (_of_day(lake, "scores", day), lake.known("users", day)):
        new_columns = [name for name in further.columns if name not in rows.columns]
        further = further.select("customer_id", *new_columns)
        rows = rows.left_join(further, "customer_id").drop("customer_id_right")
    return rows


def running(campaigns: Campaigns, day: date) -> pa.Table:
    """Rows of `campaign_log`: the campaigns that customers can enter on the day, in the order of ids."""
    holdout = campaigns.global_holdout
    rows = [
        {
            **campaign.model_dump(),
            "day": day,
            "campaign_id": name,
            "global_holdout": holdout.share,
            "global_salt": holdout.salt,
        }
        for name, campaign in sorted(campaigns.campaigns.items())
        if campaign.runs_on(day)
    ]
    return pa.Table.from_pylist(rows, CAMPAIGN_LOG.schema)


def decided(lake: Lake, day: date) -> dict[str, int]:
    """The recorded numbers of the day: audience sizes by name, then new customers by `campaign/arm`."""
    audiences = _of_day(lake, "audiences", day)
    sizes = audiences.group_by(name="audience").agg(n=ibis._.count())
    new_arms = _of_day(lake, "arms", day)
    entered = new_arms.group_by(name=new_arms.campaign_id + "/" + new_arms.arm).agg(n=ibis._.count())
    counts = [row for table in (sizes, entered) for row in table.order_by("name").to_pyarrow().to_pylist()]
    return {row["name"]: row["n"] for row in counts}


def _of_day(lake: Lake, name: str, day: date) -> ir.Table:
    rows = lake.read(name)
    return rows.filter(rows.day == day)


def _check_names(lake: Lake, campaigns: Campaigns, day: date) -> None:
    """The reports show our campaigns beside the shop's, so their ids must differ."""
    shops = lake.known("campaigns", day).select("campaign_id").to_pyarrow()["campaign_id"].to_pylist()
    taken = sorted(set(shops) & set(campaigns.campaigns))
    if taken:
        raise DecisionError(f"campaigns.yaml: the shop has campaigns with the same id: {', '.join(taken)}")
