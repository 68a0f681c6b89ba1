"""The response to prices in plain pandas, a part of the peer `profiles_pandas`: the formulas of ours."""

import hashlib

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from perennial.foundation.arrays import FloatArray

_MONDAY = pd.Timestamp("1969-12-29")
_STRETCH_WEEKS, _MOST_PIECES = 13, 12
_SUMS = ["n", "x", "z", "xx", "xz", "zz"]
_TOLD = ["s_x", "s_z", "j_xx", "j_xz", "j_zz"]

Frame = pd.DataFrame


def responses(bought: Frame, telling: Frame, orders: Frame, customers: pd.Index) -> Frame:
    """`price_response`, `_low`, `_high` and `_known` of every customer."""
    rows = bought[(bought["quantity"] > 0) & (bought["list_value"] > 0)]
    rows = rows[rows["item_id"].isin(telling["item_id"])]
    rows = rows[["customer_id", "item_id", "list_value", "shelf_discount"]].assign(
        week=(rows["occurred_on"] - _MONDAY).dt.days // 7,
        pieces=rows["quantity"].clip(upper=_MOST_PIECES),
        customer=rows["customer_id"].factorize()[0],
    )
    rows["odd"] = _heaps(rows["customer_id"]) % 2
    rows["fold"] = _heaps(rows["item_id"])
    rows["stretch"] = rows["week"] // _STRETCH_WEEKS
    weeks = _weeks(rows, orders)
    rise = _curve(weeks)
    evidence = _evidence(rows, _offers(weeks, rise))
    return _posterior(evidence, rise[10], customers)


def _heaps(ids: pd.Series) -> pd.Series:
    heap = {name: int(hashlib.md5(name.encode()).hexdigest()[0], 16) % 8 for name in ids.unique()}
    return ids.map(heap)


def _weeks(rows: Frame, orders: Frame) -> Frame:
    keys = ["item_id", "week"]
    sold = rows.groupby(keys).agg(
        stretch=("stretch", "first"),
        first=("customer", "min"),
        last=("customer", "max"),
        off=("shelf_discount", "sum"),
        listed=("list_value", "sum"),
    )
    halves = rows.groupby([*keys, "odd"])["pieces"].sum().unstack(fill_value=0)
    sold[["even", "odd"]] = halves[[0, 1]]
    # Halves up, and from sums that are exact: pandas would round to even.
    off, listed = sold["off"].round(4), sold["listed"].round(4)
    sold["percent"] = np.floor(100 * off / listed + 0.5).clip(0, 95).astype(int)
    season = ((orders["occurred_on"] - _MONDAY).dt.days // 7).value_counts().rename("season")
    return sold.join(season, on="week").reset_index()


def _curve(weeks: Frame) -> FloatArray:
    weeks = weeks.assign(knot=(weeks["percent"] + 2) // 5)
    alike = ["half", "item_id", "stretch"]
    halves = [
        weeks[weeks[other] > 0].assign(pieces=weeks[own], half=own)
        for own, other in (("even", "odd"), ("odd", "even"))
    ]
    sold = pd.concat(halves).groupby([*alike, "knot"], as_index=False)[["pieces", "season"]].sum()
    usual = sold[sold["knot"] == 0].drop(columns="knot")
    both = sold[sold["knot"] > 0].merge(usual, on=alike, suffixes=("", "_usual"))
    whole = both["season"] + both["season_usual"]
    both["more"] = both["pieces"] * both["season_usual"] / whole
    both["usual"] = both["pieces_usual"] * both["season"] / whole
    knots = both.groupby("knot")[["more", "usual"]].sum() + 5
    level = np.log(knots["more"] / knots["usual"])
    weight = 1 / (1 / knots["more"] + 1 / knots["usual"])
    monotone = np.maximum(isotonic_regression(level, weights=weight).x, 0)
    return np.interp(np.arange(96), [0, *(knots.index * 5)], [0, *monotone])


def _offers(weeks: Frame, rise: FloatArray) -> Frame:
    x, z = weeks["percent"].clip(upper=10), (weeks["percent"] - 10).clip(0, 10)
    n = weeks["season"] * np.exp(rise[weeks["percent"]])
    products = {"n": n, "x": n * x, "z": n * z, "xx": n * x * x, "xz": n * x * z, "zz": n * z * z}
    return weeks[["item_id", "week", "stretch", "first", "last"]].assign(at_x=x, at_z=z, **products)


def _evidence(rows: Frame, offers: Frame) -> Frame:
    stretch = ["item_id", "stretch"]
    whole = offers.groupby(stretch)[_SUMS].sum().add_prefix("all_").reset_index()
    alone = offers[offers["first"] == offers["last"]].rename(columns={"first": "customer"})
    own = alone.groupby(["customer", *stretch])[_SUMS].sum().add_prefix("own_").reset_index()
    shared = offers.loc[offers["first"] < offers["last"], ["item_id", "week", "at_x", "at_z"]]
    lines = rows[["customer_id", "customer", "item_id", "week", "stretch", "fold", "pieces"]]
    lines = lines.merge(shared, on=["item_id", "week"]).merge(whole, on=stretch)
    lines = lines.merge(own, on=["customer", *stretch], how="left")
    mean = {name: lines[f"all_{name}"] - lines[f"own_{name}"].fillna(0) for name in _SUMS}
    mean |= {name: mean[name] / mean["n"] for name in _SUMS[1:]}
    told = {
        "s_x": (lines["at_x"] - mean["x"]) / 10,
        "s_z": (lines["at_z"] - mean["z"]) / 10,
        "j_xx": (mean["xx"] - mean["x"] ** 2) / 100,
        "j_xz": (mean["xz"] - mean["x"] * mean["z"]) / 100,
        "j_zz": (mean["zz"] - mean["z"] ** 2) / 100,
    }
    weighed = pd.DataFrame(told).mul(lines["pieces"], axis=0)
    return weighed.groupby([lines["customer_id"], lines["fold"]]).sum().reset_index()


def _posterior(evidence: Frame, rise: float, customers: pd.Index) -> Frame:
    information = (evidence["j_xx"] + evidence["j_zz"]).groupby(evidence["customer_id"]).transform("sum")
    w = 1 / (1 + information / 33)
    heaps = evidence[_TOLD].mul(w, axis=0).groupby(evidence["fold"]).sum()
    mean = _solved(*heaps.sum())
    without = np.array([_solved(*(heaps.sum() - heap))[0] for _, heap in heaps.iterrows()])
    variance = without.var() * (len(without) - 1)
    a, b, c = (evidence[name] for name in ("j_xx", "j_xz", "j_zz"))
    rest = pd.DataFrame({"a": a, "b": b, "c": c})
    rest["x"] = evidence["s_x"] - a * mean[0] - b * mean[1]
    rest["z"] = evidence["s_z"] - b * mean[0] - c * mean[1]
    t, phi = _population(rest, w, evidence["customer_id"])
    sums = rest.groupby(evidence["customer_id"]).sum().reindex(customers, fill_value=0)
    j = np.stack([sums[["a", "b"]].to_numpy(), sums[["b", "c"]].to_numpy()], axis=1)
    gain = np.linalg.solve(phi * np.eye(2) + (j @ t), np.broadcast_to(np.eye(2), j.shape))
    gain = (t @ gain)[:, 0]
    leaning = gain[:, 0] * phi / t[0, 0]
    log = rise + mean[0] + (gain * sums[["x", "z"]].to_numpy()).sum(axis=1)
    spread = 1.959963984540054 * np.sqrt(phi * gain[:, 0] + leaning**2 * variance)
    names = ("price_response", "price_response_low", "price_response_high")
    found = {
        name: np.exp(value) for name, value in zip(names, (log, log - spread, log + spread), strict=True)
    }
    return pd.DataFrame(found | {"price_response_known": leaning <= 0.5}, index=customers)


def _solved(s_x: float, s_z: float, xx: float, xz: float, zz: float) -> FloatArray:
    return np.asarray(np.linalg.solve([[xx + 33, xz], [xz, zz + 33]], [s_x, s_z]), np.float64)


def _population(rest: Frame, w: pd.Series, who: pd.Series) -> tuple[FloatArray, float]:
    """The covariance of the customers' slopes, and the overdispersion."""

    def products(rows: Frame, w: pd.Series) -> pd.Series:
        pairs = ("xx", "xz", "zz", "aa", "ab", "bb", "ac", "bc", "cc")
        return pd.Series({pair: (w**2 * rows[pair[0]] * rows[pair[1]]).sum() for pair in pairs})

    whole = rest.groupby(who).sum()
    p = products(whole, w.groupby(who).first()) - products(rest, w)
    before = 10 * 33**2
    table = [
        [p["aa"] + before, 2 * p["ab"], p["bb"]],
        [p["ab"], p["ac"] + p["bb"] + before, p["bc"]],
        [p["bb"], 2 * p["bc"], p["cc"] + before],
    ]
    t_xx, t_xz, t_zz = np.linalg.solve(table, p[["xx", "xz", "zz"]] + before * np.array([0.06, 0.03, 0.03]))
    t_xx, t_zz = max(t_xx, 1e-3), max(t_zz, 1e-3)
    most = 0.95 * np.sqrt(t_xx * t_zz)
    t_xz = np.clip(t_xz, -most, most)
    of_t = (w * (rest["a"] ** 2 * t_xx + 2 * rest["a"] * rest["b"] * t_xz + rest["b"] ** 2 * t_zz)).sum()
    phi = ((w * rest["x"] ** 2).sum() - of_t + 2 * 330) / ((w * rest["a"]).sum() + 330)
    return np.array([[t_xx, t_xz], [t_xz, t_zz]]), max(phi, 1e-3)
