"""The candidate of a day: first everything is read from the lake, then both fits are learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.foundation.embedding_spaces import in_force
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake
from perennial.foundation.modelling.promotion import WINDOW
from perennial.recommend.arrays.lookup import sample_rows
from perennial.recommend.data import tables
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchases_in_window
from perennial.recommend.features.promotions import promotion_features
from perennial.recommend.fit import Fit, TrainingWindow, fit_recommender, with_sequence_model
from perennial.recommend.lists import eligibility
from perennial.recommend.lists.phrases import languages
from perennial.recommend.recommender import Recommender
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.settings import RecommenderSettings
from perennial.recommend.sources.new_items import NEW_DAYS, newest_items
from perennial.recommend.sources.retrieval import CandidateSources


class TooLittleHistoryError(RuntimeError):
    """There are not enough past purchases to learn from and be judged."""


@dataclass(frozen=True)
class PastDay:
    """What was known at the end of a day.

    Args:
        days_ago: how long before the day of training.
        history: of the customers to learn from.
        promoted: the columns `promotions.NAMES` of each item, shape (items, len(NAMES)).
        purchases: of those customers in the window that follows; None on the day of training.
    """

    days_ago: int
    history: PurchaseHistory
    promoted: Float32Array
    purchases: WindowPurchases | None


@dataclass(frozen=True)
class TrainingData:
    """Everything that is read from the lake.

    Args:
        day: the day of training.
        catalogue: the items.
        available: which of them can be sold on the day, shape (items,).
        days_listed: days since each item entered the catalogue, −1 where not known, shape (items,).
        past: the day itself, and the days before the training windows, the newest first.
    """

    day: date
    catalogue: Catalogue
    available: BoolArray
    days_listed: IntArray
    past: tuple[PastDay, ...]


def fit_both(
    lake: Lake, day: date, settings: RecommenderSettings, warm: SequenceModel | None = None
) -> tuple[Recommender, WindowPurchases]:
    """Both fits, and the purchases of the newest window, of which the judged fit knows nothing.

    Args:
        lake: pinned.
        day: the day.
        settings: of the recommender.
        warm: the sequence model of an earlier day, to start from.

    Raises:
        TooLittleHistoryError: nobody bought both before and in one of the last two windows.
    """
    return fit(read(lake, day, settings), settings, warm)


def read(lake: Lake, day: date, settings: RecommenderSettings) -> TrainingData:
    """Read what both fits learn from.

    Raises:
        ConfigError: an eligibility rule names what no item has.
        TooLittleHistoryError: nobody bought both before and in one of the last two windows.
    """
    all_items = lake.known("items", day)
    eligibility.check_names(settings.eligibility, Catalogue.of(tables.item_names(all_items)))
    items = tables.merchandise(all_items, settings.excluded_categories)
    customers = _customers(lake, day, settings.customers)
    days_ago = [0, *_windows(settings)]
    lines = [_order_lines(lake, day - timedelta(ago), customers) for ago in days_ago]
    catalogue, available, days_listed = _catalogue(lake, items, lines[0], day)
    past = []
    for ago, of_day in zip(days_ago, lines, strict=True):
        history, then = PurchaseHistory.of_lines(of_day, catalogue), day - timedelta(ago)
        promoted = promotion_features(lake.known("promotions", then), catalogue, then)
        purchases = _purchases_after(lake, items, then, history) if ago else None
        past.append(PastDay(ago, history, promoted, purchases))
    _check_enough(day, past)
    return TrainingData(day, catalogue, available, days_listed, tuple(past))


def fit(
    data: TrainingData, settings: RecommenderSettings, warm: SequenceModel | None = None
) -> tuple[Recommender, WindowPurchases]:
    """Learn both fits; the purchases of the newest window come with them, to judge by.

    Args:
        data: what was read.
        settings: of the recommender.
        warm: a sequence model to start from.
    """
    past = [of_day for of_day in data.past if len(of_day.history)]
    sources = with_sequence_model(
        [
            CandidateSources.fit(of_day.history, data.catalogue, data.available, settings, of_day.promoted)
            for of_day in past
        ],
        [of_day.history for of_day in past],
        warm,
    )
    windows = {
        of_day.days_ago: TrainingWindow(of_window, of_day.history, of_day.purchases)
        for of_day, of_window in zip(past, sources, strict=True)
        if of_day.purchases is not None and len(of_day.purchases.rows)
    }
    served = _fit_of(data, sources[0], past[0], list(windows.values()))
    # The judged fit may not learn from a window that overlaps with the newest.
    early = [window for days_ago, window in windows.items() if days_ago >= 2 * WINDOW.days]
    judged = _fit_of(data, sources[1], past[1], early)
    newest = past[1].purchases
    assert newest is not None
    return Recommender(judged, served, data.available, data.day, languages()), newest


def _fit_of(
    data: TrainingData, sources: CandidateSources, of_day: PastDay, windows: Sequence[TrainingWindow]
) -> Fit:
    """The fit as of a past day, from the newest of the windows."""
    settings, days_listed = sources.settings, data.days_listed - of_day.days_ago
    new = newest_items(of_day.history, data.catalogue, days_listed, data.available, settings.exploration)
    return fit_recommender(sources, of_day.history, windows[: settings.ranker.windows], new)


def _windows(settings: RecommenderSettings) -> list[int]:
    """How many days ago the training windows begin, the newest first.

    There are more than the served fit needs, because the judged fit may not learn from a window that overlaps
    with the newest.
    """
    apart = settings.ranker.every_days
    count = settings.ranker.windows + -(-WINDOW.days // apart)
    return [WINDOW.days + apart * number for number in range(count)]


def _customers(lake: Lake, day: date, most: int) -> ir.Table | None:
    """The customers to learn from, drawn by chance; None: all of them."""
    events = lake.known("events", day)
    buyers = events.filter(events.event_type == "purchase").select("customer_id").distinct()
    if buyers.count().to_pyarrow().as_py() <= most:
        return None
    names = buyers.order_by("customer_id").to_pyarrow()
    return ibis.memtable(names.take(pa.array(sample_rows(names.num_rows, most))))


def _order_lines(lake: Lake, day: date, customers: ir.Table | None) -> pa.Table:
    """What customers had bought by the end of the day, as known then."""
    events = lake.known("events", day)
    of_customers = events if customers is None else events.semi_join(customers, "customer_id")
    return tables.order_lines(of_customers, day).to_pyarrow()


def _purchases_after(lake: Lake, items: ir.Table, day: date, history: PurchaseHistory) -> WindowPurchases:
    """What the customers of a history bought in the window after the day."""
    purchases = tables.purchases(lake.known("events", day + WINDOW))
    return purchases_in_window(purchases, items, day, WINDOW).among(history.customer_ids)


def _check_enough(day: date, past: Sequence[PastDay]) -> None:
    """Refuse to train without purchases in the newest window, or in all windows that end before it.

    Raises:
        TooLittleHistoryError: it says since when purchases were looked for.
    """
    bought = {of_day.days_ago: len(of_day.purchases.rows) for of_day in past if of_day.purchases is not None}
    early = [lines for days_ago, lines in bought.items() if days_ago >= 2 * WINDOW.days]
    if not bought[WINDOW.days] or not any(early):
        oldest = day - timedelta(max(bought))
        raise TooLittleHistoryError(f"training for {day}: nobody bought both before and after {oldest}")


def _catalogue(
    lake: Lake, items: ir.Table, lines: pa.Table, day: date
) -> tuple[Catalogue, BoolArray, IntArray]:
    """The items that somebody bought and those that are new, with the vectors of their texts in force.

    Returns:
        The catalogue; which items are available; days since each entered the catalogue, −1 where not known.
    """
    space = in_force(lake, day)
    is_sold = items.item_id.isin(ibis.memtable(lines.select(["item_id"])).distinct().item_id)
    is_new = items.available & (items.listed_on > day - timedelta(NEW_DAYS))
    wanted = items.filter(is_sold | is_new.fill_null(False))
    hashes = texts(wanted, space.text).drop("text").to_pyarrow()
    embeddings = lake.read("item_embeddings")
    needed = ibis.memtable(hashes.select(["text_hash"])).distinct()
    vectors = embeddings.filter(embeddings.encoder == space.key).semi_join(needed, "text_hash")
    columns = wanted.select("item_id", "title", "category", "brand", "available", "listed_on")
    known = columns.to_pyarrow().sort_by("item_id")
    sorted_vectors = vectors.select("text_hash", "vector").order_by("text_hash").to_pyarrow()
    catalogue = Catalogue.of(known, hashes, sorted_vectors)
    listed = known["listed_on"].cast(pa.int32()).to_pandas()
    days_listed = ((day - date(1970, 1, 1)).days - listed).fillna(-1).to_numpy().astype(np.int64)
    return catalogue, known["available"].to_numpy(), days_listed
