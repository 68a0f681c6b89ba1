"""The missing texts are split among tasks by their number of tokens, which is the work.

A shard is a range of the texts in the order of their hash. Its first and last hash name it: that is small
enough for XCom for any catalogue, and it names the same texts after a kill, because a hash never changes its
place.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, SupportsInt

import ibis.expr.types as ir

Planned = dict[str, Any]
"""A shard as it travels over XCom."""


@dataclass(frozen=True)
class Shard:
    """A range of text hashes, both ends included, with its number of texts and tokens when it was planned."""

    first: str
    last: str
    texts: int
    tokens: int

    def of(self, missing: ir.Table) -> ir.Table:
        """The missing texts that lie in the shard."""
        return missing.filter(missing.text_hash.between(self.first, self.last))

    def as_dict(self) -> Planned:
        """The shard as a dictionary; `Shard(**planned)` makes it again."""
        return asdict(self)


def plan(
    counted: Iterable[tuple[Sequence[str], Iterable[SupportsInt]]], tokens_per_shard: int
) -> Iterator[Shard]:
    """Split the texts into shards. Each shard ends with the text that fills it.

    Args:
        counted: text hashes in their order, batch by batch, each with its number of tokens.
        tokens_per_shard: every shard but the last has at least so many; without its last text it has fewer.
    """
    first, last, texts, tokens = "", "", 0, 0
    for hashes, counts in counted:
        for text_hash, count in zip(hashes, counts, strict=True):
            first, last, texts, tokens = first or text_hash, text_hash, texts + 1, tokens + int(count)
            if tokens >= tokens_per_shard:
                yield Shard(first, last, texts, tokens)
                first, texts, tokens = "", 0, 0
    if texts:
        yield Shard(first, last, texts, tokens)
