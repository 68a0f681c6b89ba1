"""How the missing texts are split among tasks: by the work they are, not by their number.

A shard is a stretch of the texts in the order of their hash, named by its first and last hash: small enough
for XCom whatever the catalogue, and the same again after a kill, because a hash never changes its place.
"""

from dataclasses import asdict, dataclass

import ibis
import ibis.expr.types as ir


@dataclass(frozen=True)
class Shard:
    """A stretch of text hashes, both ends included."""

    first: str
    last: str

    def of(self, missing: ir.Table) -> ir.Table:
        """The texts of the stretch."""
        return missing.filter(missing.text_hash.between(self.first, self.last))

    def as_dict(self) -> dict[str, str]:
        """What travels over XCom."""
        return asdict(self)


def plan(missing: ir.Table, texts_per_shard: int) -> list[Shard]:
    """Split the missing texts into ceil(n / texts_per_shard) shards of about the same number of characters.

    Args:
        missing: `text_hash, text`, a row for each different text.
        texts_per_shard: how many texts of average length make one shard.
    """
    before = ibis.window(order_by="text_hash", preceding=None, following=0)
    sized = missing.select("text_hash", size=missing.text.length() + 1)
    sized = sized.mutate(reached=sized["size"].sum().over(before))
    total = sized.aggregate(texts=sized.count(), characters=sized["size"].sum()).to_pyarrow().to_pylist()[0]
    shards = -(-total["texts"] // texts_per_shard)
    if not shards:
        return []
    middle = sized.reached - sized["size"] / 2
    numbered = sized.mutate(shard=(middle * shards / total["characters"]).floor().cast("int64"))
    stretches = numbered.group_by("shard").aggregate(
        first=numbered.text_hash.min(), last=numbered.text_hash.max()
    )
    return [Shard(row["first"], row["last"]) for row in stretches.order_by("shard").to_pyarrow().to_pylist()]
