"""What a run's day is, and how it is handed on. Nothing else asks Airflow for a date.

A run made by a schedule, a backfill or an asset has its day as partition key. A run made by hand has none and
takes the param `day`. Either way the last task of the DAG hands the day on to whoever waits for its asset.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from airflow.sdk import Asset, Param

DAY = "{{ partition_key or params.day }}"
"""Template of the run's day, `YYYY-MM-DD`: the argument of every task."""

DAY_PARAM = Param(
    None,
    type=["null", "string"],
    format="date",
    title="Day",
    description="Only for runs by hand: the day to make (again). Scheduled and backfilled runs know theirs.",
)


def publishes(asset: Asset) -> dict[str, Any]:
    """Arguments for a DAG's last task: once it has succeeded it emits the asset, under the run's day."""

    def hand_on(context: Mapping[str, Any], result: object = None) -> None:
        day = context.get("partition_key") or _by_hand(context["params"])
        context["outlet_events"][asset].add_partitions(parse(day).isoformat())

    return {"outlets": [asset], "post_execute": hand_on}


def _by_hand(params: Mapping[str, Any]) -> str:
    """The day in a form: of one day, or the last of a stretch."""
    return params["last_day"] if "last_day" in params else params["day"]


def parse(text: str) -> date:
    """The day that a key or a form holds.

    Raises:
        ValueError: the text is no day; a run by hand without its `day` param comes to this.
    """
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(
            f"the run's day is {text!r}; expected YYYY-MM-DD: as partition key, or by hand in the param 'day'"
        ) from None
