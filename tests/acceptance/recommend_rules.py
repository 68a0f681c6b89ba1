"""Never an ineligible item, and no reason without evidence: a million recommendations under random rules.

Rules of every sort, with names drawn from the demo's catalogue, and a tenth of the items sold out. What
is found is held against the lake's own tables with plain pandas, item by item.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.recommend import recommender
from perennial.recommend.lists.eligibility import known_adults
from perennial.recommend.lists.phrases import languages
from perennial.recommend.lists.selection import ListSelector
from perennial.recommend.recommender import Customers
from perennial.recommend.settings import LEVELS, EligibilitySettings, recommender_settings
from perennial.recommend.sources import new_items
from perennial.recommend.sources.new_items import NewItems
from tests.acceptance import recommend_shop, year
from tests.acceptance.lines import Line, at_least, none_of
from tests.acceptance.recommend_shop import TUNED_ON

ASKED = 1_000_000
K = 20
_OWN = ("repeat", "item_neighbours", "content", "kind")
_AGES = ["19-24", "35-44", "65+", "under 25", None]


def rules() -> Iterator[Line]:
    """A million recommendations under twenty-one sets of rules."""
    month = recommend_shop.months(TUNED_ON)[TUNED_ON]
    item_features = Facts.read()
    random = np.random.default_rng(0)
    settings, catalogue, history = recommender_settings(), month.catalogue, month.eve.history
    listed = np.full(len(catalogue), -1)
    new = new_items.newest_items(
        history, catalogue, listed, np.ones(len(catalogue), bool), settings.exploration
    )
    fit = replace(month.learned[0], new_items=NewItems.fit(history, catalogue, new, settings.content))
    ages = pd.Series(random.choice(np.array(_AGES, object), len(history)), index=history.customer_ids)
    spoken, (shown, wrong, baseless, drawn) = languages(), (0, [], [], 0)
    while shown < ASKED:
        written = drawn_rules(random, item_features.items)
        chosen = EligibilitySettings.model_validate(written)
        one = settings.model_copy(update={"eligibility": chosen})
        available = random.random(len(catalogue)) > 0.1
        day = TUNED_ON - timedelta(days=1)
        lists = ListSelector.of(one, fit.sources, fit.new_items, available, day)
        adult = known_adults(pa.array(ages, pa.string()), chosen.adult_age)
        asked = Customers(history, adult, np.zeros(len(history), np.int64))
        found = recommender.recommend(fit, asked, lists, spoken, K).to_pandas()
        sold_out = set(catalogue.item_ids[~available])
        wrong += list(item_features.breaches(found, written, sold_out, ages))
        baseless += list(item_features.baseless(found))
        shown, drawn = shown + len(found), drawn + int((found.propensity < 1).sum())
        print(f"  {shown:,} recommendations, {drawn:,} of them drawn; rules {written}", flush=True)
    yield at_least("recommend.rules_shown", shown, ASKED, "")
    yield at_least("recommend.rules_drawn", drawn, shown / K / 2, "")
    yield none_of("recommend.rules_broken", "ineligible", wrong)
    yield none_of("recommend.reasons_baseless", "without_evidence", baseless)


def drawn_rules(random: np.random.Generator, items: pd.DataFrame) -> dict[str, object]:
    """Rules of every sort with names from the catalogue, most of them of things that are much bought."""
    often = items.sort_values("lines", ascending=False).head(3000)

    def wares() -> dict[str, str]:
        row = often.iloc[int(random.integers(len(often)))]
        depth = int(random.integers(len(row.levels)))
        path = " > ".join(row.levels[: depth + 1])
        sort = int(random.integers(4))
        if sort == 0:
            return {"item": row.item_id}
        if sort == 1:
            return {"category": path, "brand": row.brand}
        return {"category": path if sort == 2 else row.levels[depth]}

    return {
        "never": [wares() for _ in range(4)],
        "adults_only": [wares() for _ in range(3)],
        "adult_age": int(random.choice([18, 21])),
        "bought_for_good": [
            {**wares(), "days": int(random.choice([7, 30, 3650])), "again": again}
            for again in ("nothing", "other items")
        ],
        "apart": [[wares(), wares()] for _ in range(3)],
        "most": {"category": [None, int(random.integers(5, 12)), int(random.integers(1, 6))], "brand": 15},
    }


@dataclass(frozen=True)
class Facts:
    """What the lake holds on the eve.

    Args:
        items: `item_id, levels, brand, lines`.
        bought: `customer_id, item_id, last, times`: days since the newest purchase, and how many orders.
    """

    items: pd.DataFrame
    bought: pd.DataFrame
    popular: Mapping[str, int]

    @classmethod
    def read(cls) -> "Facts":
        """From the demo's year as known on the eve."""
        eve = TUNED_ON - timedelta(days=1)
        with year.shop() as lake:
            items = lake.known("items", eve).select("item_id", "category", "brand").to_pandas()
            events = lake.known("events", eve)
            asked = events.filter(
                events.event_type == "purchase", events.quantity > 0, events.item_id.notnull()
            )
            lines = asked.select("customer_id", "item_id", "order_id", "occurred_at").to_pandas()
        end = pd.Timestamp(TUNED_ON, tz="UTC")
        lines["age"] = (
            (end - lines.occurred_at.dt.tz_convert("UTC")).dt.total_seconds().sub(1).floordiv(86400)
        )
        items["levels"] = items.category.fillna("").str.split(" > ")
        items["lines"] = items.item_id.map(lines.item_id.value_counts()).fillna(0)
        grouped = lines.groupby(["customer_id", "item_id"], observed=True)
        bought = grouped.agg(last=("age", "min"), times=("order_id", "nunique")).reset_index()
        popular = bought[bought["last"] < 28].item_id.value_counts().to_dict()
        return cls(items, bought, popular)

    @cached_property
    def _last(self) -> pd.Series:
        return self.bought.set_index(["customer_id", "item_id"])["last"]

    @cached_property
    def _times(self) -> pd.Series:
        return self.bought.set_index(["customer_id", "item_id"])["times"]

    def meant(self, wares: Mapping[str, object]) -> set[str]:
        """The items that are meant, by their names."""
        found = pd.Series(True, index=self.items.index)
        if (name := wares.get("category")) is not None:
            paths = self.items.levels.map(
                lambda levels: (
                    {" > ".join(levels[: depth + 1]) for depth in range(LEVELS)} | set(levels[:LEVELS])
                )
            )
            found &= paths.map(lambda held: name in held)
        if (brand := wares.get("brand")) is not None:
            found &= self.items.brand == brand
        if (item := wares.get("item")) is not None:
            found &= self.items.item_id == item
        return set(self.items.item_id[found])

    def breaches(
        self, found: pd.DataFrame, written: Mapping[str, object], sold_out: set[str], ages: pd.Series
    ) -> Iterator[str]:
        """Every recommendation that a rule forbids."""
        who = found.customer_id + " " + found.item_id
        yield from ("sold out: " + who[found.item_id.isin(sold_out)])
        yield from ("twice: " + who[found.duplicated(["customer_id", "item_id"])])
        for wares in written["never"]:  # type: ignore[attr-defined]
            yield from (f"never {wares}: " + who[found.item_id.isin(self.meant(wares))])
        begins = pd.to_numeric(found.customer_id.map(ages).str.extract(r"^(\d+)")[0])
        minor = ~(begins >= written["adult_age"])
        for wares in written["adults_only"]:  # type: ignore[attr-defined]
            yield from (f"adults {wares}: " + who[minor & found.item_id.isin(self.meant(wares))])
        for rule in written["bought_for_good"]:  # type: ignore[attr-defined]
            yield from self._again(found, who, rule)
        for one, other in written["apart"]:  # type: ignore[attr-defined]
            sides = [set(found.customer_id[found.item_id.isin(self.meant(side))]) for side in (one, other)]
            same = self.meant(one) & self.meant(other)
            for customer in sides[0] & sides[1]:
                mine = set(found.item_id[found.customer_id == customer])
                if len(mine) > 1 and not _apart(mine, self.meant(one), self.meant(other), same):
                    yield f"apart {one} {other}: {customer}"
        most = written["most"]
        levels = self.items.set_index("item_id").levels
        for depth, limit in enumerate(most["category"]):  # type: ignore[index]
            if limit is not None:
                paths = found.item_id.map(levels).map(lambda held: " > ".join(held[: depth + 1]))  # noqa: B023
                yield from _over(found, paths[paths != ""], limit)
        yield from _over(
            found, found.item_id.map(self.items.set_index("item_id").brand).dropna(), most["brand"]
        )  # type: ignore[index]

    def _again(self, found: pd.DataFrame, who: pd.Series, rule: Mapping[str, object]) -> Iterator[str]:
        meant = self.meant(rule)
        held = self.bought[self.bought.item_id.isin(meant) & (self.bought["last"] < rule["days"])]
        asked = found.item_id.isin(meant)
        if rule["again"] == "nothing":
            refused = asked & found.customer_id.isin(held.customer_id)
        else:
            refused = asked & who.isin(held.customer_id + " " + held.item_id)
        yield from (f"for good {rule}: " + who[refused])

    def baseless(self, found: pd.DataFrame) -> Iterator[str]:
        """Every reason that the lake does not bear out: evidence, and the numbers in the sentence."""
        evidence = found.evidence.str[0]
        at = pd.MultiIndex.from_arrays([found.customer_id, evidence])
        last, times = (one.reindex(at).to_numpy() for one in (self._last, self._times))
        who = found.customer_id + " " + found.item_id + " " + found.source + ": " + found.reason
        yield from who[found.source.isin(_OWN) & np.isnan(last)]
        yield from who[(found.source == "repeat") & (evidence != found.item_id)]
        again = found.source == "repeat"
        yield from who[again & (_days(found.reason) != last)]
        yield from who[again & found.reason.str.startswith("you bought") & (_times(found.reason) != times)]
        buyers = found.item_id.map(self.popular).fillna(0)
        yield from who[(found.source == "popularity") & (_first(found.reason) != buyers)]
        yield from who[(found.source == "new_item") & (evidence != found.item_id) & np.isnan(last)]


def _apart(mine: set[str], one: set[str], other: set[str], same: set[str]) -> bool:
    """Is there no pair of two different items of which one is of this and one of that kind?"""
    left, right = mine & one, mine & other
    return not left or not right or (left == right and len(left) == 1 and left <= same)


def _over(found: pd.DataFrame, names: pd.Series, limit: int) -> Iterator[str]:
    counts = names.groupby([found.customer_id.loc[names.index], names]).size()
    yield from (f"more than {limit}: {key}" for key in counts.index[counts > limit])


def _days(reasons: pd.Series) -> np.ndarray:
    said = reasons.str.extract(r"last (?:(today)|(\d+) days? ago)$")
    return np.where(said[0].notna(), 0.0, pd.to_numeric(said[1]))


def _times(reasons: pd.Series) -> np.ndarray:
    said = reasons.str.extract(r"you bought this (?:(once)|(\d+) times)")
    return np.where(said[0].notna(), 1.0, pd.to_numeric(said[1]))


def _first(reasons: pd.Series) -> np.ndarray:
    return pd.to_numeric(reasons.map(_number)).to_numpy()


def _number(sentence: str) -> str | None:
    found = re.search(r"\d+", sentence)
    return found and found[0]
