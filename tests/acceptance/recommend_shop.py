"""Test months of the demo's year: what was known before each, and what was bought in it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from perennial.foundation import encoder
from perennial.foundation.arrays import BoolArray, Float32Array, FloatArray, IntArray
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake
from perennial.foundation.modelling.promotion import WINDOW
from perennial.recommend.data import tables
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchases_in_window
from perennial.recommend.evaluation.ranking_task import WARM_PURCHASES, RankingTask, ranking_task
from perennial.recommend.features.promotions import promotion_features
from perennial.recommend.fit import Fit, TrainingWindow, fit_recommender
from perennial.recommend.settings import RecommenderSettings, recommender_settings
from perennial.recommend.sources.retrieval import CandidateSources
from tests.acceptance import year

TUNED_ON = date(2017, 9, 1)
TESTED = (date(2017, 10, 1), date(2017, 11, 1), date(2017, 12, 1))
MONTHS = (TUNED_ON, *TESTED)
"""All cases read these, so that one run reads them once."""


@dataclass(frozen=True)
class Past:
    """What was known at the end of a day, and what was bought in the 28 days that follow.

    Args:
        promoted: what `promotions` says of each item; None: nothing is promoted.
    """

    history: PurchaseHistory
    after: WindowPurchases
    promoted: Float32Array | None = None

    def sources(
        self, catalogue: Catalogue, offered: BoolArray, settings: RecommenderSettings
    ) -> CandidateSources:
        """As of the day."""
        return CandidateSources.fit(self.history, catalogue, offered, settings, self.promoted)


@dataclass(frozen=True)
class Month:
    """A test month.

    Args:
        first: its first day.
        truth: who bought what before it and in it.
        catalogue: what anybody had bought before.
        eve: the last day that may be known.
        pasts: days whose windows had ended by the eve, the newest first.
        wider: the catalogue, and what was sold for the first time in the month.
        unseen: who bought what of the latter in the month.
        reading_seconds: that all this took to read.
    """

    first: date
    truth: RankingTask
    catalogue: Catalogue
    eve: Past
    pasts: Sequence[Past]
    wider: Catalogue
    unseen: WindowPurchases
    reading_seconds: float

    @cached_property
    def warm(self) -> IntArray:
        """The row in the catalogue of each warm item, in the order of the split."""
        return self.catalogue.find(pa.array(self.truth.item_ids[: self.truth.warm], pa.string()))

    @cached_property
    def rows(self) -> IntArray:
        """The row in the history of each customer of the split."""
        return self.eve.history.find(pa.array(self.truth.customer_ids, pa.string()))

    @cached_property
    def history(self) -> PurchaseHistory:
        """What the customers of the split had bought, in its order."""
        return self.eve.history.of(self.rows)

    @cached_property
    def vectors(self) -> Float32Array:
        """Of each warm item's text, of unit length, zeros for none, shape (warm, width)."""
        return self.catalogue.unit_text_vectors(self.warm)

    @cached_property
    def shares(self) -> FloatArray:
        """Of all customers who bought each warm item before, shape (warm,)."""
        buyers = np.bincount(self.eve.history.bought.indices, minlength=len(self.catalogue))
        return buyers[self.warm] / len(self.eve.history)

    @cached_property
    def sources(self) -> CandidateSources:
        """As of the eve."""
        return self.eve.sources(self.catalogue, self.offered(self.eve), recommender_settings())

    @cached_property
    def learned(self) -> tuple[Fit, float]:
        """The recommender as of the eve, and the seconds that it took to learn."""
        began = time.monotonic()
        fit = fit_recommender(self.sources, self.eve.history, self.windows())
        return fit, time.monotonic() - began

    def windows(self) -> list[TrainingWindow]:
        """The past windows, each with sources as of the day before it."""
        settings = recommender_settings()
        return [
            TrainingWindow(
                past.sources(self.catalogue, self.offered(past), settings), past.history, past.after
            )
            for past in self.pasts
        ]

    def offered(self, past: Past) -> BoolArray:
        """Which items of the catalogue are warm by the protocol at a time."""
        if past is not self.eve:
            return np.bincount(past.history.items, minlength=len(self.catalogue)) >= WARM_PURCHASES
        is_warm = np.zeros(len(self.catalogue), bool)
        is_warm[self.warm] = True
        return is_warm

    def probabilities(self, fit: Fit, history: PurchaseHistory) -> Float32Array:
        """Of each warm item for customers, −∞ for items that are not candidates, shape (customers, warm)."""
        columns = np.full(len(self.catalogue), -1)
        columns[self.warm] = np.arange(len(self.warm))
        probabilities = np.full((len(history), len(self.warm)), -np.inf, np.float32)
        for rows, block, candidates in fit.sources.candidates(history):
            at = rows[candidates.rows], columns[candidates.items]
            probabilities[at] = fit.ranker.probability(block, candidates)
        return probabilities


@cache
def months(*firsts: date, promoted_ahead: timedelta | None = None) -> dict[date, Month]:
    """The months that begin on these days, with the vectors of all texts, encoded now.

    Args:
        firsts: the days.
        promoted_ahead: how long before it begins each promotion is known; None: there are none.
    """
    with year.shop(promoted_ahead) as lake:
        shop = _Shop.of(lake)
        return {first: _month(shop, first) for first in firsts}


@dataclass(frozen=True)
class _Shop:
    lake: Lake
    hashes: pa.Table
    vectors: pa.Table

    @classmethod
    def of(cls, lake: Lake) -> "_Shop":
        space = embedding_settings().start
        item_texts = texts(lake.read("items"), space.text).select("item_id", "text_hash", "text").to_pyarrow()
        different = item_texts.select(["text_hash", "text"]).group_by(["text_hash", "text"]).aggregate([])
        return cls(
            lake, item_texts.select(["item_id", "text_hash"]), _encoded(different.sort_by("text_hash"))
        )

    def wares(self, day: date) -> ir.Table:
        known = self.lake.known("items", day)
        return tables.merchandise(known, recommender_settings().excluded_categories)

    def bought(self, day: date) -> ir.Table:
        return tables.purchases(self.lake.known("events", day))

    def catalogue(self, items: ir.Table) -> Catalogue:
        known = items.select("item_id", "title", "category", "brand").to_pyarrow()
        return Catalogue.of(known, self.hashes, self.vectors)

    def past(self, catalogue: Catalogue, day: date) -> Past:
        lines = tables.order_lines(self.lake.known("events", day), day).to_pyarrow()
        items = ibis.memtable(pa.table({"item_id": catalogue.item_ids}))
        after = purchases_in_window(self.bought(day + WINDOW), items, day, WINDOW)
        promoted = promotion_features(self.lake.known("promotions", day), catalogue, day)
        return Past(PurchaseHistory.of_lines(lines, catalogue), after, promoted)


def _month(shop: _Shop, first: date) -> Month:
    eve, end = first - timedelta(days=1), (first + timedelta(days=32)).replace(day=1)
    wares, before, then = shop.wares(eve), shop.bought(eve), shop.bought(end)
    new = shop.wares(end).anti_join(before, "item_id")
    truth, unseen = ranking_task(before, then, wares, first), purchases_in_window(then, new, eve, end - first)
    sold = ibis.memtable(pa.table({"item_id": unseen.item_ids.unique()}))
    catalogue = shop.catalogue(wares.semi_join(before, "item_id"))
    wider = shop.catalogue(ibis.union(wares.semi_join(before, "item_id"), new.semi_join(sold, "item_id")))
    began, ranker = time.monotonic(), recommender_settings().ranker
    last = shop.past(catalogue, eve)
    days = [eve - WINDOW - timedelta(days=ranker.every_days * back) for back in range(ranker.windows)]
    pasts = [shop.past(catalogue, day) for day in days]
    return Month(first, truth, catalogue, last, pasts, wider, unseen, time.monotonic() - began)


def _encoded(different: pa.Table) -> pa.Table:
    flat = encoder.load(embedding_settings().start.encoder).encode(different["text"].to_pylist())
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    return pa.table({"text_hash": different["text_hash"], "vector": vectors})
