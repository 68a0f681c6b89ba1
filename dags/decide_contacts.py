"""Decide who belongs to which audience today, and draw the arms of customers who are new to a campaign.

**Makes** `audiences` of the day and new rows of `arms`. *Once-only*, in day order: a decided day is never
decided again, and a backfill of the past writes nothing here.

**Starts** when the day's customers are scored (`scores`), and waits for the announced day before.

**When it is red**: the log names the audience or campaign, the key and what is allowed there. If
`wait_for_turn` timed out, its message names the day that must be done first.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from perennial.orchestration.assets import DECISIONS, SCORES
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared
from perennial.orchestration.waiting import wait_for_turn


@dag(
    schedule=PartitionedAssetTimetable(assets=SCORES),
    **shared(__doc__, "daily", "audience", "once-only", owner="marketing"),
)
def decide_contacts() -> None:
    """Audiences and arms of the day."""

    @task(**publishes(DECISIONS))
    def decide(day: str) -> dict[str, int]:
        """Compile the rules, write the members, draw the arms."""
        from perennial.audience import pipeline

        return pipeline.decide(day)

    wait_for_turn("decide_contacts") >> decide(DAY)


decide_contacts()
