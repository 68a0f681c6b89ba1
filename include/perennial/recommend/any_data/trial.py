"""The recommender tried on any purchases: learned from their past, judged by what came after.

Shelf, histories, sources, ranker and judgement are those of the daily model; only where the rows come from
is another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation import encoder
from perennial.foundation.arrays import BoolArray
from perennial.foundation.embedding_spaces import EmbeddingSpace
from perennial.foundation.item_texts import texts
from perennial.recommend.arrays.lookup import sample_rows
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.evaluation import comparison, splits
from perennial.recommend.evaluation.comparison import Comparison, Progress
from perennial.recommend.evaluation.ranking_task import WARM_PURCHASES
from perennial.recommend.evaluation.splits import SplitKind, Splits, TooShortError
from perennial.recommend.fit import TrainingWindow, fit_recommender
from perennial.recommend.settings import RecommenderSettings
from perennial.recommend.sources.retrieval import CandidateSources

MOST_TEXTS = 50_000
"""So many texts are encoded at most, those of what was bought first."""
MOST_UNSOLD = 50_000
"""So many items that nobody had bought are ranked at most, drawn by chance."""
Notify = Callable[[str], None]
"""Hears in a sentence what is done next, or what was found."""


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Args:
        comparison: who ranked how well.
        kind: how past and future were told apart.
        tested: the time that was foreseen, in words.
        customers: whose purchases were looked at.
        items: that anybody had bought before.
        texts: vectors of different texts; 0: nothing is known of what items say of themselves.
    """

    comparison: Comparison
    kind: SplitKind
    tested: str
    customers: int
    items: int
    texts: int


def evaluate(
    events: pa.Table,
    items: pa.Table | None,
    kind: SplitKind,
    chosen: RecommenderSettings,
    space: EmbeddingSpace,
    first: date | None = None,
    say: Notify = lambda sentence: None,
    told: Progress = lambda done, of: None,
) -> Trial:
    """Learn from what was bought before, and judge by what was bought after.

    Args:
        events: as `own_tables.Purchases.events`.
        items: as `own_tables.items`, those too that have not been sold; None: nothing is known of them.
        kind: how past and future are told apart.
        chosen: the settings of the daily model.
        space: by which encoder and template items get vectors.
        first: of a temporal split the first day that is foreseen; None: the last window is.
        say: hears how it goes on.
        told: hears how the judgement goes on.

    Raises:
        TooShortError: there is not enough to learn from, or to be judged by.
    """
    some = _drawn(events, chosen.customers, say)
    windows, rows = chosen.ranker.windows, ibis.memtable(some)
    if kind is SplitKind.TEMPORAL:
        found = splits.temporal(rows, windows, chosen.ranker.every_days, first)
    else:
        found = splits.leave_last(rows, windows)
    tested = _foreseen(found, kind)
    say(f"to foresee: {tested}")
    lines = found.test.lines()
    catalogue, whole = _shelves(items, pc.unique(lines["item_id"]), space, say)
    history = PurchaseHistory.of_lines(lines, catalogue)
    offered = _offered(history)
    if not offered.any():
        raise TooShortError(f"found no item that was bought {WARM_PURCHASES} times before; allowed are some")
    say(f"learning from {len(history.items):,} lines of {len(history):,} customers, {len(catalogue):,} items")
    now = CandidateSources.fit(history, catalogue, offered, chosen)
    fit = fit_recommender(now, history, _windows(found, catalogue, chosen))
    truth = found.test.bought(pa.array(whole.item_ids, pa.string()), found.tested)
    if not np.isin(truth.customer_ids.astype(str), history.customer_ids.astype(str)).any():
        raise TooShortError(f"found nobody who bought before and after; to be foreseen were {tested}")
    say("judging the ranker, and each source by itself")
    after = found.test.bought(pa.array(catalogue.item_ids, pa.string()))
    wide = comparison.widened(now, history)
    judged = comparison.compare(fit, truth, after, wide, whole, told=told)
    customers = pc.count_distinct(some["customer_id"]).as_py()
    return Trial(judged, kind, tested, customers, len(catalogue), len(catalogue.vectors))


def _drawn(events: pa.Table, most: int, say: Notify) -> pa.Table:
    """The purchases of at most so many customers, the same ones for the same table."""
    names = pc.unique(events["customer_id"]).sort()
    if len(names) <= most:
        return events
    say(f"{most:,} of {len(names):,} customers are looked at, drawn by chance")
    kept = names.take(pa.array(sample_rows(len(names), most)))
    return events.filter(pc.is_in(events["customer_id"], kept))


def _foreseen(found: Splits, kind: SplitKind) -> str:
    if kind is SplitKind.LEAVE_LAST:
        return "each customer's last order"
    days, first = found.tested.days, found.test.day.toordinal() + 1
    last = date.fromordinal(first + days - 1)
    return f"what is bought from {date.fromordinal(first)} to {last} ({days} day{'s' if days > 1 else ''})"


def _offered(history: PurchaseHistory) -> BoolArray:
    """Which items are warm by the protocol."""
    return np.bincount(history.items, minlength=history.width) >= WARM_PURCHASES


def _windows(found: Splits, catalogue: Catalogue, chosen: RecommenderSettings) -> list[TrainingWindow]:
    """The past windows in which anything was bought by who had bought before."""
    windows = []
    for cut in found.past:
        history = PurchaseHistory.of_lines(cut.lines(), catalogue)
        truth = cut.bought(pa.array(catalogue.item_ids, pa.string())).among(history.customer_ids)
        if len(truth.rows):
            sources = CandidateSources.fit(history, catalogue, _offered(history), chosen)
            windows.append(TrainingWindow(sources, history, truth))
    if not windows:
        raise TooShortError("found nobody who bought before a past window and in it; a longer past is needed")
    return windows


def _shelves(
    items: pa.Table | None, bought: pa.Array, space: EmbeddingSpace, say: Notify
) -> tuple[Catalogue, Catalogue]:
    """What was bought, and with it what was not."""
    known = items if items is not None else _nameless(bought.slice(0, 0))
    sold = pc.is_in(known["item_id"], bought)
    missing = bought.filter(pc.invert(pc.is_in(bought, known["item_id"])))
    on_shelf = pa.concat_tables([known.filter(sold), _nameless(missing)])
    unsold = known.filter(pc.invert(sold))
    if unsold.num_rows > MOST_UNSOLD:
        say(f"{MOST_UNSOLD:,} of {unsold.num_rows:,} items that nobody had bought are ranked")
        unsold = unsold.take(pa.array(sample_rows(unsold.num_rows, MOST_UNSOLD)))
    if items is None:
        return Catalogue.of(on_shelf), Catalogue.of(on_shelf)
    if len(missing):
        say(f"{len(missing):,} items that were bought are not among the items: nothing is known of them")
    first, second = _hashed(on_shelf, space), _hashed(unsold, space)
    vectors = _encoded(first, first.slice(0, 0), space, say)
    rest = _encoded(second, first, space, say) if vectors is not None else None
    catalogue = Catalogue.of(on_shelf, first.drop("text"), vectors)
    both = None if vectors is None or rest is None else pa.concat_tables([vectors, rest])
    hashes = pa.concat_tables([first, second]).drop("text")
    return catalogue, Catalogue.of(pa.concat_tables([on_shelf, unsold]), hashes, both)


def _nameless(item_ids: pa.Array) -> pa.Table:
    nothing = pa.nulls(len(item_ids), pa.string())
    return pa.table(
        {"item_id": item_ids, "title": pc.fill_null(nothing, ""), "category": nothing, "brand": nothing}
    )


def _hashed(items: pa.Table, space: EmbeddingSpace) -> pa.Table:
    """`item_id, text_hash, text` of the items that say anything."""
    told = items.append_column("attributes", pa.nulls(items.num_rows, pa.string()))
    found = texts(ibis.memtable(told), space.text)
    return found.filter(found.text != "").select("item_id", "text_hash", "text").to_pyarrow()


def _encoded(hashed: pa.Table, done: pa.Table, space: EmbeddingSpace, say: Notify) -> pa.Table | None:
    """`text_hash, vector` of the different texts that are not done yet; None: there is no encoder."""
    known = pc.unique(done["text_hash"])
    different = hashed.select(["text_hash", "text"]).group_by(["text_hash", "text"]).aggregate([])
    new = different.filter(pc.invert(pc.is_in(different["text_hash"], known))).sort_by("text_hash")
    room = max(0, MOST_TEXTS - len(known))
    if new.num_rows > room:
        say(f"{room:,} of {new.num_rows:,} texts are encoded; the other items go by category and brand")
    asked = new.slice(0, room)
    try:
        model = encoder.load(space.encoder)
    except encoder.EncoderError as error:
        say(f"no texts are encoded, items go by category and brand: {error}")
        return None
    if asked.num_rows:
        say(f"encoding {asked.num_rows:,} texts")
    flat = model.encode(asked["text"].to_pylist())
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), model.width)
    return pa.table({"text_hash": asked["text_hash"].combine_chunks(), "vector": vectors})
