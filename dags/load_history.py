"""Ingest a range of past days in one run: the first load of a shop's history.

**Makes** the same tables as `ingest`, for all days of the range at once, and closes them. It announces only
the last day (`shop_day`), so the other DAGs start once.

**Starts** by hand: *Trigger*, with the first and the last day in the form. Rows of a source with `history` in
`sources.yaml` count as known from the day they happened (plus the source's lag), not from the day of the
load.

**When it is red**: see `ingest`. **Again**: trigger it with the same days; the rows of the range are
replaced.
"""

from typing import Any

from airflow.sdk import Param, PartitionedAtRuntime, dag, task

from perennial.orchestration.assets import SHOP_DAY
from perennial.orchestration.day import publishes
from perennial.orchestration.defaults import shared

FORM = {
    "first_day": Param(type="string", format="date", title="First day", description="Of the range to load"),
    "last_day": Param(
        type="string", format="date", title="Last day", description="The day that is announced"
    ),
}


@dag(schedule=PartitionedAtRuntime(), **shared(__doc__, "by hand", "ingestion", params=FORM))
def load_history() -> None:
    """Landing files of a range of days into the lake."""

    @task(**publishes(SHOP_DAY))
    def publish(first_day: str, last_day: str) -> dict[str, Any]:
        """Normalise, validate, quarantine refused rows, publish the others, close the days."""
        from perennial.ingestion import pipeline
        from perennial.orchestration import connections, reports

        with reports.linked():
            databases = connections.databases(pipeline.connections())
            return pipeline.load_history(first_day, last_day, databases)

    publish("{{ params.first_day }}", "{{ params.last_day }}")


load_history()
