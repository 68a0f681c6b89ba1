"""A peer of the benchmark `profiles`: the sections in plain pandas, as a data scientist would write them.

Whole columns where pandas has an operation for them; a function for each customer where it has none (the list
of recent orders, the ten largest shares, the mean of vectors). Money comes out of the files as Python's
decimals and is made float64 at once, for sums of decimals would take many times as long. In its favour: the
zone is UTC, and the settings of profiles.yaml are written in.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from perennial.foundation.arrays import Float32Array, FloatArray, IntArray
from tests.benchmarks import profiles_pandas_prices, profiles_shop

NAME = f"pandas {pd.__version__}"
DAY = pd.Timestamp(profiles_shop.DAY)
_LEFT_OUT = ("Fuel", "Coupon", "Miscellaneous", "Control/store super", "Charitable cont", "Postal center")
_MONEY = ("unit_price", "revenue", "shelf_discount", "coupon_discount")
_EVENT = (
    *("event_id", "landed_on", "known_on", "customer_id", "event_type", "order_id", "item_id"),
    *("campaign_id", "occurred_at", "quantity", *_MONEY),
)
_DATES = ("joined_on", "first_order_on", "last_order_on", "life_cycle_since", "lapsing_on", "lapsed_on")
_BESIDE = {-2: 0.14, -1: 0.61, 0: 1.0, 1: 0.61, 2: 0.14}
_NODES = ((-2.8570, 0.011257), (-1.3556, 0.222076), (0.0, 0.533333), (1.3556, 0.222076), (2.8570, 0.011257))

Frame = pd.DataFrame


def draw(lake: Path, out: Path) -> None:
    """Write the profiles of the day to a Parquet file."""
    events = _known(_read(lake, "events", _EVENT), "event_id", "landed_on")
    users = _read(lake, "users", ("customer_id", "joined_on", "valid_from", "known_on"))
    users = _known(users, "customer_id", "valid_from").set_index("customer_id")[["joined_on"]]
    items = _read(lake, "items", ("item_id", "title", "category", "brand", "valid_from", "known_on"))
    items = _known(items, "item_id", "valid_from")
    assignments = _read(lake, "assignments", ("campaign_id", "customer_id", "arm"))
    events["occurred_on"] = events["occurred_at"].dt.tz_localize(None).dt.normalize()
    money = ["revenue", "shelf_discount", "coupon_discount", "quantity"]
    events[money] = events[money].fillna(0)
    events["discount"] = events["shelf_discount"] + events["coupon_discount"]
    listed = events["unit_price"] * events["quantity"]
    events["list_value"] = listed.fillna(events["revenue"] + events["discount"])
    bought = events[events["event_type"] == "purchase"]
    orders, telling = _orders(bought), _telling(items)
    profiles = pd.concat(
        [
            users,
            _rhythm(orders),
            _money(events, bought),
            _recent(orders),
            *_tastes(bought, telling, lake, users.index),
            profiles_pandas_prices.responses(bought, telling, orders, users.index),
            _hours(orders, users.index),
            _campaigns(events, assignments, users.index),
            _life_cycle(orders, users),
        ],
        axis=1,
    )
    _rounded_off(profiles).reset_index().to_parquet(out)


def _read(lake: Path, table: str, columns: tuple[str, ...]) -> Frame:
    rows = pd.read_parquet(lake / table, columns=list(columns))
    money = [name for name in _MONEY if name in columns]
    rows[money] = rows[money].astype(float)
    for name in {"joined_on", "known_on"} & set(columns):
        rows[name] = pd.to_datetime(rows[name])
    return rows


def _known(rows: Frame, key: str, version: str) -> Frame:
    """The newest version of each that was known at the end of the day."""
    return rows[rows["known_on"] <= DAY].sort_values(version).drop_duplicates(key, keep="last")


def _orders(bought: Frame) -> Frame:
    orders = bought.groupby(["customer_id", "order_id"], as_index=False).agg(
        occurred_at=("occurred_at", "min"),
        occurred_on=("occurred_on", "min"),
        revenue=("revenue", "sum"),
        quantity=("quantity", "sum"),
        lines=("item_id", "size"),
    )
    orders = orders.sort_values(["customer_id", "occurred_at", "order_id"])
    orders["gap_days"] = orders.groupby("customer_id")["occurred_on"].diff().dt.days
    return orders


def _rhythm(orders: Frame) -> Frame:
    each = orders.groupby("customer_id")
    gaps = each["gap_days"]
    found = each.agg(first_order_on=("occurred_on", "min"), last_order_on=("occurred_on", "max"))
    found["orders"] = each.size()
    for days in (28, 91):
        late = orders[orders["occurred_on"] > DAY - timedelta(days=days)]
        found[f"orders_{days}"] = late.groupby("customer_id").size()
    found["recency_days"] = (DAY - found["last_order_on"]).dt.days
    found["average_order_quantity"] = each["quantity"].mean()
    found["average_order_lines"] = each["lines"].mean()
    found["gap_mean_days"], found["gap_deviation_days"] = gaps.mean(), gaps.std()
    n = gaps.count().where(gaps.count() >= 5)
    spread = gaps.std(ddof=0) / gaps.mean().replace(0, np.nan)
    more, less = np.sqrt(n + 1), np.sqrt(n - 1)
    found["burstiness"] = (more * spread - less) / ((more - 2) * spread + less)
    burstiness, chance = found["burstiness"], (1 + 1 / n) / n**0.5
    said = {"regular": burstiness < -chance, "bursty": burstiness > chance, "random": burstiness.notna()}
    found["rhythm"] = np.select(list(said.values()), list(said), "")
    found["rhythm"] = found["rhythm"].replace("", None)
    return found


def _money(events: Frame, bought: Frame) -> Frame:
    paid = events[events["event_type"].isin(["purchase", "return"])]
    found = paid.groupby("customer_id")["revenue"].sum().to_frame("spend")
    for days in (28, 91):
        late = paid[paid["occurred_on"] > DAY - timedelta(days=days)]
        found[f"spend_{days}"] = late.groupby("customer_id")["revenue"].sum()
    sums = bought.groupby("customer_id")[["list_value", "discount", "coupon_discount"]].sum()
    found["discount_share"] = (sums["discount"] / sums["list_value"]).clip(0, 1)
    found["coupon_share"] = (sums["coupon_discount"] / sums["list_value"]).clip(0, 1)
    found["redemptions"] = events[events["event_type"] == "redeem"].groupby("customer_id").size()
    return found


def _recent(orders: Frame) -> pd.Series:
    last = orders.groupby("customer_id").tail(64).rename(columns={"revenue": "value"})
    lists = last.groupby("customer_id")[["gap_days", "value", "quantity"]]
    return lists.apply(lambda rows: rows.to_dict("records")).rename("recent_orders")


def _telling(items: Frame) -> Frame:
    path = items["category"].str.split(" > ")
    text = [
        ". ".join(filter(None, (title, " > ".join(level for level in levels if level not in title))))
        for title, levels in zip(items["title"], path, strict=True)
    ]
    named = items.assign(category=path.str[1].fillna(path.str[0]), text=text)
    return named[~path.str[0].isin(_LEFT_OUT)]


def _tastes(bought: Frame, telling: Frame, lake: Path, customers: pd.Index) -> Iterator[pd.Series]:
    age = (DAY - bought["occurred_on"]).dt.days
    weighed = bought[["customer_id", "item_id"]].assign(weight=0.5 ** (age / 90))
    named = weighed.merge(telling, on="item_id")
    yield _largest(named, "category", customers).rename("categories")
    yield _largest(named, "brand", customers).rename("brands")
    yield _vectors(named, lake).rename("vector")


def _vectors(named: Frame, lake: Path) -> pd.Series:
    held = pq.read_table(lake / "item_embeddings", columns=["text", "vector"]).to_pandas()
    matrix, place = np.stack(held["vector"]), pd.Series(held.index, index=held["text"])
    middle = matrix[place[named["text"].unique()].sort_values()].mean(axis=0)
    sums = named.groupby(["customer_id", "text"])["weight"].sum()

    def history(weights: pd.Series) -> Float32Array:
        shares = weights.to_numpy() ** 3
        at = place[weights.index.get_level_values("text")]
        apart = (shares / shares.sum()) @ matrix[at] - middle
        return apart / np.linalg.norm(apart)

    return sums.groupby("customer_id").apply(history)


def _largest(named: Frame, name: str, customers: pd.Index) -> pd.Series:
    sums = named.groupby(["customer_id", name])["weight"].sum()
    usual = sums.groupby(name).sum().sort_index()
    usual /= usual.sum()

    def ten(weights: pd.Series) -> list[dict[str, object]]:
        own = weights.droplevel("customer_id")
        shares = usual.mul(5).add(own, fill_value=0) / (own.sum() + 5)
        best = shares.nlargest(10)
        return [{"name": each, "weight": share} for each, share in best.items()]

    found = sums.groupby("customer_id").apply(ten)
    nobody = [{"name": each, "weight": share} for each, share in usual.nlargest(10).items()]
    return found.reindex(customers).map(lambda listed: listed if isinstance(listed, list) else nobody)


def _hours(orders: Frame, customers: pd.Index) -> Frame:
    hour = orders["occurred_at"].dt.weekday * 24 + orders["occurred_at"].dt.hour
    counts = orders.groupby(["customer_id", hour.rename("hour")]).size().unstack(fill_value=0)
    own = counts.reindex(index=customers, columns=range(168), fill_value=0).to_numpy(float)
    total = own.sum(axis=1, keepdims=True)
    usual = own.sum(axis=0) * 168 + 10
    usual /= usual.sum()
    by_clock, usual_clock = (_with_beside(each.reshape(-1, 7, 24).sum(axis=1)) for each in (own, usual))
    by_day, usual_day = (each.reshape(-1, 7, 24).sum(axis=2) for each in (own, usual))
    clock = (1 + by_clock) / (1 + total * usual_clock)
    day = (5 + by_day) / (5 + total * usual_day)
    shares = usual * np.tile(clock, 7) * np.repeat(day, 24, axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    shape = 1 / (1 / (2 + own) + 1 / np.repeat(5 + by_day, 24, axis=1))
    shares *= (2 + own) / (2 + total * shares)
    shares /= shares.sum(axis=1, keepdims=True)
    best = shares.round(12).argmax(axis=1)
    return pd.DataFrame(
        {"active_hours": list(shares), "best_hour": best, "best_hour_confidence": _sure(shares, shape, best)},
        index=customers,
    )


def _with_beside(clock: FloatArray) -> FloatArray:
    return np.sum([np.roll(clock, step, axis=1) * share for step, share in _BESIDE.items()], axis=0)


def _sure(shares: FloatArray, shape: FloatArray, best: IntArray) -> FloatArray:
    middle, sharp, root = 1 - 1 / (9 * shape), 3 * np.sqrt(shape), np.cbrt(shares)
    top = np.arange(len(shares)), best
    sure = np.zeros(len(shares))
    for node, weight in _NODES:
        reached = root[top] * np.maximum(middle[top] + node / sharp[top], 0)
        below = -np.log1p(np.exp(-1.702 * (reached[:, None] / root - middle) * sharp))
        below[top] = 0
        sure += weight * np.exp(below.sum(axis=1))
    return sure


def _campaigns(events: Frame, assignments: Frame, customers: pd.Index) -> Frame:
    keys = ["customer_id", "campaign_id"]
    did = events[events["event_type"].isin(["click", "purchase", "redeem"]) & events["campaign_id"].notna()]
    received = assignments[assignments["arm"].fillna("treatment") == "treatment"]
    both = received.merge(did[keys].drop_duplicates().assign(answered=1), on=keys, how="left")
    found = both.groupby("customer_id").agg(
        campaigns_received=("campaign_id", "size"), campaigns_answered=("answered", "count")
    )
    usual = found["campaigns_answered"].sum() / found["campaigns_received"].sum()
    found = found.reindex(customers, fill_value=0)
    answered = found["campaigns_answered"] + 5 * usual
    return found.assign(campaign_response=answered / (found["campaigns_received"] + 5))


def _life_cycle(orders: Frame, users: Frame) -> Frame:
    gaps = orders.groupby("customer_id")["gap_days"]
    own = gaps.median()[gaps.count() >= 3]
    usual = own.reindex(users.index).fillna(own.median())
    lapse = np.ceil((usual * 8).clip(lower=56)).rename("lapse")
    silence = np.ceil((usual * 3).clip(lower=21)).rename("silence")
    rows = orders.join(lapse, on="customer_id").join(silence, on="customer_id")
    after = rows["gap_days"] >= rows["lapse"]
    quiet = (rows["gap_days"] >= rows["silence"]) & ~after
    came_back, resumed = (
        rows[ended].groupby("customer_id")["occurred_on"].max().reindex(users.index)
        for ended in (after, quiet)
    )
    each = orders.groupby("customer_id")["occurred_on"]
    first, last = (found.reindex(users.index) for found in (each.min(), each.max()))
    known = users["joined_on"] + pd.Timedelta(days=28)
    lapsed = pd.concat([known, last + pd.to_timedelta(lapse, "D")], axis=1).max(axis=1)
    lapsing = pd.concat([known, last + pd.to_timedelta(silence, "D")], axis=1).max(axis=1)
    lapsing = lapsing.where(last.notna() & (lapsing < lapsed))
    stages = {
        "new": (known > DAY, users["joined_on"]),
        "lapsed": (lapsed <= DAY, lapsed),
        "lapsing": (lapsing <= DAY, lapsing),
        "returned": (
            came_back > DAY - pd.Timedelta(days=28),
            pd.concat([came_back, known], axis=1).max(axis=1),
        ),
    }
    settled = pd.concat([known, first, resumed, came_back + pd.Timedelta(days=28)], axis=1).max(axis=1)
    holds = [condition for condition, _ in stages.values()]
    since = np.select(holds, [day for _, day in stages.values()], settled)
    stage = np.select(holds, list(stages), "active")
    columns = {"life_cycle": stage, "life_cycle_since": since, "lapsing_on": lapsing, "lapsed_on": lapsed}
    return pd.DataFrame(columns, index=users.index)


def _rounded_off(profiles: Frame) -> Frame:
    counts = [name for name in profiles.columns if name.startswith(("orders", "spend", "redemptions"))]
    profiles["thin"] = profiles["orders"].isna()
    profiles["average_order_value"] = profiles["spend"] / profiles["orders"]
    profiles["tenure_days"] = (DAY - profiles["joined_on"]).dt.days
    profiles[counts] = profiles[counts].fillna(0)
    for name in _DATES:
        profiles[name] = profiles[name].astype("date32[pyarrow]")
    listed = profiles["recent_orders"]
    profiles["recent_orders"] = listed.map(lambda found: found if isinstance(found, list) else [])
    return profiles
