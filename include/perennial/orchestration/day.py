"""The day of a run, and how it is passed on. Nothing else asks Airflow for a date.

A run made by a schedule, a backfill or an asset has its day as partition key. A run made by hand has none and
takes the param `day`. In both cases the last task of the DAG passes the day on to the DAGs that wait for its
asset.
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
    """The day in the form: the only one, or the last one."""
    return params["last_day"] if "last_day" in params else params["day"]


def parse(text: str) -> date:
    """The day that a partition key or a form names.

    Raises:
        ValueError: the text is no day, as in a run by hand whose param `day` is empty.
    """
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(
            f"the run's day is {text!r}; expected YYYY-MM-DD: as partition key, or by hand in the param 'day'"
        ) from None
