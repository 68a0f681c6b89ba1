"""Give every item text a vector in the space that is in force: by its encoder, from its template.

**Makes** rows of `item_embeddings`, keyed by space and text: what has a vector already is not encoded again.
The very first day puts in force what `embeddings.yaml` starts with (a row of `model_log`); after that only
`backfill_embeddings` changes it.

**Wakes** when a day is announced (`shop_day`). Missing texts are split into shards of about as many tokens;
each shard is one mapped task that writes once and may be killed and run again. A day without new texts has no
shards. What is in force on the day was settled when the day was closed: a backfill that ends while this runs
holds from a later day on.

**When it is red**: the log names the model file or the shard. Clear the failed shard; the others stay.
"""

from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, task

from perennial.orchestration.assets import ITEM_EMBEDDINGS, SHOP_DAY
from perennial.orchestration.day import DAY, publishes
from perennial.orchestration.defaults import shared


@dag(schedule=PartitionedAssetTimetable(assets=SHOP_DAY), **shared(__doc__, "daily", "embeddings"))
def embed_items() -> None:
    """Texts without a vector become vectors."""

    @task
    def plan(day: str) -> list[dict[str, Any]]:
        """Which texts are missing, as shards."""
        from perennial.embeddings import pipeline

        return pipeline.plan(day)

    @task(queue="models")
    def encode(shard: dict[str, Any], day: str) -> int:
        """Encode what is still missing in the shard."""
        from perennial.embeddings import pipeline

        return pipeline.encode_shard(shard, day)

    @task(trigger_rule="none_failed", **publishes(ITEM_EMBEDDINGS))
    def publish(day: str) -> str:
        """Hand the day on."""
        return day

    encode.partial(day=DAY).expand(shard=plan(DAY)) >> publish(DAY)


embed_items()
