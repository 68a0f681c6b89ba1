"""One sentence with each recommended item, from the source that carried it, and the items it rests on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.recommend.candidates import Candidates
from perennial.recommend.features import Block
from perennial.recommend.shelf import Whole

if TYPE_CHECKING:
    from perennial.recommend.sources import Sources

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("rank", pa.int64()),
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("evidence", pa.list_(pa.string())),
    ]
)
_REGULAR_TIMES = 3


@dataclass(frozen=True)
class Ranking:
    """The best items of each customer of a block, best first; places that nothing fills hold −1.

    Args:
        block: the customers.
        found: all candidates.
        chosen: position of each recommended item among them, shape (customers, k).
        scores: probability of buying it within the window, of all candidates.
    """

    block: Block
    found: Candidates
    chosen: Whole
    scores: NDArray[np.float64]

    @classmethod
    def best(cls, block: Block, found: Candidates, scores: NDArray[np.float64], k: int) -> Self:
        """The k likeliest candidates of each customer; equals in the order of the items."""
        customers = len(block.history)
        order = np.lexsort((found.items, -scores, found.rows))
        counts = np.bincount(found.rows, minlength=customers)
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = np.full((customers, k), -1, np.int64)
        kept = order[place < k]
        chosen[found.rows[kept], place[place < k]] = kept
        return cls(block, found, chosen, scores)

    @property
    def items(self) -> Whole:
        """The row of each item on the shelf, shape (customers, k)."""
        return np.where(self.chosen >= 0, self.found.items[self.chosen], -1)


def table(ranking: Ranking, sources: "Sources") -> pa.Table:
    """A row of `SCHEMA` for each recommended item, by customer and rank."""
    rows, places = np.nonzero(ranking.chosen >= 0)
    at = ranking.chosen[rows, places]
    found, shelf, block = ranking.found, sources.shelf, ranking.block
    items, pairs = found.items[at], found.pair[at]
    carriers = _carriers(found)[at]
    proofs = _evidence(block, sources, rows, np.where(pairs >= 0, -1, items), carriers)
    said = [
        _bought(block, pair) if pair >= 0 else _new(sources, item, sources.names[carrier], proof)
        for item, pair, carrier, proof in zip(items, pairs, carriers, proofs, strict=True)
    ]
    names, sentences = zip(*said, strict=True) if said else ((), ())
    columns = [
        block.history.customer_ids[rows],
        places + 1,
        shelf.item_ids[items],
        ranking.scores[at],
        names,
        sentences,
        list(shelf.item_ids[np.where(proofs >= 0, proofs, items)][:, None]),
    ]
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], SCHEMA
    )


def _bought(block: Block, pair: int) -> tuple[str, str]:
    """Of something the customer bought before."""
    pairs = block.pairs
    times, age, first = int(pairs.times[pair]), int(pairs.last[pair]), int(pairs.first[pair])
    lately = "today" if age == 0 else f"{age} day{'' if age == 1 else 's'} ago"
    if times >= _REGULAR_TIMES and first > age:
        every = max(1, round((first - age) / (times - 1)))
        often = "every day" if every == 1 else f"about every {every} days"
        return "repeat", f"you buy this {often}, last {lately}"
    return "repeat", f"you bought this {'once' if times == 1 else f'{times} times'}, last {lately}"


def _new(sources: "Sources", item: int, carrier: str, proof: int) -> tuple[str, str]:
    """Of something the customer never bought."""
    by = carrier.partition("_")[0]
    if proof >= 0:
        title = sources.shelf.titles[proof]
        if by == "content":
            return "content", f"like {title}, which you bought"
        if by == "needs":
            return "kind", f"much bought of the kind of {title}, which you bought"
        return "item_neighbours", f"often bought with {title}"
    if by == "customer":
        return "customer_neighbours", "customers who buy like you buy this"
    count = int(sources.facts.buyers_lately[item])
    return "popularity", f"bought by {count} customer{'' if count == 1 else 's'} in the last 28 days"


def _carriers(found: Candidates) -> Whole:
    """The place of the source that ranks each new candidate highest among its customer's, −1 of others."""
    carrier = np.full(len(found), -1, np.int64)
    new = np.flatnonzero(found.pair < 0)
    if not len(new):
        return carrier
    rows, said = found.rows[new], found.scores[new]
    changed = np.diff(rows, prepend=-1) != 0
    starts, list_of = np.flatnonzero(changed), np.cumsum(changed) - 1
    # A source that says the same of all candidates says nothing.
    silent = np.maximum.reduceat(said, starts) <= np.minimum.reduceat(said, starts)
    ranks = np.empty(said.shape)
    for source, scores in enumerate(said.T):
        order = np.lexsort((-scores, rows))
        ranks[order, source] = np.arange(len(new)) - starts[list_of[order]]
    ranks[silent[list_of]] = np.inf
    carrier[new] = ranks.argmin(axis=1)
    return carrier


def _evidence(block: Block, sources: "Sources", rows: Whole, items: Whole, carriers: Whole) -> Whole:
    """The item that the customer bought on which each recommendation of a new one rests, −1 for none."""
    found = np.full(len(rows), -1, np.int64)
    for place, name in enumerate(sources.names):
        some = np.flatnonzero((items >= 0) & (carriers == place))
        if len(some):
            found[some] = sources.evidence(name, block, rows[some], items[some])
    return found
