"""Take in a stretch of past days in one run: the first load of a shop's history.

**Makes** the same tables as `ingest`, for all days of the stretch at once, and closes them. It announces the
last day only (`shop_day`), so the rest of the pipeline wakes once.

**Wakes** by hand: *Trigger*, with the first and the last day in the form. What the source declares as
`history` in `sources.yaml` counts as known from the day it happened (plus the source's lag), not from the day
of the load.

**When it is red**: as `ingest`. **Again**: trigger it with the same days; the rows of the stretch are
replaced.
"""

from typing import Any

from airflow.sdk import Param, PartitionedAtRuntime, dag, task

from perennial.orchestration.assets import SHOP_DAY
from perennial.orchestration.day import publishes
from perennial.orchestration.defaults import shared

STRETCH = {
    "first_day": Param(type="string", format="date", title="First day", description="Of the stretch to load"),
    "last_day": Param(
        type="string", format="date", title="Last day", description="The day that is announced"
    ),
}


@dag(schedule=PartitionedAtRuntime(), **shared(__doc__, "by hand", "ingestion", params=STRETCH))
def load_history() -> None:
    """A stretch of landing files into the lake."""

    @task(**publishes(SHOP_DAY))
    def publish(first_day: str, last_day: str) -> dict[str, Any]:
        """Normalise, validate, set aside what is refused, publish the rest, close the days."""
        from perennial.ingestion import pipeline
        from perennial.orchestration import connections, reports

        with reports.linked():
            databases = connections.databases(pipeline.connections())
            return pipeline.load_history(first_day, last_day, databases)

    publish("{{ params.first_day }}", "{{ params.last_day }}")


load_history()
