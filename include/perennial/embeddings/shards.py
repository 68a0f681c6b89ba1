"""How the missing texts are split among tasks: by their tokens, which are the work, not by their number.

A shard is a stretch of the texts in the order of their hash, named by its first and last hash: small enough
for XCom whatever the catalogue, and the same again after a kill, because a hash never changes its place.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, SupportsInt

import ibis.expr.types as ir

Planned = dict[str, Any]
"""A shard as it travels over XCom."""


@dataclass(frozen=True)
class Shard:
    """A stretch of text hashes, both ends included, and the work it was when it was planned."""

    first: str
    last: str
    texts: int
    tokens: int

    def of(self, missing: ir.Table) -> ir.Table:
        """The texts of the stretch."""
        return missing.filter(missing.text_hash.between(self.first, self.last))

    def as_dict(self) -> Planned:
        """As `Shard(**planned)` takes it."""
        return asdict(self)


def plan(
    counted: Iterable[tuple[Sequence[str], Iterable[SupportsInt]]], tokens_per_shard: int
) -> Iterator[Shard]:
    """Cut the texts into shards: each ends with the text that fills it.

    Args:
        counted: text hashes in their order, batch by batch, each with its number of tokens.
        tokens_per_shard: a shard has at least as many, but for the last; without its last text it has fewer.
    """
    first, last, texts, held = "", "", 0, 0
    for hashes, counts in counted:
        for code, tokens in zip(hashes, counts, strict=True):
            first, last, texts, held = first or code, code, texts + 1, held + int(tokens)
            if held >= tokens_per_shard:
                yield Shard(first, last, texts, held)
                first, texts, held = "", 0, 0
    if texts:
        yield Shard(first, last, texts, held)
