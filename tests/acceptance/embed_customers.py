"""The vector of a customer's history: which of the two ways to make it recommends better.

By the protocol of the recommender: rank the whole warm catalogue by the inner product of the customer's
vector with the vectors of the items, trained before December 2017, judged on it, tuned on November.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product

import ibis
import ibis.expr.types as ir
import numpy as np

from perennial.demo import complete_journey
from perennial.foundation import encoder
from perennial.foundation.arrays import Float32Array
from perennial.foundation.bootstrap import Interval, interval
from perennial.foundation.embedding_spaces import EmbeddingSpace, embedding_settings
from perennial.foundation.engine import kept
from perennial.foundation.item_texts import texts
from perennial.profiles import preferences, purchases, taste_vector
from perennial.profiles.settings import PreferencesSettings, TasteVectorSettings, VectorKind, profile_settings
from perennial.recommend.data import tables
from perennial.recommend.evaluation.metrics import DEPTHS, JudgedLists, judge
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice, ranking_task
from perennial.recommend.settings import recommender_settings
from tests.acceptance.lines import Line, at_least

TUNED_ON, JUDGED_ON = date(2017, 11, 1), date(2017, 12, 1)
HALF_LIVES = (30, 90)
VALUES = (0, 0.5)
GRID = {
    VectorKind.MEAN: [
        {"half_life_days": days, "value_exponent": value, "weight_exponent": weight}
        for days, value, weight in product(HALF_LIVES, VALUES, (1, 2, 3, 4, 8))
    ],
    VectorKind.SENTENCE: [
        {"half_life_days": days, "value_exponent": value, "titles": titles}
        for days, value, titles in product(HALF_LIVES, VALUES, (1, 2, 3, 5))
    ],
}
PLAIN = {"half_life_days": 90, "value_exponent": 0, "weight_exponent": 1}
HISTORY_SIZES = {"short": (1, 100), "middle": (100, 400), "long": (400, 1 << 31)}


@dataclass(frozen=True)
class Shop:
    """Purchases and catalogue of the demo, and the vectors of the texts."""

    events: ir.Table
    items: ir.Table
    baskets: ir.Table
    customer_ids: dict[int, str]
    known: taste_vector.TextVectors
    space: EmbeddingSpace
    taste: PreferencesSettings


@dataclass(frozen=True)
class Month:
    """A test month with the vectors of its items."""

    shop: Shop
    truth: RankingTask
    eve: date
    items: Float32Array

    def judge(self, chosen: TasteVectorSettings, part: Slice) -> JudgedLists:
        """What the vectors that are so chosen are worth on a slice."""
        vectors = self.customers(chosen)
        return judge(self.truth, part, lambda rows: vectors[rows] @ self.items.T)

    def customers(self, chosen: TasteVectorSettings) -> Float32Array:
        """The vector of each customer, zeros for none."""
        shop = self.shop
        baskets = purchases.as_of(shop.baskets, self.eve)
        weights = purchases.item_weights(baskets, self.eve, chosen.half_life_days, chosen.value_exponent)
        items = preferences.relevant_items(_known(shop.items, self.eve), shop.taste)
        found = taste_vector.vectors(weights, items, shop.known, chosen, shop.space.encoder)
        rows = {who: row for row, who in enumerate(self.truth.customer_ids)}
        vectors = np.zeros((len(rows), shop.known.matrix.shape[1]), np.float32)
        for number, vector in zip(found["customer"].to_pylist(), found["vector"].to_numpy(), strict=True):
            if (who := shop.customer_ids[number]) in rows:
                vectors[rows[who]] = vector
        return vectors


def customers() -> Iterator[Line]:
    """The default history vector against the other way to make one, tuned on November; both on December."""
    default = profile_settings().history
    other = next(kind for kind in VectorKind if kind is not default.kind)
    with ExitStack() as held:
        shop = _shop(held)
        before, month = _month(shop, TUNED_ON), _month(shop, JUDGED_ON)
        best = {f"best {kind}": _tuned(before, kind) for kind in VectorKind}
        ways = {"default": default, **best, "plain mean": _chosen(VectorKind.MEAN, PLAIN)}
        judged = {name: {part: month.judge(way, part) for part in Slice} for name, way in ways.items()}
    print(f"  December: {month.truth.warm} warm items, {len(month.truth.item_ids)} in all")
    for name, parts in judged.items():
        _show(name, ways[name], parts, month.truth)
    for part in Slice:
        ours, theirs = (judged[name][part].at[10].ndcg for name in ("default", f"best {other}"))
        found = interval(ours - theirs)
        print(f"  default less best {other}, {part}: {_around(found)}, paired")
        if part is Slice.ALL:
            yield at_least(f"embed.customers_{default.kind}_less_{other}_low", found.low, 0, "")
            yield at_least("embed.customers_ndcg", float(ours.mean()), 0.051, "")


def _show(name: str, way: TasteVectorSettings, parts: dict[Slice, JudgedLists], truth: RankingTask) -> None:
    print(f"  {name}: {way}")
    for part, found in parts.items():
        measures = [
            f"{measure}@{k} {getattr(found.at[k], measure).mean():.4f}"
            for k in DEPTHS
            for measure in ("ndcg", "recall", "hit")
        ]
        columns = len(truth.item_ids[truth.columns(part)])
        print(
            f"    {part}: {len(found.rows)} customers, {', '.join(measures)}, coverage@10 "
            f"{found.shown / columns:.3f}; ndcg@10 {_around(interval(found.at[10].ndcg))}"
        )
    whole = parts[Slice.ALL]
    for size, (least, below) in HISTORY_SIZES.items():
        sizes = truth.history_sizes[whole.rows]
        some = whole.at[10].ndcg[(sizes >= least) & (sizes < below)]
        print(f"    {size} histories: {len(some)} customers, ndcg@10 {some.mean():.4f}")


def _around(found: Interval) -> str:
    return f"{found.mean:.4f}, 95 % {found.low:.4f} to {found.high:.4f}"


def _tuned(month: Month, kind: VectorKind) -> TasteVectorSettings:
    """The settings that are best on what was never bought before, by NDCG@10.

    On all items the best is what comes close to the one favourite: but that is bought again without a vector.
    """
    tried = [_chosen(kind, options) for options in GRID[kind]]
    worth = []
    for chosen, options in zip(tried, GRID[kind], strict=True):
        worth.append(month.judge(chosen, Slice.EXPLORE).at[10].ndcg.mean())
        print(
            f"  {month.eve + timedelta(1):%B}, {kind} {options}: explore ndcg@10 {worth[-1]:.4f}", flush=True
        )
    return tried[int(np.argmax(worth))]


def _chosen(kind: VectorKind, options: dict[str, float]) -> TasteVectorSettings:
    return profile_settings().history.model_copy(update={"kind": kind, **options})


def _shop(held: ExitStack) -> Shop:
    space, chosen = embedding_settings().start, profile_settings()
    events = held.enter_context(kept(complete_journey.purchases()))
    items = complete_journey.items()
    said = texts(items, space.text).join(items.drop("attributes"), "item_id")
    said = held.enter_context(kept(said))
    day = events.occurred_at.date()
    lines = purchases.lines(events.mutate(occurred_on=day, known_from=day, known_until=ibis.null("date")))
    who, what = (
        held.enter_context(kept(purchases.numbered(lines, name))) for name in ("customer_id", "item_id")
    )
    items = said.join(what, "item_id").rename(item="number")
    numbered = {row["number"]: row["customer_id"] for row in who.to_pyarrow().to_pylist()}
    different = said.select("text_hash", "text").distinct().order_by("text_hash").to_pyarrow()
    vectors = encoder.load(space.encoder).encode(different["text"].to_pylist())
    known = taste_vector.TextVectors(different["text_hash"].combine_chunks(), vectors)
    baskets = held.enter_context(kept(purchases.baskets(lines, who, what)))
    return Shop(events, held.enter_context(kept(items)), baskets, numbered, known, space, chosen.preferences)


def _month(shop: Shop, first: date) -> Month:
    eve = first - timedelta(days=1)
    bought = tables.purchases(shop.events)
    wares = tables.merchandise(_known(shop.items, eve), recommender_settings().excluded_categories)
    truth = ranking_task(bought.filter(bought.occurred_at < ibis.timestamp(str(first))), bought, wares, first)
    hashes = shop.items.select("item_id", "text_hash").to_pyarrow().to_pylist()
    row = {text: place for place, text in enumerate(shop.known.hashes.to_pylist())}
    text_of = {item["item_id"]: row[item["text_hash"]] for item in hashes}
    return Month(shop, truth, eve, shop.known.matrix[[text_of[item] for item in truth.item_ids]])


def _known(items: ir.Table, day: date) -> ir.Table:
    return items.filter(items._day <= day)
