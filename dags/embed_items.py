"""Give every item text a vector in the space in force, which is an encoder and a template.

**Makes** rows of `item_embeddings`, keyed by space and text. A text that has a vector is not encoded again.
The very first day puts the space in `embeddings.yaml` in force (a row of `model_log`). After that only
`backfill_embeddings` changes it.

**Starts** when a day is announced (`shop_day`). Texts without a vector are split into shards with about the
same number of tokens. Each shard is one mapped task that writes once and can be killed and run again. A day
without new texts has no shards. The space of the day was decided when the day was closed: a backfill that
ends during this run takes effect on a later day.

**When it is red**: the log names the model file or the shard. Clear the failed shard; the others are kept.
"""

from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, task

from perennial.orchestration.assets import ITEM_EMBEDDINGS, SHOP_DAY
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared


@dag(schedule=PartitionedAssetTimetable(assets=SHOP_DAY), **shared(__doc__, "daily", "embeddings"))
def embed_items() -> None:
    """Encode the texts that have no vector."""

    @task
    def plan(day: str) -> list[dict[str, Any]]:
        """The texts without a vector, as shards."""
        from perennial.embeddings import pipeline

        return pipeline.plan(day)

    @task(queue="models")
    def encode(shard: dict[str, Any], day: str) -> int:
        """Encode the texts of the shard that have no vector yet."""
        from perennial.embeddings import pipeline

        return pipeline.encode_shard(shard, day)

    @task(trigger_rule="none_failed", **publishes(ITEM_EMBEDDINGS))
    def publish(day: str) -> str:
        """Announce that the day has all vectors."""
        return day

    encode.partial(day=DAY).expand(shard=plan(DAY)) >> publish(DAY)


embed_items()
