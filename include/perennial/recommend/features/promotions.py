"""What the shop promotes: in how many of its stores each item is advertised and displayed, and will be.

A promotion counts from the day it is known. So what is announced for the days to come counts too; of a shop
that lands its flyers on the day they begin, only what has begun is known.
"""

from datetime import date, timedelta

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import Float32Array, FloatArray, Int32Array
from perennial.recommend.data.catalogue import Catalogue

_WEEK = 7
_BACK, _AHEAD = 91, 14
_SPANS = {"usually": (-_BACK, 0), "lately": (-28, 0), "now": (-7, 0), "soon": (0, _AHEAD)}
"""Days, the first and the one after the last; 0 is the day that follows."""
_WAYS = {"advertised": "mailer", "displayed": "display"}
NAMES = tuple(f"{way}_{when}" for way in _WAYS for when in (*_SPANS, "more"))
"""`more`: soon, less usually."""


def promotion_features(promotions: ir.Table, catalogue: Catalogue, day: date) -> Float32Array:
    """`NAMES` of each item: the share of the shop's stores, 0 to 1, averaged over the days.

    Args:
        promotions: as known at the end of the day.
        catalogue: the items.
        day: the day.

    Returns:
        Shape (items, len(NAMES)).
    """
    oldest, newest = day - timedelta(days=_BACK + _WEEK), day + timedelta(days=_AHEAD)
    near = promotions.filter(promotions.week > oldest, promotions.week <= newest)
    weeks = near.group_by("item_id", "week").agg(**_stores(near)).to_pyarrow()
    stores = near.store_id.nunique().to_pyarrow().as_py()
    items = catalogue.find(weeks["item_id"])
    begins = weeks["week"].cast(pa.int32()).to_numpy() - (day - date(1970, 1, 1)).days - 1
    there, columns = items >= 0, []
    for way in _WAYS:
        everywhere = weeks[f"{way}_everywhere"].to_numpy()
        share = np.where(everywhere, 1, weeks[way].to_numpy() / max(stores, 1))
        for span in _SPANS.values():
            counted = (share * _part(begins, *span))[there]
            # Weeks that begin on different days overlap.
            whole = np.minimum(np.bincount(items[there], counted, len(catalogue)), 1)
            columns.append(whole.astype(np.float32))
        usually, *_, soon = columns[-len(_SPANS) :]
        columns.append(soon - usually)
    return np.column_stack(columns)


def _stores(rows: ir.Table) -> dict[str, ir.Value]:
    """Of each way, in how many stores an item is promoted so, and whether it is in all of them."""
    found: dict[str, ir.Value] = {}
    for way, column in _WAYS.items():
        so = rows[column].notnull()
        found[way] = rows.store_id.nunique(where=so)
        found[f"{way}_everywhere"] = (so & rows.store_id.isnull()).any()
    return found


def _part(begins: Int32Array, first: int, end: int) -> FloatArray:
    """The part of a span of days that each week covers."""
    covered = np.minimum(begins + _WEEK, end) - np.maximum(begins, first)
    return np.maximum(covered, 0) / (end - first)
