"""What nobody has bought yet, and customers of whom little is known.

Items first sold in a test month are ranked among themselves, by what their texts, kinds and brands say.
Of the customers every second one is cut to the first orders: the rest of what they bought is forgotten, and
what is left is moved to where their newest order was, as if they had come then. All learn from the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import Float32Array, IntArray, StringArray
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.evaluation.metrics import evaluate, judge, top_items
from perennial.recommend.evaluation.ranking_task import Slice
from perennial.recommend.features.matrix import HALF_LIFE_DAYS, CustomerBlock
from perennial.recommend.settings import PurchaseWeighting, recommender_settings
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources
from tests.acceptance import recommend_shop
from tests.acceptance.lines import Line, at_least
from tests.acceptance.month_intervals import over_months
from tests.acceptance.recommend_peers import filled
from tests.acceptance.recommend_shop import MONTHS, TESTED, Month, Past

DEPTH = 50
ORDERS = (1, 2, 3)
OURS = "perennial"
TASTE = PurchaseWeighting(half_life_days=90, power=1)
_BLOCK = 256


def cold() -> Iterator[Line]:
    """New items against chance and the category's popularity; new customers against every single source."""
    by_first_day = recommend_shop.months(*MONTHS)
    tested = [by_first_day[first] for first in TESTED]
    yield from new_items(tested)
    yield from new_customers(tested)


def new_items(tested: Sequence[Month]) -> Iterator[Line]:
    """Recall at 50 among the items first sold in the month, averaged over months."""
    recalls: dict[str, list[np.ndarray]] = {}
    chance, who = [], []
    for month in tested:
        everybody, items, wanted, customers = unseen(month)
        history = everybody.of(everybody.find(pa.array(customers, pa.string())))
        new = NewItems.fit(everybody, month.wider, items, TASTE)
        methods = {OURS: new.scores(history), "text alone": new.content.cosines(history)}
        methods |= by_category(everybody, month, items, len(history))
        for name, scores in methods.items():
            hits = np.take_along_axis(wanted, top_items(scores, DEPTH), axis=1)
            recalls.setdefault(name, []).append(evaluate(hits, wanted.sum(axis=1)).recall)
        chance.append(DEPTH / len(items))
        who.append(customers)
        shown = ", ".join(f"{name} {values[-1].mean():.4f}" for name, values in recalls.items())
        print(
            f"  {month.first:%B}: {len(items)} items first sold, {len(history)} customers: {shown}",
            flush=True,
        )
        print(f"    by chance {chance[-1]:.4f}", flush=True)
    ours = over_months(recalls[OURS], who)
    yield at_least("recommend.cold_items_times_chance", ours.mean / float(np.mean(chance)), 2, "")
    for name in ("popularity of the kind", "new items of the kind"):
        less = over_months([a - b for a, b in zip(recalls[OURS], recalls[name], strict=True)], who)
        print(f"  {OURS} less {name}: {less.mean:+.4f}, 95 % {less.low:+.4f} to {less.high:+.4f}, paired")
        yield at_least(f"recommend.cold_items_less_{name.replace(' ', '_')}_low", less.low, 0, "")


def new_customers(tested: Sequence[Month]) -> Iterator[Line]:
    """NDCG@10 over all warm items of customers cut to 1, 2 and 3 orders: ours less the best source."""
    by_orders: dict[int, dict[str, list[np.ndarray]]] = {orders: {} for orders in ORDERS}
    who: list[StringArray] = []
    for month in tested:
        held_out, others = apart(month)
        wide = _all_ranked(others)
        for orders, judged in by_orders.items():
            scores = _scores_of_all(others, wide, first_orders(held_out.history, orders))
            lists = {
                name: judge(held_out.truth, Slice.ALL, of_method.__getitem__)
                for name, of_method in scores.items()
            }
            for name, of_method in lists.items():
                judged.setdefault(name, []).append(of_method.at[10].ndcg)
        who.append(held_out.truth.customer_ids[lists[OURS].rows])
    for orders, judged in by_orders.items():
        means = {name: over_months(values, who) for name, values in judged.items()}
        for name, around in means.items():
            print(f"  {orders} orders, {name}: {around.mean:.4f}, 95 % {around.low:.4f} to {around.high:.4f}")
        best_source = max((name for name in means if name != OURS), key=lambda name: means[name].mean)
        pairs = zip(judged[OURS], judged[best_source], strict=True)
        less = over_months([ours - theirs for ours, theirs in pairs], who)
        print(f"    less {best_source}: {less.mean:+.4f}, 95 % {less.low:+.4f} to {less.high:+.4f}, paired")
        yield at_least(f"recommend.cold_customers_{orders}_orders_less_best_source", less.mean, 0, "")


def apart(month: Month) -> tuple[Month, Month]:
    """Every second customer, and the month as it is known from the others alone."""
    truth, half = month.truth, np.arange(0, len(month.history), 2)
    held_out = replace(
        truth, customer_ids=truth.customer_ids[half], bought=truth.bought[half], wanted=truth.wanted[half]
    )
    pasts = [_without(past, held_out.customer_ids) for past in (month.eve, *month.pasts)]
    return replace(month, truth=held_out), replace(month, eve=pasts[0], pasts=pasts[1:])


def _without(past: Past, customer_ids: StringArray) -> Past:
    rest = past.history.find(pa.array(customer_ids, pa.string()))
    kept = np.setdiff1d(np.arange(len(past.history)), rest)
    return replace(past, history=past.history.of(kept))


def first_orders(history: PurchaseHistory, orders: int) -> PurchaseHistory:
    """Only the first orders of each customer, the newest of them as old as the newest of all was."""
    first = np.diff(history.orders, prepend=-1) != 0
    number = np.cumsum(first)
    before = np.r_[0, number][history.starts[:-1]]
    kept = number - before[history.customers] <= orders
    counts = np.bincount(history.customers[kept], minlength=len(history))
    starts = np.r_[0, np.cumsum(counts)]
    ages = history.ages[kept]
    newest = history.ages[history.starts[1:] - 1] - ages[starts[1:] - 1]
    moved = ages + newest[history.customers[kept]]
    arrays = {
        name: getattr(history, name)[kept] for name in ("items", "orders", "quantities", "paid", "listed")
    }
    return replace(history, starts=starts, ages=moved.astype(np.int32), **arrays)


def unseen(month: Month) -> tuple[PurchaseHistory, IntArray, np.ndarray, StringArray]:
    """Everybody's history over the wider catalogue, the new items, who bought which, and the customers."""
    old, wider, truth = month.eve.history, month.wider, month.unseen
    at = wider.find(pa.array(month.catalogue.item_ids, pa.string()))
    everybody = replace(old, items=at[old.items].astype(np.int32), width=len(wider))
    items = wider.find(pa.array(np.unique(truth.item_ids.to_numpy(zero_copy_only=False).astype(str))))
    columns = np.searchsorted(items, wider.find(truth.item_ids))
    wanted = np.zeros((len(truth.customer_ids), len(items)), bool)
    wanted[truth.rows, columns] = True
    known = everybody.find(pa.array(truth.customer_ids, pa.string())) >= 0
    return everybody, items, wanted[known], truth.customer_ids[known]


def by_category(
    everybody: PurchaseHistory, month: Month, items: IntArray, customers: int
) -> dict[str, Float32Array]:
    """The same for all: buyers of the kind lately, and of its mean new item; equals in an order by chance."""
    kind, random = month.wider.groups["kind"], np.random.default_rng(0)
    lately = everybody.weights(window_days=28).indices
    buyers = np.bincount(kind[lately], minlength=int(kind.max()) + 1)[kind[items]]
    luck = NewItems.fit(everybody, month.wider, items, TASTE).luck
    order = 1e-6 * random.random((customers, len(items)))
    return {"popularity of the kind": buyers + order, "new items of the kind": luck + order}


def _all_ranked(month: Month) -> CandidateSources:
    """The sources, each of which ranks whatever anybody bought lately."""
    settings = recommender_settings().model_copy(update={"pool": len(month.catalogue)})
    return month.eve.sources(month.catalogue, month.offered(month.eve), settings)


def _scores_of_all(month: Month, wide: CandidateSources, cut: PurchaseHistory) -> dict[str, Float32Array]:
    """Scores of all warm items for the customers, by the recommender and by each source alone."""
    columns = np.full(len(month.catalogue), -1)
    columns[month.warm] = np.arange(len(month.warm))
    scores = {name: np.full((len(cut), len(month.warm)), -np.inf, np.float32) for name in wide.score_names}
    for start in range(0, len(cut), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(cut)))
        for name, of_pool in wide.scores(
            CustomerBlock(cut.of(rows), month.catalogue, wide.item_features)
        ).items():
            scores[name][rows[:, None], columns[wide.pool]] = of_pool
    own = filled(month, cut.weights(HALF_LIFE_DAYS)[:, month.warm].toarray())
    return {OURS: month.probabilities(month.learned[0], cut), "repeat": own, **scores}
