"""Encode all item texts with another encoder or template, and switch to the new vectors at once.

**Makes** rows of `item_embeddings` beside the old ones, for all texts in the lake. When none is missing, it
writes one row of `model_log` that puts the new vectors in force from the first day that is not closed yet.
Earlier days keep theirs. While the backfill runs, days go on with the old encoder: the vectors of a day are
decided when it is closed, before its `embed_items` begins. No day is closed while the row is written.

**Starts** by hand: *Trigger*, with an encoder and a template in the form. First as a *dry run* (the default):
the result of `estimate` gives the number of texts, tokens and minutes. Then without it: the mapped tasks show
the progress, their logs the speed. The same form goes back: the old vectors are still there.

**When it is red**: the log names the encoder, template or weights, what was found and what is allowed. Clear
the failed task; encoded texts are kept. If a backfill is abandoned, `maintain_lake` removes its vectors after
another one has begun. **Again**: the same form. If the choice is in force already, nothing is written.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from perennial.orchestration.defaults import shared


def text(title: str, description: str) -> Param:
    """A text field of the form that may be empty."""
    return Param("", type="string", title=title, description=description)


FORM = {
    "encoder": text("Encoder", "A name in embeddings.yaml, or a Hugging Face id or path; empty: as in force"),
    "revision": text("Revision", "Of an encoder that is given by its Hugging Face id"),
    "weights_sha256": text("SHA-256 of the weights", "Of an encoder given by id or path; others are refused"),
    "template": text("Template", "A name in embeddings.yaml; empty: as in force"),
    "tokens_per_shard": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Tokens per shard",
        description="What one task encodes, and a killed one loses; empty: as embeddings.yaml says",
    ),
    "dry_run": Param(True, type="boolean", title="Dry run", description="Only say what it would cost"),
}
FIELDS = {name: f"{{{{ params.{name} }}}}" for name in ("encoder", "revision", "weights_sha256", "template")}
SIZE = "{{ params.tokens_per_shard or 0 }}"


def dry(context: Any) -> bool:
    """Whether the form asks for a dry run."""
    return context["params"]["dry_run"]


@dag(schedule=None, max_active_runs=1, **shared(__doc__, "by hand", "embeddings", params=FORM))
def backfill_embeddings() -> None:
    """Choose, then either estimate, or plan, encode and switch."""

    @task
    def choose(encoder: str, revision: str, weights_sha256: str, template: str) -> dict[str, Any]:
        """Resolve the form completely, so that a later edit of embeddings.yaml does not change this run."""
        from perennial.embeddings import pipeline

        return pipeline.choose(encoder, revision, weights_sha256, template)

    @task.run_if(dry, "this is no dry run")
    @task(queue="models")
    def estimate(space: dict[str, Any], tokens_per_shard: str) -> dict[str, float]:
        """Number of texts, tokens and shards; minutes, estimated from a sample."""
        from perennial.embeddings import pipeline

        return pipeline.estimate(space, int(tokens_per_shard))

    @task.skip_if(dry, "this is a dry run")
    @task(queue="models")
    def plan(space: dict[str, Any], tokens_per_shard: str) -> list[dict[str, Any]]:
        """The texts without a vector, as shards."""
        from perennial.embeddings import pipeline

        return pipeline.plan_backfill(space, int(tokens_per_shard))

    @task(queue="models")
    def encode(shard: dict[str, Any], space: dict[str, Any]) -> int:
        """Encode the texts of the shard that have no vector yet."""
        from perennial.embeddings import pipeline

        return pipeline.encode_backfill(shard, space)

    @task.skip_if(dry, "this is a dry run")
    @task(queue="models", trigger_rule="none_failed")
    def switch(space: dict[str, Any]) -> str:
        """Encode texts that were added meanwhile, then put the new space in force."""
        from perennial.embeddings import pipeline

        return pipeline.switch_over(space)

    space = choose(**FIELDS)
    estimate(space, SIZE)  # type: ignore[arg-type]
    shards = plan(space, SIZE)  # type: ignore[arg-type]
    encode.partial(space=space).expand(shard=shards) >> switch(space)  # type: ignore[arg-type]


backfill_embeddings()
