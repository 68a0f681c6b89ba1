"""The candidate of a day: what was known on past days is read from the lake, then both fits are learned."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import BoolArray, IntArray
from perennial.foundation.embedding_spaces import in_force, texts
from perennial.foundation.lake import Lake
from perennial.foundation.modelling.promotion import WINDOW
from perennial.recommend.arrays.lookup import sample_rows
from perennial.recommend.data import tables
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchases_in_window
from perennial.recommend.features.promotions import promotion_features
from perennial.recommend.fit import TrainingWindow, fit_recommender, with_sequence_model
from perennial.recommend.lists import eligibility
from perennial.recommend.lists.phrases import languages
from perennial.recommend.recommender import Recommender
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.settings import RecommenderSettings
from perennial.recommend.sources import new_items
from perennial.recommend.sources.retrieval import CandidateSources


class TooLittleHistoryError(RuntimeError):
    """There are not enough past purchases to learn from and be judged."""


def fit_both(
    lake: Lake, day: date, chosen: RecommenderSettings, warm: SequenceModel | None = None
) -> tuple[Recommender, WindowPurchases]:
    """Both fits, and the examination on the newest window, of which the judged fit knows nothing.

    Args:
        lake: pinned.
        day: the day.
        chosen: how.
        warm: the sequence model of an earlier day, to start from.
    """
    eligibility.check_names(chosen.eligibility, Catalogue.of(tables.item_names(lake.known("items", day))))
    items = tables.merchandise(lake.known("items", day), chosen.excluded_categories)
    backs = _windows(chosen)
    days = [day, *(day - timedelta(back) for back in backs)]
    customers = _drawn(lake, day, chosen.customers)
    bought = [_lines(lake, one, customers) for one in days]
    catalogue, available, listed = _shelf(lake, items, bought[0], day)
    histories = [PurchaseHistory.of_lines(one, catalogue) for one in bought]
    papers = [
        purchases_in_window(tables.purchases(lake.known("events", one + WINDOW)), items, one, WINDOW).among(
            history.customer_ids
        )
        for one, history in zip(days[1:], histories[1:], strict=True)
    ]
    early = [truth for back, truth in zip(backs, papers, strict=True) if back >= 2 * WINDOW.days]
    if not len(papers[0].rows) or not any(len(truth.rows) for truth in early):
        raise TooLittleHistoryError(f"training for {day}: nobody bought both before and after {days[-1]}")
    some = [history for history in histories if len(history)]
    told = [promotion_features(lake.known("promotions", one), catalogue, one) for one in days[: len(some)]]
    fits = [
        CandidateSources.fit(history, catalogue, available, chosen, one)
        for history, one in zip(some, told, strict=True)
    ]
    sources = with_sequence_model(fits, some, warm)
    windows = {
        back: TrainingWindow(known, history, truth)
        for back, known, history, truth in zip(backs, sources[1:], histories[1:], papers, strict=False)
        if len(truth.rows)
    }
    over = [window for back, window in windows.items() if back >= 2 * WINDOW.days]
    new = [
        new_items.newest_items(history, catalogue, listed - back, available, chosen.exploration)
        for history, back in zip(histories, (0, backs[0]), strict=False)
    ]
    served = fit_recommender(
        sources[0], histories[0], list(windows.values())[: chosen.ranker.windows], new[0]
    )
    judged = fit_recommender(sources[1], histories[1], over[: chosen.ranker.windows], new[1])
    return Recommender(judged, served, available, day, languages()), papers[0]


def _windows(chosen: RecommenderSettings) -> list[int]:
    """How many days ago the windows begin that are learned from, the newest first.

    Further back than a served fit asks for, since the judged one may not learn from a window that overlaps
    with the newest.
    """
    apart = chosen.ranker.every_days
    count = chosen.ranker.windows + -(-WINDOW.days // apart)
    return [WINDOW.days + apart * number for number in range(count)]


def _drawn(lake: Lake, day: date, most: int) -> ir.Table | None:
    """The customers to learn from, drawn by chance; None: everybody."""
    events = lake.known("events", day)
    names = events.filter(events.event_type == "purchase").select("customer_id").distinct()
    if names.count().to_pyarrow().as_py() <= most:
        return None
    held = names.order_by("customer_id").to_pyarrow()
    return ibis.memtable(held.take(pa.array(sample_rows(held.num_rows, most))))


def _lines(lake: Lake, day: date, customers: ir.Table | None) -> pa.Table:
    """What customers had bought by the end of the day, as known then."""
    events = lake.known("events", day)
    asked = events if customers is None else events.semi_join(customers, "customer_id")
    return tables.order_lines(asked, day).to_pyarrow()


def _shelf(lake: Lake, items: ir.Table, bought: pa.Table, day: date) -> tuple[Catalogue, BoolArray, IntArray]:
    """The items that somebody bought and those that are new, with the vectors of their texts in force.

    Returns:
        The catalogue; which items are available; days since each entered the catalogue, −1 where not known.
    """
    space = in_force(lake, day)
    sold = items.item_id.isin(ibis.memtable(bought.select(["item_id"])).distinct().item_id)
    new = items.available & (items.listed_on > day - timedelta(new_items.NEW_DAYS))
    wanted = items.filter(sold | new.fill_null(False))
    hashes = texts(wanted, space.text).drop("text").to_pyarrow()
    held = lake.read("item_embeddings")
    needed = ibis.memtable(hashes.select(["text_hash"])).distinct()
    vectors = held.filter(held.encoder == space.key).semi_join(needed, "text_hash")
    known = (
        wanted.select("item_id", "title", "category", "brand", "available", "listed_on")
        .to_pyarrow()
        .sort_by("item_id")
    )
    catalogue = Catalogue.of(
        known, hashes, vectors.select("text_hash", "vector").order_by("text_hash").to_pyarrow()
    )
    listed = known["listed_on"].cast(pa.int32()).to_pandas()
    since = (day - date(1970, 1, 1)).days - listed
    return catalogue, known["available"].to_numpy(), since.fillna(-1).to_numpy().astype(np.int64)
