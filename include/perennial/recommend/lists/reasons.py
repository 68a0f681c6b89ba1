"""One sentence with each recommended item: why it is there, and the purchase behind it.

The reason is that of the source whose score ranks the item highest. The sentences are those of reasons.yaml,
in the customer's language.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import FloatArray, IntArray, StringArray
from perennial.recommend.arrays.ragged import RaggedLists
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.lists.phrases import Languages, Phrases
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources
from perennial.recommend.sources.source import Reason

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
_NO_SCORE = -1
"""In place of a score: the item is too new for any source to score it."""
_REGULAR_TIMES = 3
"""From so many purchases on the sentence names the gap between them."""


@dataclass(frozen=True)
class RankedLists:
    """The best items of each customer of a block, best first; empty places hold −1.

    Args:
        block: the customers.
        candidates: all of them.
        positions: of each recommended item among the candidates, shape (customers, k).
        scores: probability that each candidate is bought within the window.
        chances: probability with which each place got its item, 1 where it was not drawn, as `positions`.
    """

    block: CustomerBlock
    candidates: Candidates
    positions: IntArray
    scores: FloatArray
    chances: FloatArray

    @classmethod
    def best(cls, block: CustomerBlock, candidates: Candidates, scores: FloatArray, k: int) -> Self:
        """The k candidates of each customer with the highest scores; ties in the order of the items."""
        positions = RaggedLists(candidates.rows, len(block.history)).best(scores, k)
        return cls(block, candidates, positions, scores, np.ones(positions.shape))

    @property
    def items(self) -> IntArray:
        """The row of each item in the catalogue, shape (customers, k)."""
        return np.where(self.positions >= 0, self.candidates.items[self.positions], -1)


def recommendation_table(
    lists: RankedLists,
    sources: CandidateSources,
    new_items: NewItems,
    languages: Languages,
    language_of: IntArray,
) -> pa.Table:
    """A row of `SCHEMA` for each recommended item, by customer and rank.

    Args:
        lists: of the customers.
        sources: of the candidates.
        new_items: the items that may be too new for the sources.
        languages: the sentences.
        language_of: the place of each customer's language among them, shape (customers,).
    """
    customers, places = np.nonzero(lists.positions >= 0)
    positions = lists.positions[customers, places]
    candidates, catalogue, block = lists.candidates, sources.catalogue, lists.block
    items, pairs = candidates.items[positions], candidates.pair[positions]
    bought, new = np.flatnonzero(pairs >= 0), np.flatnonzero(pairs < 0)
    scores = _leading_scores(candidates, positions[new], len(block.history))
    evidence = items.copy()
    evidence[new] = _evidence(block, sources, new_items, customers[new], items[new], scores)
    reasons, sentences = np.full(len(items), Reason.REPEAT.value, object), np.empty(len(items), object)
    sentences[bought] = _repeat_sentences(block, pairs[bought], languages, language_of[customers[bought]])
    # Behind the reasons of the scores stands that of no score.
    reason_of_score = [*(sources.source_of(name).reason for name in sources.score_names), Reason.NEW_ITEM]
    for row, score in zip(new, scores, strict=True):
        title = catalogue.titles[evidence[row]] if evidence[row] >= 0 else ""
        buyers = int(sources.item_features.buyers_lately[items[row]])
        phrases = languages[language_of[customers[row]]]
        reasons[row], sentences[row] = _new_sentence(reason_of_score[score], title, buyers, phrases)
    evidence = np.where(evidence >= 0, evidence, items)
    columns = [
        pa.array(block.history.customer_ids[customers], pa.string()),
        pa.array(places + 1),
        pa.array(catalogue.item_ids[items], pa.string()),
        pa.array(lists.scores[positions]),
        pa.array(reasons, pa.string()),
        pa.array(sentences, pa.string()),
        pa.ListArray.from_arrays(
            np.arange(len(items) + 1, dtype=np.int32), pa.array(catalogue.item_ids[evidence], pa.string())
        ),
        pa.array(lists.chances[customers, places]),
    ]
    return pa.table(columns, SCHEMA)


def _repeat_sentences(
    block: CustomerBlock, pairs: IntArray, languages: Languages, language_of: IntArray
) -> StringArray:
    """For items bought before; each different sentence is made once."""
    times, last, first = (
        column[pairs] for column in (block.pairs.times, block.pairs.last, block.pairs.first)
    )
    is_regular = (times >= _REGULAR_TIMES) & (first > last)
    gaps = np.rint((first - last) / np.maximum(times - 1, 1)).astype(np.int64)
    # Language, regularity, gap or times, and days in one number each.
    codes = ((language_of << 1 | is_regular) << 16 | np.where(is_regular, gaps, times)) << 16 | last
    different, places = np.unique(codes, return_inverse=True)
    parts = (different[:, None] >> np.array([33, 32, 16, 0]) & [0xFFFF, 1, 0xFFFF, 0xFFFF]).tolist()
    phrases = tuple(languages.root.values())
    sentences = [
        phrases[language].repeat(count, days, count if regular else None)
        for language, regular, count, days in parts
    ]
    return np.array(sentences, object)[places]


def _new_sentence(reason: Reason, title: str, buyers: int, phrases: Phrases) -> tuple[Reason, str]:
    """Reason and sentence for an item that the customer never bought.

    Args:
        reason: of the source.
        title: of the purchase behind it; empty where there is none.
        buyers: of the item, in the last 28 days.
        phrases: in the customer's language.
    """
    if reason is Reason.NEW_ITEM:
        return reason, phrases.new_item_like.format(item=title) if title else phrases.new_item
    if title:
        return reason, phrases.like(reason, title)
    if reason is Reason.CUSTOMER_NEIGHBOURS:
        return reason, phrases.customer_neighbours
    return Reason.POPULARITY, phrases.popular(buyers)


def _leading_scores(candidates: Candidates, positions: IntArray, customers: int) -> IntArray:
    """Which score ranks each new candidate highest among those of its customer, shape (n,).

    A score that is the same for all candidates has them all on the last rank. Where the sources give no score
    it is `_NO_SCORE`.
    """
    new = np.flatnonzero(candidates.pair < 0)
    lists, rows = RaggedLists(candidates.rows[new], customers), candidates.rows[positions]
    ranks = np.empty((len(positions), candidates.scores.shape[1]), np.int64)
    for place, scores in enumerate(candidates.scores.T):
        others = lists.table(scores[new], -np.inf)[rows]
        ranks[:, place] = np.count_nonzero(others >= scores[positions, None], axis=1)
    has_scores = np.isfinite(candidates.scores[positions]).all(axis=1)
    return np.where(has_scores, ranks.argmin(axis=1), _NO_SCORE)


def _evidence(
    block: CustomerBlock,
    sources: CandidateSources,
    new_items: NewItems,
    customers: IntArray,
    items: IntArray,
    scores: IntArray,
) -> IntArray:
    """The purchase behind each recommendation of an item never bought: its row, −1 for none, shape (n,)."""
    evidence = np.full(len(items), -1, np.int64)
    names = sources.score_names
    for source in sources.sources:
        of_source = [names.index(name) for name in sources.settings.scores_by_source[source.name]]
        rows = np.flatnonzero(np.isin(scores, of_source))
        evidence[rows] = source.evidence(block, customers[rows], items[rows])
    rows = np.flatnonzero(scores == _NO_SCORE)
    evidence[rows] = new_items.evidence(block.history, customers[rows], items[rows])
    return evidence
