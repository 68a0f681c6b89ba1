"""One sentence with each recommended item, from the source that carried it, and the items it rests on.

The sentences are those of reasons.yaml, in the customer's language.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import FloatArray, IntArray, StringArray
from perennial.recommend.arrays.ragged import RaggedLists
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.lists.phrases import Languages, Phrases

if TYPE_CHECKING:
    from perennial.recommend.sources.new_items import NewItems
    from perennial.recommend.sources.retrieval import CandidateSources

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("rank", pa.int64()),
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("evidence", pa.list_(pa.string())),
        ("propensity", pa.float64()),
    ]
)
NEW = ""
"""In place of a source: what is too new for any."""
_REGULAR_TIMES = 3


@dataclass(frozen=True)
class RankedLists:
    """The best items of each customer of a block, best first; places that nothing fills hold −1.

    Args:
        block: the customers.
        found: all candidates.
        chosen: position of each recommended item among them, shape (customers, k).
        scores: probability of buying it within the window, of all candidates.
        chances: probability with which each place got its item, 1 where chance had no say, as `chosen`.
    """

    block: CustomerBlock
    found: Candidates
    chosen: IntArray
    scores: FloatArray
    chances: FloatArray

    @classmethod
    def best(cls, block: CustomerBlock, found: Candidates, scores: FloatArray, k: int) -> Self:
        """The k likeliest candidates of each customer; equals in the order of the items."""
        chosen = RaggedLists(found.rows, len(block.history)).best(scores, k)
        return cls(block, found, chosen, scores, np.ones(chosen.shape))

    @property
    def items(self) -> IntArray:
        """The row of each item in the catalogue, shape (customers, k)."""
        return np.where(self.chosen >= 0, self.found.items[self.chosen], -1)


def recommendation_table(
    ranking: RankedLists,
    sources: "CandidateSources",
    new_items: "NewItems",
    languages: Languages,
    spoken: IntArray,
) -> pa.Table:
    """A row of `SCHEMA` for each recommended item, by customer and rank.

    Args:
        ranking: the lists.
        sources: who named the items …
        new_items: … that are not too new for any.
        languages: what is said.
        spoken: the place of each customer's language among them, shape (customers,).
    """
    rows, places = np.nonzero(ranking.chosen >= 0)
    at = ranking.chosen[rows, places]
    found, catalogue, block = ranking.found, sources.catalogue, ranking.block
    items, pairs = found.items[at], found.pair[at]
    old, new = np.flatnonzero(pairs >= 0), np.flatnonzero(pairs < 0)
    carriers = _carriers(found, at[new], sources.names, len(block.history))
    proofs = items.copy()
    proofs[new] = _evidence(block, sources, rows[new], items[new], carriers)
    unknown = new[carriers == NEW]
    proofs[unknown] = new_items.evidence(block.history, rows[unknown], items[unknown])
    names, sentences = np.full(len(at), "repeat", object), np.empty(len(at), object)
    sentences[old] = _bought(block, pairs[old], languages, spoken[rows[old]])
    for one, carrier, item, proof, place in zip(
        new, carriers, items[new], proofs[new], spoken[rows[new]], strict=True
    ):
        names[one], sentences[one] = _new(sources, item, carrier, proof, languages[place])
    proofs = np.where(proofs >= 0, proofs, items)
    columns = [
        pa.array(block.history.customer_ids[rows], pa.string()),
        pa.array(places + 1),
        pa.array(catalogue.item_ids[items], pa.string()),
        pa.array(ranking.scores[at]),
        pa.array(names, pa.string()),
        pa.array(sentences, pa.string()),
        pa.ListArray.from_arrays(
            np.arange(len(at) + 1, dtype=np.int32), pa.array(catalogue.item_ids[proofs], pa.string())
        ),
        pa.array(ranking.chances[rows, places]),
    ]
    return pa.table(columns, SCHEMA)


def _bought(block: CustomerBlock, pairs: IntArray, languages: Languages, spoken: IntArray) -> StringArray:
    """Of things that customers bought before; the same is said once."""
    times, age, first = (known[pairs] for known in (block.pairs.times, block.pairs.last, block.pairs.first))
    regular = (times >= _REGULAR_TIMES) & (first > age)
    gaps = np.rint((first - age) / np.maximum(times - 1, 1)).astype(np.int64)
    item_features = ((spoken << 1 | regular) << 16 | np.where(regular, gaps, times)) << 16 | age
    different, places = np.unique(item_features, return_inverse=True)
    parts = (different[:, None] >> np.array([33, 32, 16, 0]) & [0xFFFF, 1, 0xFFFF, 0xFFFF]).tolist()
    phrases = tuple(languages.root.values())
    said = [phrases[place].repeat(count, ago, count if often else None) for place, often, count, ago in parts]
    return np.array(said, object)[places]


def _new(
    sources: "CandidateSources", item: int, carrier: str, proof: int, phrases: Phrases
) -> tuple[str, str]:
    """Of something the customer never bought."""
    by, title = carrier.partition("_")[0], sources.catalogue.titles[proof] if proof >= 0 else ""
    if carrier == NEW:
        return "new_item", phrases.new_item_like.format(item=title) if title else phrases.new_item
    if title and by == "content":
        return "content", phrases.content.format(item=title)
    if title and by == "needs":
        return "kind", phrases.kind.format(item=title)
    if title:
        return "item_neighbours", phrases.item_neighbours.format(item=title)
    if by == "customer":
        return "customer_neighbours", phrases.customer_neighbours
    return "popularity", phrases.popular(int(sources.item_features.buyers_lately[item]))


def _carriers(found: Candidates, asked: IntArray, names: Sequence[str], customers: int) -> StringArray:
    """The source that ranks each new candidate highest among its customer's, shape (asked,).

    One that says the same of all has them all on the last rank. Of what no source knows it is `NEW`.
    """
    new = np.flatnonzero(found.pair < 0)
    lists, rows = RaggedLists(found.rows[new], customers), found.rows[asked]
    ranks = np.empty((len(asked), len(names)), np.int64)
    for place, said in enumerate(found.scores.T):
        ranks[:, place] = np.count_nonzero(lists.table(said[new], -np.inf)[rows] >= said[asked, None], axis=1)
    known = np.isfinite(found.scores[asked]).all(axis=1)
    return np.where(known, np.array(names, object)[ranks.argmin(axis=1)], NEW)


def _evidence(
    block: CustomerBlock,
    sources: "CandidateSources",
    rows: IntArray,
    items: IntArray,
    carriers: StringArray,
) -> IntArray:
    """The item that the customer bought on which each recommendation of a new one rests, −1 for none."""
    found = np.full(len(rows), -1, np.int64)
    # What a model of item neighbours rests on is the same for all of its questions.
    models = {name: name if name.startswith("needs") else name.partition("_")[0] for name in sources.names}
    by = np.array([models.get(name, NEW) for name in carriers], object)
    for name in dict.fromkeys(models.values()):
        some = np.flatnonzero(by == name)
        found[some] = sources.evidence(name, block, rows[some], items[some])
    return found
