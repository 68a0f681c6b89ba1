"""Cases to learn from and to be judged on: customers as of a past cut-off, and whether they came back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.foundation.lake import end_of
from perennial.models import features
from perennial.models.features import Numbers

_LABEL = "came_back"


@dataclass(frozen=True)
class Cases:
    """Customers as of a cut-off, and what they did next.

    Args:
        rows: their profiles, `features.COLUMNS`.
        labels: 1 for an order within the window that follows the cut-off, else 0; in the rows' order.
    """

    rows: pa.Table
    labels: Numbers

    @property
    def matrix(self) -> Numbers:
        """Their features, shape (n, features)."""
        return features.matrix(self.rows)

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """All cases, one part after the other."""
        held = list(parts)
        return cls(pa.concat_tables([one.rows for one in held]), np.concatenate([one.labels for one in held]))

    def save(self, path: Path) -> None:
        """Write them as one Parquet file, so that other models can be asked about the same cases."""
        pq.write_table(self.rows.append_column(_LABEL, pa.array(self.labels)), path, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote, in the same order."""
        return cls._of(pq.read_table(path))

    @classmethod
    def _of(cls, table: pa.Table) -> Self:
        return cls(table.select(features.COLUMNS), table[_LABEL].cast(pa.float64()).to_numpy())


def labelled(profiles: ir.Table, events: ir.Table, cutoffs: Sequence[date]) -> list[Cases]:
    """The cases of each cut-off, newest first; only customers who had ordered by then.

    Args:
        profiles: the table `profiles`.
        events: events as known on the day; the window of the newest cut-off ends with that day.
        cutoffs: the past days, newest first; each one's window ends where the next newer one's begins.
    """
    known = profiles.filter(profiles.day.isin(cutoffs), profiles.orders > 0)
    came_back = orders_after(events, cutoffs).mutate(ordered=True)
    cases = known.left_join(came_back, ["customer_id", "day"])
    cases = read_by_the_model(cases, "day", **{_LABEL: cases.ordered.notnull()}).order_by(
        "day", "customer_id"
    )
    table = cases.to_pyarrow()
    days = table["day"].to_numpy()
    parts = [table.filter(pa.array(days == np.datetime64(cutoff))) for cutoff in cutoffs]
    return [Cases._of(part) for part in parts if part.num_rows]


def orders_after(events: ir.Table, cutoffs: Sequence[date]) -> ir.Table:
    """Who ordered in the window after which cut-off: `customer_id, day`, one row each."""
    bought = events.filter(events.event_type == "purchase", events.occurred_at >= end_of(cutoffs[-1]))
    cutoff = ibis.cases(*[(bought.occurred_at >= end_of(day), ibis.literal(day)) for day in cutoffs])
    return bought.select("customer_id", day=cutoff).distinct()


def read_by_the_model(profiles: ir.Table, *others: str, **made: ir.Column) -> ir.Table:
    """The columns of profile rows that features are made of, in their types; and others beside them."""
    wanted = ibis.Schema.from_pyarrow(features.schema())
    columns = {name: profiles[name].cast(kind) for name, kind in wanted.items()}
    return profiles.select(*others, **columns, **made)
