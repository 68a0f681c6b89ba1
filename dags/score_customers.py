"""Predict for every customer how likely they come back and what they want next, with reasons.

**Makes** `scores` and `recommendations` of the day with the models in force on that day: those last promoted
on or before it, also when a past day is made again. It also makes `drift` and a page: do customers still look
like those in the training data of the return model, and does a score mean the same for every group? Another
page shows which brands, categories and prices are recommended.

**Starts** when the day's models are decided (`models`).

**When it is red**: most often no model has ever been promoted; the message says so. See `train_models`. The
day does not wait for `watch`: if only that task is red, nothing else is missing. A shard of `recommend` can
be cleared alone.
"""

from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, task

from perennial.orchestration.alerts import tell
from perennial.orchestration.assets import MODELS, SCORES
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared


@dag(schedule=PartitionedAssetTimetable(assets=MODELS), **shared(__doc__, "daily", "models"))
def score_customers() -> None:
    """Scores and recommendations of the day."""

    @task
    def score(day: str) -> int:
        """Probability of an order within 28 days, with reasons."""
        from perennial.models import pipeline
        from perennial.orchestration import connections

        return pipeline.score(day, connections.mlflow())

    @task(post_execute=tell)
    def watch(day: str) -> dict[str, str]:
        """Drift and fairness of the day's scores; an alert where customers have changed."""
        from perennial.models import monitoring
        from perennial.orchestration import connections

        return monitoring.watch(day, connections.mlflow())

    @task
    def plan(day: str) -> list[dict[str, Any]]:
        """The ranges of customers that get recommendations together, as shards."""
        from perennial.recommend import pipeline

        return pipeline.plan(day)

    @task
    def recommend(shard: dict[str, Any], day: str) -> int:
        """The twenty items each customer of a shard is most likely to want, with reasons."""
        from perennial.orchestration import connections
        from perennial.recommend import pipeline

        return pipeline.score(shard, day, connections.mlflow())

    @task(**publishes(SCORES))
    def show(day: str) -> int:
        """Write the page of recommendations; the day is complete."""
        from perennial.orchestration import connections
        from perennial.recommend import pipeline

        return pipeline.show(day, connections.mlflow())

    shards = plan(DAY)
    score(DAY) >> [watch(DAY), shards]
    recommend.partial(day=DAY).expand(shard=shards) >> show(DAY)


score_customers()
