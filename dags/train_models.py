"""Retrain the models as of the day, judge them against the champions, and promote or keep.

**Makes** a run and a registered version for each model in MLflow, and rows of `model_log`: which version has
been in force since which day, and why.

**Starts** when the day's profiles are made (`profiles`). Training may run ahead; *promotion is once-only*, in
day order.

**When it is red**: a training or the promotion failed. The day goes on with the present champion: `promote`
also runs after a failed training, and records the failure. The day stops only if there is no champion at all.
Remove the cause and clear the failed task. A day whose promotion is done is not trained again.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task

from perennial.orchestration.assets import MODELS, PROFILES
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared
from perennial.orchestration.trained_models import TRAINED_MODELS
from perennial.orchestration.waiting import wait_for_turn


@dag(schedule=PartitionedAssetTimetable(assets=PROFILES), **shared(__doc__, "daily", "models", "once-only"))
def train_models() -> None:
    """Train candidates, compare them with the champions, promote."""

    @task(queue="models")
    def train_return_model(day: str) -> dict[str, str]:
        """Who will order again within 28 days."""
        from perennial.models import pipeline
        from perennial.orchestration import connections

        return pipeline.train(day, connections.mlflow())

    @task(queue="models")
    def train_recommender(day: str) -> dict[str, str]:
        """What each customer wants next."""
        from perennial.orchestration import connections
        from perennial.recommend import pipeline

        return pipeline.train(day, connections.mlflow())

    @task(trigger_rule="all_done", **publishes(MODELS))
    def promote(day: str) -> dict[str, str]:
        """Champion or candidate, once for each day."""
        from perennial.foundation.modelling import promotion
        from perennial.orchestration import connections

        return promotion.promote(day, connections.mlflow(), TRAINED_MODELS)

    @task(trigger_rule="one_failed", retries=0)
    def watcher() -> None:
        """Make the run red when anything failed."""
        raise RuntimeError("a task of this run failed; see its log")

    trainings = [train_return_model(DAY), train_recommender(DAY)]
    trainings >> wait_for_turn("train_models", trigger_rule="all_done") >> promote(DAY)
    trainings >> watcher()


train_models()
