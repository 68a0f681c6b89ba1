"""The recommender evaluated on any purchases: trained on their past, tested on what came after.

Catalogue, histories, sources, ranker and evaluation are those of the daily model. Only the input is
different: tables instead of the lake.
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

MAX_TEXTS = 50_000
"""The most texts that are encoded, those of purchased items first."""
MAX_UNSOLD_ITEMS = 50_000
"""The most items without a purchase that are ranked, a random sample if there are more."""
Notify = Callable[[str], None]
"""Called with a sentence about the next step, or about something in the data."""


@dataclass(frozen=True)
class Trial:
    """The result of an evaluation.

    Args:
        comparison: how well each method ranks.
        kind: how purchases were split into past and future.
        predicted: which purchases were predicted, in words.
        customers: how many customers were used.
        items: how many items had a purchase before the test.
        texts: how many different texts have a vector; 0: the items have no texts, or there is no encoder.
    """

    comparison: Comparison
    kind: SplitKind
    predicted: str
    customers: int
    items: int
    texts: int


def evaluate(
    events: pa.Table,
    items: pa.Table | None,
    kind: SplitKind,
    settings: RecommenderSettings,
    space: EmbeddingSpace,
    first: date | None = None,
    notify: Notify = lambda sentence: None,
    progress: Progress = lambda done, total: None,
) -> Trial:
    """Train on the purchases before the test, and evaluate on the purchases after.

    Args:
        events: as `tables.Purchases.events`.
        items: as `tables.items` returns them, also those without a purchase; None: nothing is known of them.
        kind: how purchases are split into past and future.
        settings: of the daily model.
        space: the encoder and the template of the item texts.
        first: the first day to predict of a temporal split; None: the test is one window long.
        notify: called before each step.
        progress: called after each block of judged customers.

    Raises:
        TooShortError: there are too few purchases to train on, or to test on.
    """
    sampled = _sample(events, settings.customers, notify)
    windows, event_table = settings.ranker.windows, ibis.memtable(sampled)
    if kind is SplitKind.TEMPORAL:
        split = splits.temporal(event_table, windows, settings.ranker.every_days, first)
    else:
        split = splits.leave_last(event_table, windows)
    predicted = _predicted(split, kind)
    notify(f"to predict: {predicted}")
    lines = split.test.order_lines()
    catalogue, whole_catalogue = _catalogues(items, pc.unique(lines["item_id"]), space, notify)
    history = PurchaseHistory.of_lines(lines, catalogue)
    offered = _warm_items(history)
    if not offered.any():
        raise TooShortError(
            f"no item was bought {WARM_PURCHASES} times before the test; at least one is needed"
        )
    notify(
        f"training on {len(history.items):,} lines of {len(history):,} customers, {len(catalogue):,} items"
    )
    sources = CandidateSources.fit(history, catalogue, offered, settings)
    fit = fit_recommender(sources, history, _windows(split, catalogue, settings))
    truth = split.test.purchases_after(pa.array(whole_catalogue.item_ids, pa.string()), split.test_length)
    if not np.isin(truth.customer_ids.astype(str), history.customer_ids.astype(str)).any():
        raise TooShortError(f"no customer bought both before the test and in it; to predict: {predicted}")
    notify("judging the ranker, and each source alone")
    window_truth = split.test.purchases_after(pa.array(catalogue.item_ids, pa.string()))
    wide_sources = comparison.widened(sources, history)
    compared = comparison.compare(fit, truth, window_truth, wide_sources, whole_catalogue, progress=progress)
    customers = pc.count_distinct(sampled["customer_id"]).as_py()
    return Trial(compared, kind, predicted, customers, len(catalogue), len(catalogue.vectors))


def _sample(events: pa.Table, most: int, notify: Notify) -> pa.Table:
    """The purchases of at most so many customers; the same customers for the same table."""
    names = pc.unique(events["customer_id"]).sort()
    if len(names) <= most:
        return events
    notify(f"{most:,} of {len(names):,} customers are used, a random sample")
    sampled = names.take(pa.array(sample_rows(len(names), most)))
    return events.filter(pc.is_in(events["customer_id"], sampled))


def _predicted(split: Splits, kind: SplitKind) -> str:
    if kind is SplitKind.LEAVE_LAST:
        return "each customer's last order"
    days, first = split.test_length.days, split.test.day.toordinal() + 1
    last = date.fromordinal(first + days - 1)
    return f"what is bought from {date.fromordinal(first)} to {last} ({days} day{'s' if days > 1 else ''})"


def _warm_items(history: PurchaseHistory) -> BoolArray:
    """Which items are warm by the protocol, shape (items,)."""
    return np.bincount(history.items, minlength=history.width) >= WARM_PURCHASES


def _windows(split: Splits, catalogue: Catalogue, settings: RecommenderSettings) -> list[TrainingWindow]:
    """The past windows in which a customer with earlier purchases bought something.

    Raises:
        TooShortError: there is no such window.
    """
    windows = []
    for cutoff in split.past:
        history = PurchaseHistory.of_lines(cutoff.order_lines(), catalogue)
        item_ids = pa.array(catalogue.item_ids, pa.string())
        purchases = cutoff.purchases_after(item_ids).among(history.customer_ids)
        if len(purchases.rows):
            sources = CandidateSources.fit(history, catalogue, _warm_items(history), settings)
            windows.append(TrainingWindow(sources, history, purchases))
    if not windows:
        raise TooShortError(
            "no customer bought both before a past window and in it; purchases over a longer time are needed"
        )
    return windows


def _catalogues(
    items: pa.Table | None, bought: pa.Array, space: EmbeddingSpace, notify: Notify
) -> tuple[Catalogue, Catalogue]:
    """The catalogue of the purchased items, and the same with the items without a purchase.

    Args:
        items: as of `evaluate`.
        bought: the ids of the purchased items.
        space: the encoder and the template of the item texts.
        notify: called with a sentence about what is left out.
    """
    known = items if items is not None else _unknown_items(bought.slice(0, 0))
    is_sold = pc.is_in(known["item_id"], bought)
    missing = bought.filter(pc.invert(pc.is_in(bought, known["item_id"])))
    sold = pa.concat_tables([known.filter(is_sold), _unknown_items(missing)])
    unsold = known.filter(pc.invert(is_sold))
    if unsold.num_rows > MAX_UNSOLD_ITEMS:
        notify(f"{MAX_UNSOLD_ITEMS:,} of {unsold.num_rows:,} items without a purchase are ranked")
        unsold = unsold.take(pa.array(sample_rows(unsold.num_rows, MAX_UNSOLD_ITEMS)))
    if items is None:
        return Catalogue.of(sold), Catalogue.of(sold)
    if len(missing):
        notify(f"{len(missing):,} purchased items are not in ITEMS: nothing is known about them")
    sold_texts, unsold_texts = _texts(sold, space), _texts(unsold, space)
    vectors = _encode(sold_texts, sold_texts.slice(0, 0), space, notify)
    more_vectors = _encode(unsold_texts, sold_texts, space, notify) if vectors is not None else None
    catalogue = Catalogue.of(sold, sold_texts.drop("text"), vectors)
    all_vectors = (
        None if vectors is None or more_vectors is None else pa.concat_tables([vectors, more_vectors])
    )
    all_hashes = pa.concat_tables([sold_texts, unsold_texts]).drop("text")
    return catalogue, Catalogue.of(pa.concat_tables([sold, unsold]), all_hashes, all_vectors)


def _unknown_items(item_ids: pa.Array) -> pa.Table:
    """Items without title, category and brand."""
    nothing = pa.nulls(len(item_ids), pa.string())
    return pa.table(
        {"item_id": item_ids, "title": pc.fill_null(nothing, ""), "category": nothing, "brand": nothing}
    )


def _texts(items: pa.Table, space: EmbeddingSpace) -> pa.Table:
    """`item_id, text_hash, text` of the items with a text."""
    with_attributes = items.append_column("attributes", pa.nulls(items.num_rows, pa.string()))
    item_texts = texts(ibis.memtable(with_attributes), space.text)
    return item_texts.filter(item_texts.text != "").select("item_id", "text_hash", "text").to_pyarrow()


def _encode(
    item_texts: pa.Table, encoded: pa.Table, space: EmbeddingSpace, notify: Notify
) -> pa.Table | None:
    """`text_hash, vector` of the different texts that are not encoded yet; None: there is no encoder."""
    known = pc.unique(encoded["text_hash"])
    different = item_texts.select(["text_hash", "text"]).group_by(["text_hash", "text"]).aggregate([])
    new = different.filter(pc.invert(pc.is_in(different["text_hash"], known))).sort_by("text_hash")
    room = max(0, MAX_TEXTS - len(known))
    if new.num_rows > room:
        notify(
            f"{room:,} of {new.num_rows:,} texts are encoded; "
            "for the other items only category and brand count"
        )
    to_encode = new.slice(0, room)
    try:
        model = encoder.load(space.encoder)
    except encoder.EncoderError as error:
        notify(f"no texts are encoded, only category and brand count: {error}")
        return None
    if to_encode.num_rows:
        notify(f"encoding {to_encode.num_rows:,} texts")
    flat = model.encode(to_encode["text"].to_pylist())
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), model.width)
    return pa.table({"text_hash": to_encode["text_hash"].combine_chunks(), "vector": vectors})
