"""The best hour against an oracle that knows how the shop was drawn.

A customer's rates over the 168 hours of the week are a log-normal random field about the shop's own: one part
by hour of the day, one by weekday, one by hour of the week, each smooth over the hours beside it; their
strengths and lengths differ from shop to shop. The estimator multiplies gamma ratios instead, and knows
neither strengths nor lengths. The oracle knows the shop's rates and the field's covariance, draws from the
posterior of a customer's rates (elliptical slice sampling: Murray, Adams, MacKay, AISTATS 2010) and names the
hour that is most often the best.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import IntArray, RealArray
from perennial.profiles.active_hours import HOURS, hours
from perennial.profiles.settings import profile_settings
from tests.acceptance.lines import Line, at_least, at_most

DRAWS, CUSTOMERS, JUDGED = 200, 300, 25
"""Shops, customers of each, and those of them for whom the oracle is asked."""
STEPS, BURN_IN, EACH = 600, 120, 3
_TOGETHER = 20
_MONDAY = datetime(2017, 1, 2, tzinfo=UTC)
_CLOCK = np.arange(24)


@dataclass(frozen=True)
class Shop:
    """A shop and its customers.

    Args:
        rates: logs of the shop's own, (168,).
        root: of the field's covariance, (168, 168).
        shares: of each customer's orders in each hour, in truth, (customers, 168).
        orders: that were made, (customers, 168).
    """

    rates: RealArray
    root: RealArray
    shares: RealArray
    orders: IntArray


def best_hours() -> Iterator[Line]:
    """200 shops with known hours: how often the best is named, how surely, and how good the shares are."""
    figures: list[dict[str, RealArray]] = []
    for start in range(0, DRAWS, _TOGETHER):
        shops = [shop(np.random.default_rng(seed)) for seed in range(start, start + _TOGETHER)]
        votes, means = oracle(shops, np.random.default_rng(DRAWS + start))
        figures += [_judged(*each) for each in zip(shops, votes, means, strict=True)]
    mean = {name: float(np.concatenate([one[name] for one in figures]).mean()) for name in figures[0]}
    print(
        f"  {DRAWS} shops, {DRAWS * JUDGED} customers: " + ", ".join(f"{k} {v:.3f}" for k, v in mean.items())
    )
    yield at_most("profiles.best_hour_below_oracle", 100 * (mean["oracle"] - mean["ours"]), 5, "points")
    yield at_least("profiles.best_hour_above_busiest", 100 * (mean["ours"] - mean["busiest"]), 0, "points")
    yield at_least(
        "profiles.best_hour_above_everybodys", 100 * (mean["ours"] - mean["everybodys"]), 10, "points"
    )
    unsure = 100 * abs(mean["confidence"] - mean["ours"])
    yield at_most("profiles.best_hour_confidence_off", unsure, 3, "points")
    way = (mean["log_share"] - mean["log_share_everybodys"]) / (
        mean["log_share_oracle"] - mean["log_share_everybodys"]
    )
    yield at_least("profiles.active_hours_way_to_oracle", way, 0.8, "")


def _judged(shop: Shop, votes: RealArray, means: RealArray) -> dict[str, RealArray]:
    """Hits and scores of the customers that the oracle was asked for."""
    found, best, confidence = (column[:JUDGED] for column in estimated(shop))
    truth, orders = shop.shares[:JUDGED], shop.orders[:JUDGED]
    everybody = shop.orders.sum(axis=0)
    right = truth.argmax(axis=1)
    usual = (everybody + 10 / HOURS) / (everybody.sum() + 10)
    return {
        "oracle": votes.argmax(axis=1) == right,
        "ours": best == right,
        "busiest": (orders + usual).argmax(axis=1) == right,
        "everybodys": everybody.argmax() == right,
        "confidence": confidence,
        "log_share": (truth * np.log(found)).sum(axis=1),
        "log_share_oracle": (truth * np.log(means)).sum(axis=1),
        "log_share_everybodys": (truth * np.log(usual)).sum(axis=1),
    }


def estimated(shop: Shop) -> tuple[RealArray, IntArray, RealArray]:
    """The section of the profile over a shop: shares, best hours, confidences."""
    customer, hour = np.nonzero(shop.orders)
    times = shop.orders[customer, hour]
    names = np.array([f"{number:04}" for number in range(CUSTOMERS)])
    moments = np.array([_MONDAY + timedelta(hours=int(number)) for number in range(HOURS)])
    orders = {
        "customer_id": names[np.repeat(customer, times)],
        "occurred_at": pa.array(moments[np.repeat(hour, times)], pa.timestamp("us", tz="UTC")),
        "offset_seconds": np.zeros(times.sum(), np.int64),
    }
    everybody = ibis.memtable(pa.table({"customer_id": names}))
    with hours(ibis.memtable(pa.table(orders)), everybody, profile_settings().active_hours) as section:
        rows = section.order_by("customer_id").to_pyarrow()
    shares = rows["active_hours"].combine_chunks().flatten().to_numpy().reshape(CUSTOMERS, HOURS)
    return shares, rows["best_hour"].to_numpy(), rows["best_hour_confidence"].to_numpy()


def shop(rng: np.random.Generator) -> Shop:
    """One shop: closed at night, busy before noon and in the evening, more so on Friday and Saturday."""
    weekdays = rng.normal(0, 0.15, 7) + np.array([0, 0, 0, 0, 0.2, 0.2, 0])
    peaks = 0.6 * np.exp(-0.5 * ((_CLOCK - 11) / 2) ** 2) + np.exp(-0.5 * ((_CLOCK - 18) / 2) ** 2)
    rates = np.add.outer(weekdays, peaks - 4.0 * ((_CLOCK < 6) | (_CLOCK >= 23))).ravel()
    of_hour, of_day, of_week = rng.uniform(0.6, 1.4), rng.uniform(0.3, 1), rng.uniform(0.4, 1.1)
    covariance = (
        of_hour**2 * np.kron(np.ones((7, 7)), _alike(rng.uniform(1.5, 3)))
        + of_day**2 * np.kron(np.eye(7), np.ones((24, 24)))
        + of_week**2 * np.kron(np.eye(7), _alike(rng.uniform(0.7, 2.5)))
    )
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(HOURS))
    found = shares(rates + rng.normal(size=(CUSTOMERS, HOURS)) @ root.T)
    counts = rng.lognormal(np.log(15), 1.1, CUSTOMERS).astype(int).clip(1, 300)
    orders = np.array([rng.multinomial(count, own) for count, own in zip(counts, found, strict=True)])
    return Shop(rates, root, found, orders)


def _alike(length: float) -> RealArray:
    """How alike the hours of the day are, round the clock."""
    apart = np.abs(np.subtract.outer(_CLOCK, _CLOCK))
    return np.exp(-np.minimum(apart, 24 - apart) / length)


def shares(logs: RealArray) -> RealArray:
    """Shares of the hours from logs of their rates, along the last axis."""
    rates = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return rates / rates.sum(axis=-1, keepdims=True)


def oracle(shops: list[Shop], rng: np.random.Generator) -> tuple[RealArray, RealArray]:
    """How often each hour is best in draws from the posterior, and mean shares: (shops, JUDGED, 168) each."""
    rates = np.stack([one.rates for one in shops])[:, None].astype(np.float32)
    roots = np.stack([one.root.T for one in shops]).astype(np.float32)
    orders = np.stack([one.orders[:JUDGED] for one in shops]).astype(np.float32)
    field = rng.standard_normal(orders.shape, np.float32) @ roots
    likely = _likelihood(rates + field, orders)
    votes, means = np.zeros(orders.shape), np.zeros(orders.shape)
    where = np.indices(orders.shape[:2])
    for step in range(STEPS):
        field, likely = _slice(field, likely, rates, roots, orders, rng)
        if step >= BURN_IN:
            votes[where[0], where[1], (rates + field).argmax(axis=2)] += 1
            means += shares(rates + field) if step % EACH == 0 else 0
    return votes, means / means.sum(axis=2, keepdims=True)


def _slice(
    field: RealArray,
    likely: RealArray,
    rates: RealArray,
    roots: RealArray,
    orders: IntArray,
    rng: np.random.Generator,
) -> tuple[RealArray, RealArray]:
    """One step of elliptical slice sampling for every customer."""
    other = rng.standard_normal(field.shape, np.float32) @ roots
    level = likely + np.log(rng.random(likely.shape))
    angle = rng.uniform(0, 2 * np.pi, likely.shape)
    low, high = angle - 2 * np.pi, angle.copy()
    field, likely = field.copy(), likely.copy()
    start, waiting = field.copy(), np.ones(likely.shape, bool)
    own = np.broadcast_to(rates, field.shape)
    while waiting.any():
        turn = angle[waiting][:, None].astype(np.float32)
        tried = start[waiting] * np.cos(turn) + other[waiting] * np.sin(turn)
        reached = _likelihood(own[waiting] + tried, orders[waiting])
        taken = reached > level[waiting]
        places = np.argwhere(waiting)
        done, still = tuple(places[taken].T), tuple(places[~taken].T)
        field[done], likely[done], waiting[done] = tried[taken], reached[taken], False
        before = angle[still] < 0
        low[still] = np.where(before, angle[still], low[still])
        high[still] = np.where(before, high[still], angle[still])
        angle[still] = rng.uniform(low[still], high[still])
    return field, likely


def _likelihood(logs: RealArray, orders: IntArray) -> RealArray:
    """Log-likelihood of the orders, given how many they are."""
    most = logs.max(axis=-1)
    whole = most + np.log(np.exp(logs - most[..., None]).sum(axis=-1))
    return (orders * logs).sum(axis=-1) - orders.sum(axis=-1) * whole
