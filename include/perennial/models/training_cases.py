"""Training and test cases: customers as of a past cut-off, and whether they came back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Self

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.foundation.arrays import BoolArray, FloatArray
from perennial.foundation.lake import end_of
from perennial.models import features

HORIZONS = (7, 14, 28)
"""An order is predicted within so many days; models are judged by the last horizon."""

GROUPED_BY = ("life_cycle", "age", "income", "household_size", "kids_count")
"""Columns that make groups of customers; a new model may not cost any large group much."""

_RETURNS = tuple(f"came_back_{days}" for days in HORIZONS)
_SPENT = "spend_after"


@dataclass(frozen=True)
class TrainingCases:
    """Customers as of a cut-off, and what they did next.

    Args:
        rows: their profiles, `features.COLUMNS`, and the columns `GROUPED_BY`.
        returns: 1 for an order within so many days after the cut-off, else 0; shape (n, len(HORIZONS)).
        spend: revenue within the longest horizon, in currency, shape (n,).
    """

    rows: pa.Table
    returns: FloatArray
    spend: FloatArray

    @property
    def labels(self) -> FloatArray:
        """Whether they came back within the longest horizon, shape (n,)."""
        return self.returns[:, -1]

    @cached_property
    def matrix(self) -> FloatArray:
        """Their features, shape (n, features)."""
        return features.matrix(self.rows)

    @property
    def groups(self) -> dict[str, BoolArray]:
        """The members of each group by its name; customers with a missing value belong to none."""
        groups = {}
        for column in GROUPED_BY:
            values = self.rows[column].to_numpy()
            for name in sorted({value for value in values if value is not None}):
                groups[f"{column.replace('_', ' ')} {name}"] = values == name
        return groups

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """All cases, one part after the other."""
        all_parts = list(parts)
        returns, spend = (
            np.concatenate([getattr(part, name) for part in all_parts]) for name in ("returns", "spend")
        )
        return cls(pa.concat_tables([part.rows for part in all_parts]), returns, spend)

    def save(self, path: Path) -> None:
        """Write them as one Parquet file, so that other models can be judged by the same cases."""
        table = self.rows.append_column(_SPENT, pa.array(self.spend))
        for name, column in zip(_RETURNS, self.returns.T, strict=True):
            table = table.append_column(name, pa.array(np.ascontiguousarray(column)))
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote, in the same order."""
        return cls._of(pq.read_table(path))

    @classmethod
    def _of(cls, table: pa.Table) -> Self:
        returns = [table[name].cast(pa.float64()).to_numpy() for name in _RETURNS]
        spend = table[_SPENT].cast(pa.float64()).to_numpy()
        return cls(table.select([*features.COLUMNS, *GROUPED_BY]), np.column_stack(returns), spend)


def labelled(
    profiles: ir.Table, events: ir.Table, users: ir.Table, cutoffs: Sequence[date]
) -> list[TrainingCases]:
    """The cases of each cut-off, newest first; only customers who had ordered by then.

    Args:
        profiles: the table `profiles`.
        events: events as known on the day; the window of the newest cut-off ends with that day.
        users: customers as known on the day, for the groups.
        cutoffs: the past days, newest first; each one's window ends where the next newer one's begins.
    """
    customers = profiles.filter(profiles.day.isin(cutoffs), profiles.orders > 0)
    customers = customers.left_join(users.select("customer_id", *GROUPED_BY[1:]), "customer_id")
    after = after_cutoffs(events, cutoffs)
    cases = customers.left_join(after, ["customer_id", "day"])
    came_back = {name: ibis.coalesce(cases[name], False) for name in _RETURNS}
    spend = {_SPENT: cases[_SPENT].fill_null(0.0)}
    cases = read_by_the_model(cases, "day", *GROUPED_BY, **came_back, **spend).order_by("day", "customer_id")
    table = cases.to_pyarrow()
    days = table["day"].to_numpy()
    parts = [table.filter(pa.array(days == np.datetime64(cutoff))) for cutoff in cutoffs]
    return [TrainingCases._of(part) for part in parts if part.num_rows]


def after_cutoffs(events: ir.Table, cutoffs: Sequence[date]) -> ir.Table:
    """What customers did in the windows after the cut-offs: a row for each customer and cut-off with any.

    Returns:
        `customer_id, day` (the cut-off), `came_back_<days>` for each horizon, and `spend_after`, returned
        goods taken off.
    """
    traded = events.filter(events.event_type.isin(["purchase", "return"]))
    traded = traded.filter(traded.occurred_at >= end_of(cutoffs[-1]))
    cutoff = ibis.cases(*[(traded.occurred_at >= end_of(day), ibis.literal(day)) for day in cutoffs])
    with_cutoff = traded.mutate(day=cutoff)
    bought = with_cutoff.event_type == "purchase"
    of_window = with_cutoff.group_by("customer_id", "day").aggregate(
        first=with_cutoff.occurred_at.min(where=bought),
        **{_SPENT: with_cutoff.revenue.cast("decimal(18, 4)").sum().cast("float64")},
    )

    def within(days: int) -> ir.BooleanValue:
        ends = [(of_window.day == day, of_window["first"] < end_of(day + timedelta(days))) for day in cutoffs]
        return ibis.cases(*ends).fill_null(False)

    came_back = {name: within(days) for name, days in zip(_RETURNS, HORIZONS, strict=True)}
    return of_window.select("customer_id", "day", _SPENT, **came_back)


def read_by_the_model(profiles: ir.Table, *others: str, **made: ir.Column) -> ir.Table:
    """The columns of profile rows that features are made of, in their types; and other columns."""
    wanted = ibis.Schema.from_pyarrow(features.schema())
    columns = {name: profiles[name].cast(kind) for name, kind in wanted.items()}
    return profiles.select(*others, **columns, **made)
