"""Report what each campaign changed, once its window has closed.

**Makes** `effects` of the day, a page for each campaign under the reports folder, and an MLflow run for each.

**Starts** when a day is announced (`shop_day`), and reports the campaigns whose window closed since the day
before, or whose inputs have changed since. On most days there are none.

**When it is red**: the log names the campaign. Clear the task; pages and figures of the day are replaced.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from perennial.orchestration.assets import REPORTS, SHOP_DAY
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared


@dag(
    schedule=PartitionedAssetTimetable(assets=SHOP_DAY),
    **shared(__doc__, "daily", "measurement", owner="analytics"),
)
def report_campaigns() -> None:
    """Effects and pages of the campaigns that are due."""

    @task(**publishes(REPORTS))
    def report(day: str) -> dict[str, object]:
        """Compute the effects, write the pages. The task links to the list of reports."""
        from perennial.measurement import pipeline
        from perennial.orchestration import connections

        return {"report": "index.html", "made": pipeline.report(day, connections.mlflow())}

    report(DAY)


report_campaigns()
