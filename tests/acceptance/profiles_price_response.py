"""The response to prices against planted truths, drawn in another way than the estimator takes them to be.

Customers' purchases rise with the discount along a curve that bends over (Hill's; steepness and half-way
point differ from shop to shop), by an amount that is skewed and heavy-tailed, some do not mind at all; items
differ as well. How active a customer is changes from week to week, some come late or leave, some hardly ever
come. The truth is how many pieces a customer buys at a tenth off ÷ at the list price, of an average item.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import BoolArray, FloatArray, IntArray
from perennial.foundation.engine import kept
from perennial.profiles import price_response
from perennial.profiles.price_response import Learnt
from perennial.profiles.settings import profile_settings
from tests.acceptance.lines import Line, at_least, at_most

DRAWS = 200
CUSTOMERS, ITEMS, WEEKS = 1500, 400, 52
THIN = 20
"""A history of fewer lines than this is thin."""
_FIRST = date(2017, 1, 2)
_DEPTHS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
_OFTEN = (0.1, 0.2, 0.15, 0.2, 0.1, 0.15, 0.05, 0.05)
_TENTH = 0.1


@dataclass(frozen=True)
class Draw:
    """A shop: its lines, and what is true of each customer."""

    lines: pa.Table
    truth: FloatArray

    @property
    def counts(self) -> IntArray:
        """How many lines each customer has."""
        return np.bincount(self.lines["customer"].to_numpy(), minlength=CUSTOMERS)


@dataclass(frozen=True)
class Found:
    """What is estimated of each customer, as logarithms, and what their purchases alone would say."""

    value: FloatArray
    low: FloatArray
    high: FloatArray
    known: BoolArray
    alone: FloatArray


def price_responses() -> Iterator[Line]:
    """200 shops with known responses: intervals that cover them, and are worth having."""
    rows = [_judged(seed) for seed in range(DRAWS)]
    mean = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
    shops = [row["covered"] for row in rows]
    print(f"  {DRAWS} shops of {CUSTOMERS} customers; covered {min(shops):.3f} to {max(shops):.3f} a shop")
    print("  " + ", ".join(f"{name} {figure:.3f}" for name, figure in mean.items()))
    yield _covering("profiles.price_response_covers", mean["covered"], 0.92, 0.98)
    yield _covering("profiles.price_response_covers_thin_histories", mean["covered_thin"], 0.9, 0.99)
    yield _covering("profiles.price_response_covers_those_it_calls_known", mean["covered_known"], 0.9, 0.99)
    yield at_least("profiles.price_response_known_share", mean["known"], 0.2, "")
    yield at_most("profiles.price_response_width_of_those_known", mean["width_known"], 0.7, "x_population's")
    yield at_most("profiles.price_response_error", mean["error"], 0.85 * mean["error_population"], "")
    yield at_most("profiles.price_response_error_to_alone", mean["error"] / mean["error_alone"], 0.5, "x")


def _covering(name: str, share: float, least: float, most: float) -> Line:
    return Line(name, f"{100 * share:.1f}%", f"{100 * least:g}-{100 * most:g}%", least <= share <= most)


def _judged(seed: int) -> dict[str, float]:
    """The figures of one shop; errors are root mean squares of logarithms."""
    draw = shop(np.random.default_rng(seed))
    found, truth = estimated(draw), np.log(draw.truth)
    covered = (found.low <= truth) & (truth <= found.high)
    thin = draw.counts < THIN
    low, high = np.quantile(truth, (0.025, 0.975))
    seen = np.isfinite(found.alone)
    return {
        "covered": covered.mean(),
        "covered_thin": covered[thin].mean(),
        "covered_known": covered[found.known].mean(),
        "known": found.known.mean(),
        "thin": thin.mean(),
        "width_known": (found.high - found.low)[found.known].mean() / (high - low),
        "error": _error(found.value - truth),
        "error_population": truth.std(),
        "error_alone": _error((found.alone - truth)[seen].clip(-3, 3)),
    }


def _error(differences: FloatArray) -> float:
    return float(np.sqrt((differences**2).mean()))


def estimated(draw: Draw) -> Found:
    """The section of the profile over a shop."""
    chosen = profile_settings().price_response
    everybody = ibis.memtable(pa.table({"customer": np.arange(CUSTOMERS)}))
    with kept(ibis.memtable(draw.lines)) as lines:
        items, orders = (lines.select(*names).distinct() for names in (["item"], ["customer", "occurred_on"]))
        with price_response.learnt(lines, orders, items, chosen) as learnt:
            responses = price_response.responses(learnt, everybody).order_by("customer").to_pyarrow()
            alone = _alone(learnt)
    names = ("price_response", "price_response_low", "price_response_high")
    value, low, high = (np.log(responses[name].to_numpy()) for name in names)
    return Found(value, low, high, responses["price_response_known"].to_numpy(), alone)


def _alone(learnt: Learnt) -> FloatArray:
    """The log of each customer's response by their own purchases; NaN where these say nothing."""
    curve, evidence = learnt.curve, learnt.evidence
    rise = curve.filter(curve.percent == price_response.TENTH).rise.to_pyarrow()[0].as_py()
    sums = evidence.group_by("customer").aggregate(s=evidence.s_x.sum(), j=evidence.j_xx.sum())
    rows = sums.filter(sums.j > 0).to_pyarrow()
    found = np.full(CUSTOMERS, np.nan)
    found[rows["customer"].to_numpy()] = rise + rows["s"].to_numpy() / rows["j"].to_numpy()
    return found


def shop(rng: np.random.Generator) -> Draw:
    """One shop."""
    depth = _offers(rng)
    steepness, halfway = rng.uniform(1, 2), rng.uniform(0.1, 0.25)

    def hill(off: FloatArray | float) -> FloatArray:
        return off**steepness / (off**steepness + halfway**steepness)

    gain = rng.lognormal(np.log(rng.uniform(0.6, 1.6)), rng.uniform(0.6, 0.9), CUSTOMERS)
    gain *= (rng.random(CUSTOMERS) > 0.15) * np.where(rng.random(CUSTOMERS) < 0.05, 3, 1)
    item_gain, fame = rng.gamma(1 / 0.16, 0.16, ITEMS), rng.lognormal(0, 1.2, ITEMS)
    fame /= fame.sum()
    rate, activity, season = rng.lognormal(np.log(1.2), 1, CUSTOMERS), _activity(rng), _season(rng)
    parts = []
    for customer in range(CUSTOMERS):
        kinds = int(np.clip(rng.poisson(6 + 12 * rate[customer]), 3, ITEMS // 3))
        own = rng.choice(ITEMS, kinds, replace=False, p=fame)
        share = rng.gamma(0.7, 1, kinds)
        rises = 1 + gain[customer] * item_gain[own, None] * hill(depth[own])
        expected = rate[customer] * (share / share.sum())[:, None] * activity[customer] * season * rises
        bought = rng.poisson(expected)
        place, week = np.nonzero(bought)
        times = bought[place, week]
        who = np.full(times.sum(), customer)
        parts.append((who, np.repeat(own[place], times), np.repeat(week, times)))
    customer, item, week = (np.concatenate(column) for column in zip(*parts, strict=True))
    pieces = rng.geometric(0.7, len(item))
    listed = rng.lognormal(1, 0.5, ITEMS)[item] * pieces
    day = np.datetime64(_FIRST) + week * 7 + rng.integers(0, 7, len(week))
    lines = {"customer": customer, "item": item, "occurred_on": day, "quantity": pieces, "list_value": listed}
    return Draw(pa.table(lines | {"shelf_discount": listed * depth[item, week]}), 1 + gain * hill(_TENTH))


def _offers(rng: np.random.Generator) -> FloatArray:
    """The discount on each item in each week: stretches of up to three weeks, more of them in busy times."""
    depth = np.zeros((ITEMS, WEEKS))
    usual = rng.choice(_DEPTHS, ITEMS, p=_OFTEN)
    busy = 0.5 + 0.5 * np.sin(2 * np.pi * (np.arange(WEEKS) / 52 + rng.random()))
    for item in range(ITEMS):
        week = int(rng.integers(0, 8))
        while week < WEEKS:
            length = int(rng.integers(1, 4))
            if rng.random() < 0.6 + 0.4 * busy[week]:
                depth[item, week : week + length] = usual[item] if rng.random() < 0.6 else rng.choice(_DEPTHS)
            week += length + int(rng.integers(2, 9))
    return depth


def _season(rng: np.random.Generator) -> FloatArray:
    """How much is bought in each week: a wave, noise, and a rush at the end of the year."""
    wave = 0.25 * np.sin(2 * np.pi * (np.arange(WEEKS) / 52 + rng.random()))
    return np.exp(wave + rng.normal(0, 0.08, WEEKS)) * np.where(np.arange(WEEKS) >= WEEKS - 6, 1.3, 1)


def _activity(rng: np.random.Generator) -> FloatArray:
    """How active each customer is in each week; a third come late, some leave early."""
    week = np.arange(WEEKS)
    first = np.where(rng.random(CUSTOMERS) < 0.35, rng.integers(0, WEEKS - 2, CUSTOMERS), 0)
    last = np.where(rng.random(CUSTOMERS) < 0.15, rng.integers(2, WEEKS, CUSTOMERS), WEEKS)
    there = (week >= first[:, None]) & (week < np.maximum(last, first + 1)[:, None])
    return rng.gamma(1 / 0.6, 0.6, (CUSTOMERS, WEEKS)) * there
