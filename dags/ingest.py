"""Ingest the landing files of one day, and close the day.

**Makes** the tables `items`, `promotions`, `users`, `contacts`, `campaigns`, `assignments`, `events` and
`quarantine` for the day, and announces the day (`shop_day`), which starts all other daily DAGs.

**Starts** every morning for the day before; or by a backfill, which makes past days again, with everything
that depends on them. The end of a backfill is the day *after* the last one, because Airflow compares dates
with the hour of the schedule. This makes three days:
`airflow backfill create --dag-id ingest --from-date 2017-12-01 --to-date 2017-12-04`.

**Waits** until every earlier day that has landing files is closed. The setting
`PERENNIAL_WHEN_NOTHING_LANDED` says whether a day without files is skipped or waited for. Waiting takes no
worker: the task is *deferred*, and the triggerer checks. If the run is not finished
`PERENNIAL_LANDING_DEADLINE_HOURS` (3) after it began, an alert in the task's log says what it waits for, or
that `publish` is running. `PERENNIAL_LANDING_PATIENCE_HOURS` (12) after its first check the task fails and
names the missing day, or every path that it looked for.

**When it is red**: the log of `publish` names the table, the file, the row or column, what was found and what
is allowed. Its link *Report* shows the results of all rules. Nothing of any table was published. A landing
that broke a rule is not retried automatically: correct the file or the rule, then clear the task. Single
refused rows are no failure: they are in `quarantine` with their reasons, and `replay_quarantine` can judge
them again.
"""

from datetime import date, timedelta
from typing import Any

from airflow.sdk import CronPartitionTimetable, dag, task

from perennial.foundation.settings import settings
from perennial.orchestration.assets import SHOP_DAY
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared
from perennial.orchestration.waiting import Wait

PIPELINE = "perennial.ingestion.pipeline"
DEADLINE = timedelta(hours=settings().landing_deadline_hours)


def earlier_day(day: date) -> date | None:
    """The first earlier day that is not closed; or the day itself, while its files are missing."""
    from perennial.ingestion import pipeline

    return pipeline.waits_for(day)


def nothing_landed(day: date) -> bool:
    """Whether the day has no files and the shop does not wait for such days."""
    from perennial.ingestion import pipeline

    return pipeline.is_skipped(day)


@dag(
    schedule=CronPartitionTimetable(
        "0 3 * * *", timezone=settings().shop_time_zone, run_offset=-1, key_format="%Y-%m-%d"
    ),
    **shared(__doc__, "daily", "ingestion"),
)
def ingest() -> None:
    """One day of landing files into the lake."""
    wait = Wait(
        task_id="wait_for_earlier_days",
        missing=earlier_day,
        watched=f"{PIPELINE}.still_missing",
        looked_for=f"{PIPELINE}.looked_for",
        skip_if=nothing_landed,
        patience=timedelta(hours=settings().landing_patience_hours),
        late_after=DEADLINE,
    )

    @task(**publishes(SHOP_DAY))
    def publish(day: str) -> dict[str, Any]:
        """Normalise, validate, quarantine refused rows, publish the others, close the day."""
        from perennial.ingestion import pipeline
        from perennial.orchestration import alerts, connections, reports

        with alerts.if_late(DEADLINE), reports.linked():
            return pipeline.ingest(day, connections.databases(pipeline.connections()))

    wait >> publish(DAY)


ingest()
