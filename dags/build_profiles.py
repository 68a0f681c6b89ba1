"""Describe every customer as known at the end of the day.

**Makes** `profiles` of the day. Before that, it makes the missing profiles of the training cut-offs (28, 56,
… days before).

**Starts** when the items of the day have vectors (`item_embeddings`).

**Again**: clear the run, or backfill `ingest` for the day. A profile of a past day uses only what was known
then.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from perennial.orchestration.assets import ITEM_EMBEDDINGS, PROFILES
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared


@dag(schedule=PartitionedAssetTimetable(assets=ITEM_EMBEDDINGS), **shared(__doc__, "daily", "profiles"))
def build_profiles() -> None:
    """One row for each customer."""

    @task
    def fill_cutoffs(day: str) -> list[str]:
        """Profiles of the past days that today's training uses as cut-offs."""
        from perennial.profiles import pipeline

        return pipeline.fill_cutoffs(day)

    @task(**publishes(PROFILES))
    def build(day: str) -> int:
        """Profiles of the day itself."""
        from perennial.profiles import pipeline

        return pipeline.build(day)

    fill_cutoffs(DAY) >> build(DAY)


build_profiles()
