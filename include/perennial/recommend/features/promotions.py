"""Promotions of items: in which share of the stores each item is advertised and displayed, and will be.

A promotion counts from the day it is known, also if it was announced for the days to come. If a shop lands
its flyers on the day they begin, only promotions that have begun are known.
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
"""First day and the day after the last; 0 is the day after the present one."""
_KINDS = {"advertised": "mailer", "displayed": "display"}
NAMES = tuple(f"{kind}_{when}" for kind in _KINDS for when in (*_SPANS, "more"))
"""`more` is soon less usually."""


def promotion_features(promotions: ir.Table, catalogue: Catalogue, day: date) -> Float32Array:
    """`NAMES` of each item: the share of the stores, 0 to 1, averaged over the days of a span.

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
    is_known, columns = items >= 0, []
    for kind in _KINDS:
        everywhere = weeks[f"{kind}_everywhere"].to_numpy()
        share = np.where(everywhere, 1, weeks[kind].to_numpy() / max(stores, 1))
        for span in _SPANS.values():
            covered = (share * _part(begins, *span))[is_known]
            # Weeks that begin on different days overlap: count them once.
            of_span = np.minimum(np.bincount(items[is_known], covered, len(catalogue)), 1)
            columns.append(of_span.astype(np.float32))
        usually, *_, soon = columns[-len(_SPANS) :]
        columns.append(soon - usually)
    return np.column_stack(columns)


def _stores(rows: ir.Table) -> dict[str, ir.Value]:
    """For each kind of promotion, in how many stores an item has it, and whether it has it everywhere."""
    aggregates: dict[str, ir.Value] = {}
    for kind, column in _KINDS.items():
        is_promoted = rows[column].notnull()
        aggregates[kind] = rows.store_id.nunique(where=is_promoted)
        aggregates[f"{kind}_everywhere"] = (is_promoted & rows.store_id.isnull()).any()
    return aggregates


def _part(begins: Int32Array, first: int, end: int) -> FloatArray:
    """The part of a span of days that each week covers."""
    covered = np.minimum(begins + _WEEK, end) - np.maximum(begins, first)
    return np.maximum(covered, 0) / (end - first)
