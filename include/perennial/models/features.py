"""From rows of `profiles` to the numbers that the return model reads, in training and serving alike.

Nothing but the profile goes in, so a feature knows exactly what its profile knew. A missing value is NaN,
which the trees treat as a value of its own.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.foundation import contracts

Numbers = NDArray[np.float64]

_TAKEN = (
    *("recency_days", "tenure_days", "orders", "orders_28", "orders_91", "spend_28", "spend_91"),
    *("average_order_value", "average_order_quantity", "gap_mean_days", "gap_deviation_days"),
    *("discount_share", "coupon_share", "redemptions"),
)
_DERIVED = (
    *("orders_7", "orders_14", "last_gap_days", "recent_gap_days", "recent_gap_deviation_days"),
    *("recency_in_gaps", "rate_change", "recent_value", "weekend_share"),
)
NAMES: tuple[str, ...] = (*_TAKEN, *_DERIVED)
"""The features, in the order of the matrix's columns."""

COLUMNS: tuple[str, ...] = ("customer_id", *_TAKEN, "recent_orders", "active_hours")
"""The columns of `profiles` that they are made of."""

_ORDERS_SEEN = 64
_RECENT = 8
_HOURS_OF_WEEK, _SATURDAY = 168, 120


def schema() -> pa.Schema:
    """What `matrix` reads, column by column; money as float, in currency units."""
    known = contracts.PROFILES.schema
    kinds = {name: known.field(name).type for name in COLUMNS}
    return pa.schema(
        [(name, pa.float64() if kind == contracts.MONEY else kind) for name, kind in kinds.items()]
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
    frame["active_hours"] = rows["active_hours"].to_pylist()
    return frame


def matrix(rows: pa.Table) -> Numbers:
    """The features of each profile row, shape (n, len(NAMES)), in the rows' order."""
    taken = {name: _column(rows, name) for name in _TAKEN}
    gaps = _orders(rows, "gap_days")
    values = _orders(rows, "value")
    recency = taken["recency_days"]
    ages = _ages(gaps, values, recency)
    recent = gaps[:, -_RECENT:]
    derived = {
        "orders_7": (ages < 7).sum(axis=1).astype(float),
        "orders_14": (ages < 14).sum(axis=1).astype(float),
        "last_gap_days": gaps[:, -1],
        "recent_gap_days": _mean(recent),
        "recent_gap_deviation_days": _deviation(recent),
        "recency_in_gaps": (recency + 1) / (np.nan_to_num(taken["gap_mean_days"], nan=365.0) + 1),
        "rate_change": (taken["orders_28"] / 28 + 0.01) / (taken["orders_91"] / 91 + 0.01),
        "recent_value": _mean(values[:, -_RECENT:]),
        "weekend_share": _weekend_share(rows["active_hours"]),
    }
    return np.column_stack([(taken | derived)[name] for name in NAMES])


def _column(rows: pa.Table, name: str) -> Numbers:
    return rows[name].cast(pa.float64()).to_numpy().astype(np.float64)


def _orders(rows: pa.Table, field: str) -> Numbers:
    """One field of the recent orders as a matrix, the newest order last, NaN where there are fewer."""
    lengths, orders = _flat(rows["recent_orders"])
    found = pc.struct_field(orders, field).cast(pa.float64()).to_numpy(zero_copy_only=False)
    from_newest = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(found))
    kept = from_newest <= _ORDERS_SEEN
    padded = np.full((len(lengths), _ORDERS_SEEN), np.nan)
    padded[np.repeat(np.arange(len(lengths)), lengths)[kept], _ORDERS_SEEN - from_newest[kept]] = found[kept]
    return padded


def _flat(lists: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.Array]:
    """How long each list is, and what they hold one after the other; a missing list is empty."""
    whole = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64), whole.flatten()


def _ages(gaps: Numbers, values: Numbers, recency: Numbers) -> Numbers:
    """Days since each recent order, NaN where there is none."""
    from_here = np.nancumsum(gaps[:, ::-1], axis=1)[:, ::-1]
    later = np.column_stack([from_here[:, 1:], np.zeros(len(gaps))])
    return np.where(np.isnan(values), np.nan, later + recency[:, None])


def _mean(values: Numbers) -> Numbers:
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    return np.divide(np.nansum(values, axis=1), counts, out=np.full(len(values), np.nan), where=counts > 0)


def _deviation(values: Numbers) -> Numbers:
    mean = _mean(values)
    return np.sqrt(_mean((values - mean[:, None]) ** 2))


def _weekend_share(hours: pa.ChunkedArray) -> Numbers:
    """Share of the orders on Saturday and Sunday; the week starts on Monday at 00."""
    lengths, shares = _flat(hours)
    if (lengths != _HOURS_OF_WEEK).any():
        raise ValueError(
            f"active_hours: {_HOURS_OF_WEEK} values are needed; found {sorted(set(lengths.tolist()))}"
        )
    return shares.to_numpy(zero_copy_only=False).reshape(-1, _HOURS_OF_WEEK)[:, _SATURDAY:].sum(axis=1)
