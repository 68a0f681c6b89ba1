"""From rows of `profiles` to the numbers that the return model reads, in training and serving alike.

Nothing but the profile goes in, so a feature knows exactly what its profile knew. A missing value is NaN,
which the trees treat as a value of its own.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation import contracts
from perennial.foundation.arrays import BoolArray, FloatArray, IntArray

_TAKEN = (
    *("recency_days", "tenure_days", "orders", "orders_28", "orders_91", "spend", "spend_28", "spend_91"),
    *("average_order_value", "average_order_quantity", "gap_mean_days", "gap_deviation_days"),
    *("discount_share", "coupon_share", "redemptions"),
)
_DERIVED = (
    *("orders_7", "orders_14", "orders_56", "active_windows", "rate_change"),
    *("last_gap_days", "recent_gap_days", "recent_gap_deviation_days", "gap_median_days", "gap_longest_days"),
    *("recency_in_gaps", "recency_in_longest", "recent_value", "recent_value_deviation"),
    *("spend_7", "spend_14", "spend_56", "spend_a_window", "window_spend_median", "window_spend_deviation"),
)
NAMES: tuple[str, ...] = (*_TAKEN, *_DERIVED)
"""The features, in the order of the matrix's columns."""

COLUMNS: tuple[str, ...] = ("customer_id", *_TAKEN, "recent_orders")
"""The columns of `profiles` that they are made of."""

ORDERS_SEEN = 64
_RECENT = 8
_WINDOW_DAYS, _WINDOWS = 28, 8
_LONG_AGO = 365.0


def schema() -> pa.Schema:
    """What `matrix` reads, column by column; money as float, in currency units."""
    known = contracts.PROFILES.schema
    types = {name: known.field(name).type for name in COLUMNS}
    return pa.schema(
        [(name, pa.float64() if kind == contracts.MONEY else kind) for name, kind in types.items()]
    )


def from_frame(frame: pd.DataFrame) -> pa.Table:
    """A pandas frame with the columns of `COLUMNS` as the table that `matrix` reads."""
    return pa.Table.from_pandas(frame[list(COLUMNS)], schema=schema(), preserve_index=False, safe=False)


def to_frame(rows: pa.Table) -> pd.DataFrame:
    """The other way round: profile rows as a frame of plain numbers, texts and lists."""
    frame = rows.select(COLUMNS).cast(schema()).to_pandas()
    for name in _TAKEN:
        frame[name] = frame[name].astype("float64")
    frame["recent_orders"] = [
        [
            {key: float("nan") if value is None else float(value) for key, value in order.items()}
            for order in orders
        ]
        for orders in rows["recent_orders"].to_pylist()
    ]
    return frame


def matrix(rows: pa.Table) -> FloatArray:
    """The features of each profile row, shape (n, len(NAMES)), in the rows' order."""
    taken = {name: _column(rows, name) for name in _TAKEN}
    gaps, values = recent_orders(rows, "gap_days"), recent_orders(rows, "value")
    recency = taken["recency_days"]
    ages = _ages(gaps, values, recency)
    recent, longest = gaps[:, -_RECENT:], _most(gaps)
    windows = _spend_by_window(ages, values, taken["tenure_days"])
    derived = {
        "orders_7": _counted(ages < 7),
        "orders_14": _counted(ages < 14),
        "orders_56": _counted(ages < 56),
        "active_windows": _active_windows(ages, taken["tenure_days"]),
        "rate_change": (taken["orders_28"] / 28 + 0.01) / (taken["orders_91"] / 91 + 0.01),
        "last_gap_days": gaps[:, -1],
        "recent_gap_days": _mean(recent),
        "recent_gap_deviation_days": _deviation(recent),
        "gap_median_days": _median(gaps),
        "gap_longest_days": longest,
        "recency_in_gaps": (recency + 1) / (np.nan_to_num(taken["gap_mean_days"], nan=_LONG_AGO) + 1),
        "recency_in_longest": (recency + 1) / (np.nan_to_num(longest, nan=_LONG_AGO) + 1),
        "recent_value": _mean(values[:, -_RECENT:]),
        "recent_value_deviation": _deviation(values[:, -_RECENT:]),
        **{f"spend_{days}": np.where(ages < days, values, 0).sum(axis=1) for days in (7, 14, 56)},
        "spend_a_window": taken["spend"] / np.maximum(taken["tenure_days"], _WINDOW_DAYS) * _WINDOW_DAYS,
        "window_spend_median": _median(windows),
        "window_spend_deviation": _deviation(windows),
    }
    return np.column_stack([(taken | derived)[name] for name in NAMES])


def _column(rows: pa.Table, name: str) -> FloatArray:
    return rows[name].cast(pa.float64()).to_numpy().astype(np.float64)


def recent_orders(rows: pa.Table, field: str) -> FloatArray:
    """One field of the recent orders, shape (n, ORDERS_SEEN): the newest last, NaN where there are fewer."""
    lengths, orders = _flat(rows["recent_orders"])
    values = pc.struct_field(orders, field).cast(pa.float64()).to_numpy(zero_copy_only=False)
    from_newest = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(values))
    kept = from_newest <= ORDERS_SEEN
    padded = np.full((len(lengths), ORDERS_SEEN), np.nan)
    padded[np.repeat(np.arange(len(lengths)), lengths)[kept], ORDERS_SEEN - from_newest[kept]] = values[kept]
    return padded


def _flat(lists: pa.ChunkedArray) -> tuple[IntArray, pa.Array]:
    """How long each list is, and what they hold one after the other; a missing list is empty."""
    whole = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64), whole.flatten()


def _ages(gaps: FloatArray, values: FloatArray, recency: FloatArray) -> FloatArray:
    """Days since each recent order, NaN where there is none."""
    from_here = np.nancumsum(gaps[:, ::-1], axis=1)[:, ::-1]
    later = np.column_stack([from_here[:, 1:], np.zeros(len(gaps))])
    return np.where(np.isnan(values), np.nan, later + recency[:, None])


def _mean(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    return np.divide(np.nansum(values, axis=1), counts, out=np.full(len(values), np.nan), where=counts > 0)


def _deviation(values: FloatArray) -> FloatArray:
    mean = _mean(values)
    return np.sqrt(_mean((values - mean[:, None]) ** 2))


def _median(values: FloatArray) -> FloatArray:
    order = np.sort(values, axis=1)  # missing values come last
    counts = (~np.isnan(values)).sum(axis=1)
    rows, middle = np.arange(len(values)), np.maximum(counts - 1, 0)
    return (order[rows, middle // 2] + order[rows, (middle + 1) // 2]) / 2


def _most(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    return np.where(known.any(axis=1), np.where(known, values, -np.inf).max(axis=1), np.nan)


def _counted(matches: BoolArray) -> FloatArray:
    return matches.sum(axis=1).astype(float)


def _windows_seen(ages: FloatArray, tenure: FloatArray) -> FloatArray:
    """How many of the last eight stretches of 28 days lie after joining and within the list of orders."""
    full = ~np.isnan(ages[:, 0])
    covered = np.where(full, np.minimum(tenure, np.nan_to_num(ages[:, 0])), tenure)
    return np.clip(covered // _WINDOW_DAYS, 1, _WINDOWS)


def _spend_by_window(ages: FloatArray, values: FloatArray, tenure: FloatArray) -> FloatArray:
    """Spend in each of the last eight stretches of 28 days, shape (n, 8); NaN in those not seen."""
    seen = _windows_seen(ages, tenure)
    stretch = ages // _WINDOW_DAYS
    spent = [np.where(stretch == back, values, 0).sum(axis=1) for back in range(_WINDOWS)]
    return np.where(np.arange(_WINDOWS) < seen[:, None], np.column_stack(spent), np.nan)


def _active_windows(ages: FloatArray, tenure: FloatArray) -> FloatArray:
    """Share of the last eight stretches of 28 days, of those seen, with an order."""
    seen = _windows_seen(ages, tenure)
    stretch = ages // _WINDOW_DAYS
    active = np.stack([(stretch == back).any(axis=1) & (back < seen) for back in range(_WINDOWS)])
    return active.sum(axis=0) / seen
