"""The steps of `embed_items`: plan the shards, encode each. All may be repeated, at once or after a kill."""

from datetime import date

from perennial.embeddings import shards, store
from perennial.embeddings.shards import Shard
from perennial.foundation import encoder
from perennial.foundation.engine import kept
from perennial.foundation.item_vectors import embedding_settings
from perennial.foundation.lake import open_lake


def plan(day: str) -> list[dict[str, str]]:
    """The shards of the texts that the catalogue known at the end of `day` lacks; none when it lacks none."""
    chosen = embedding_settings()
    with kept(store.missing(open_lake(), chosen, date.fromisoformat(day))) as missing:
        return [shard.as_dict() for shard in shards.plan(missing, chosen.texts_per_shard)]


def encode_shard(shard: dict[str, str], day: str) -> int:
    """Encode what is still missing in the shard and write it in one commit; how many texts that were."""
    lake = open_lake()
    chosen = embedding_settings()
    wanted = Shard(**shard).of(store.missing(lake, chosen, date.fromisoformat(day)))
    found = wanted.order_by("text_hash").to_pyarrow()
    if not found.num_rows:
        return 0
    said, hashes = found["text"].to_pylist(), found["text_hash"].to_pylist()
    store.add(lake, chosen, said, hashes, encoder.load(chosen.encoder).encode(said))
    return found.num_rows


def embed(day: str) -> int:
    """All of it in this process; how many texts were encoded."""
    return sum(encode_shard(shard, day) for shard in plan(day))
