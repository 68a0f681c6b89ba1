"""The steps of `embed_items`, `backfill_embeddings` and the upkeep of vectors.

Every step may be repeated, at once or after a kill: a text that has a vector is not encoded again, a shard is
written in one commit, and a space that is in force already is not put in force again.
"""

import logging
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import ibis.expr.types as ir
from numpy.typing import NDArray

from perennial.embeddings import shards, store, switch
from perennial.embeddings.form import Form
from perennial.embeddings.shards import Planned, Shard
from perennial.foundation import encoder
from perennial.foundation.embedding_spaces import EmbeddingSpace, embedding_settings, in_force
from perennial.foundation.encoder import model_files
from perennial.foundation.engine import kept, stream
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger

BACKFILL = "backfill_embeddings"
_LOG = logging.getLogger(__name__)
_BATCH_ROWS = 20_000
_SAMPLE, _WARM_UP = 512, 64
"""Texts that a dry run encodes to see how long all would take."""


def plan(day: str) -> list[Planned]:
    """The shards of the texts known at the end of `day` that lack a vector; none when all have one.

    The first call of all puts in force the encoder and the template that embeddings.yaml starts with.
    """
    lake, today = open_lake(), date.fromisoformat(day)
    space = switch.start(lake, open_ledger(), today)
    return _plan(lake, space, today)


def encode_shard(shard: Planned, day: str) -> int:
    """Encode the shard's texts that still lack a vector, and write them in one commit; how many."""
    lake, today = open_lake(), date.fromisoformat(day)
    return _encode(lake, in_force(lake, today), Shard(**shard), today)


def embed(day: str) -> int:
    """Encode all missing texts of the day in this process; returns their number."""
    return sum(encode_shard(shard, day) for shard in plan(day))


def choose(encoder: str, revision: str, weights_sha256: str, template: str) -> dict[str, Any]:
    """The space that the form names, in full.

    So a later edit of embeddings.yaml does not change this backfill.

    Raises:
        ValueError: there is no such encoder or template, or the form contradicts itself.
    """
    form = Form(encoder=encoder, revision=revision, weights_sha256=weights_sha256, template=template)
    lake = open_lake()
    now = in_force(lake, date.max)
    space = form.space(embedding_settings(), now)
    _LOG.info("the form names %s; %s is in force", space.key, now.key)
    return space.model_dump(mode="json")


def estimate(space: dict[str, Any], tokens_per_shard: int | None = None) -> dict[str, float]:
    """What a backfill would cost: `texts, tokens, shards, tokens_per_second, minutes`; nothing is written.

    Minutes are those of one task on this machine: a sample is encoded, the rest is estimated by its tokens.
    """
    new_space = EmbeddingSpace.model_validate(space)
    with kept(store.missing(open_lake(), new_space)) as missing:
        planned = _shards(new_space, missing, tokens_per_shard)
        sample = missing.order_by("text_hash").limit(_SAMPLE).text.to_pyarrow().to_pylist()
    tokens = sum(shard.tokens for shard in planned)
    rate = _tokens_per_second(new_space, sample) if sample else 0.0
    cost = {
        "texts": sum(shard.texts for shard in planned),
        "tokens": tokens,
        "shards": len(planned),
        "tokens_per_second": round(rate, 1),
        "minutes": round(tokens / rate / 60, 2) if rate else 0.0,
    }
    _LOG.info("%s would take %s", new_space.key, cost)
    return cost


def plan_backfill(space: dict[str, Any], tokens_per_shard: int | None = None) -> list[Planned]:
    """The shards of all texts in the lake that lack a vector in the space.

    From now on `remove_orphans` keeps the vectors of the space, although it is not in force yet.

    Raises:
        EncoderError: there is no such encoder, or its weights are not the pinned ones.
    """
    new_space = EmbeddingSpace.model_validate(space)
    choice = new_space.encoder
    # Checked once here, and not only in each of many tasks.
    model_files.check_weights(choice.name, encoder.folder(choice), choice.weights_sha256)
    open_ledger().begin(BACKFILL, new_space.model_dump_json())
    return _plan(open_lake(), new_space, None, tokens_per_shard)


def encode_backfill(shard: Planned, space: dict[str, Any]) -> int:
    """As `encode_shard`, but for all texts in the lake and for the given space; returns their number."""
    return _encode(open_lake(), EmbeddingSpace.model_validate(space), Shard(**shard))


def switch_over(space: dict[str, Any]) -> str:
    """Put the space in force once every text has a vector in it; returns a sentence about what was done.

    Texts that came while the shards were encoded are encoded first. Texts that come during the switch are
    encoded after it.

    Raises:
        NoDayError: no day is closed yet.
    """
    lake, new_space = open_lake(), EmbeddingSpace.model_validate(space)
    _encode_rest(lake, new_space)
    message = switch.switch(lake, open_ledger(), new_space)
    _encode_rest(lake, new_space)
    return message


def remove_orphans(*, dry_run: bool = False) -> int:
    """Remove the vectors that no day can read; returns their number.

    These are the vectors of spaces that are not in force on any day and were not begun by the last backfill,
    and the vectors of texts that no version of any item has. No day is closed meanwhile. When a later item
    brings such a text back, its vector is made again.
    """
    lake, ledger = open_lake(), open_ledger()
    with ledger.standstill():
        made = ledger.about(BACKFILL)
        spaces = [*switch.spaces(lake), *([EmbeddingSpace.model_validate_json(made)] if made else [])]
        removed = store.remove_orphans(lake, spaces, dry_run=dry_run)
    _LOG.info("%d vectors that nothing reads%s", removed, " would be removed" if dry_run else " are removed")
    return removed


def _plan(
    lake: Lake, space: EmbeddingSpace, day: date | None, tokens_per_shard: int | None = None
) -> list[Planned]:
    with kept(store.missing(lake, space, day)) as missing:
        planned = _shards(space, missing, tokens_per_shard)
    texts, tokens = sum(shard.texts for shard in planned), sum(shard.tokens for shard in planned)
    _LOG.info("%s lacks %d texts of %d tokens: %d shards", space.key, texts, tokens, len(planned))
    return [shard.as_dict() for shard in planned]


def _shards(space: EmbeddingSpace, missing: ir.Table, tokens_per_shard: int | None) -> list[Shard]:
    size = tokens_per_shard or embedding_settings().tokens_per_shard
    return list(shards.plan(_counted(space, missing), size))


def _counted(space: EmbeddingSpace, missing: ir.Table) -> Iterator[tuple[list[str], NDArray]]:
    """The hashes of the texts in their order, batch by batch, each with its number of tokens."""
    for batch in stream(missing.select("text_hash", "text").order_by("text_hash"), _BATCH_ROWS):
        texts = batch.column("text").to_pylist()
        yield batch.column("text_hash").to_pylist(), encoder.count_tokens(space.encoder, texts)


def _encode(lake: Lake, space: EmbeddingSpace, shard: Shard, day: date | None = None) -> int:
    missing = shard.of(store.missing(lake, space, day)).order_by("text_hash").to_pyarrow()
    if not missing.num_rows:
        return 0
    texts, hashes = missing["text"].to_pylist(), missing["text_hash"].to_pylist()
    loaded = encoder.load(space.encoder)
    began = time.perf_counter()
    vectors = loaded.encode(texts)
    seconds = time.perf_counter() - began
    store.add(lake, space, texts, hashes, vectors)
    _LOG.info("%s: %d texts in %.1f s, %.0f texts/s", space.key, len(texts), seconds, len(texts) / seconds)
    return len(texts)


def _encode_rest(lake: Lake, space: EmbeddingSpace) -> None:
    while shards_left := _plan(lake, space, None):
        for shard in shards_left:
            _encode(lake, space, Shard(**shard))


def _tokens_per_second(space: EmbeddingSpace, sample: list[str]) -> float:
    loaded = encoder.load(space.encoder)
    loaded.encode(sample[:_WARM_UP])
    tokens = int(encoder.count_tokens(space.encoder, sample).sum())
    began = time.perf_counter()
    loaded.encode(sample)
    return tokens / (time.perf_counter() - began)
