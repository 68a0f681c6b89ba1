"""Past and future: the moment up to which purchases are known, and what was bought after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.lake import end_of
from perennial.foundation.modelling.promotion import WINDOW
from perennial.recommend.data import tables
from perennial.recommend.data.window_purchases import WindowPurchases, purchases_in_window

_LEAVE_LAST_DAY = date(2000, 1, 1)
"""The day of the cutoff where each customer has a cutoff of their own; their times are moved to it."""


class SplitKind(StrEnum):
    """How purchases are split into past and future."""

    TEMPORAL = "temporal"
    LEAVE_LAST = "leave-last"


class TooShortError(ValueError):
    """There are too few purchases to train on one part and test on another."""


@dataclass(frozen=True)
class Cutoff:
    """A moment that ends the past.

    Args:
        day: the last known day.
        known: the events through that day.
        later: the events after that day.
        window: how long after it purchases are predicted.
    """

    day: date
    known: ir.Table
    later: ir.Table
    window: timedelta

    def order_lines(self) -> pa.Table:
        """The known purchases, as `data.tables.order_lines` returns them."""
        return tables.order_lines(self.known, self.day).to_pyarrow()

    def purchases_after(self, items: pa.Array, window: timedelta | None = None) -> WindowPurchases:
        """What was bought of these items in the window after the cutoff, or in a longer window."""
        item_table = ibis.memtable(pa.table({"item_id": items}))
        purchases = tables.purchases(self.later)
        return purchases_in_window(purchases, item_table, self.day, window or self.window)


@dataclass(frozen=True)
class Splits:
    """The cutoffs that a recommender is tested on and trained on.

    Args:
        test: the newest cutoff.
        test_length: how long after it purchases are predicted.
        past: earlier cutoffs, the newest first; their windows end before the test begins.
    """

    test: Cutoff
    test_length: timedelta
    past: Sequence[Cutoff]


def temporal(events: ir.Table, windows: int, every_days: int, first: date | None = None) -> Splits:
    """One cutoff for all customers: purchases from a day on are predicted from the purchases before it.

    Windows are as long as those of the daily model, or shorter if the purchases do not reach back so far.

    Args:
        events: all purchases.
        windows: how many past windows to train on.
        every_days: the most days between the beginnings of two windows.
        first: the first day to predict; None: the test is one window long.

    Raises:
        TooShortError: there are too few days before that day, or no purchases from it on.
    """
    days = events.occurred_at.date()
    ends = events.aggregate(begin=days.min(), end=days.max()).to_pyarrow().to_pylist()[0]
    one_day, least = timedelta(days=1), windows + 1
    begin, after = ends["begin"], ends["end"] + one_day
    if first is None:
        first = after - max(one_day, min(WINDOW, _whole_days((after - begin) / (least + 1))))
    window = min(WINDOW, _whole_days((first - begin) / least), after - first)
    if window < one_day:
        raise TooShortError(
            f"found purchases from {begin} to {ends['end']} and {first} as the first day to predict; "
            f"allowed is a day with at least {least} days before it and a purchase on it or later "
            "(or SPLIT=leave-last)"
        )
    apart = min(window, timedelta(days=every_days))
    last_days = [first - one_day, *(first - one_day - window - apart * back for back in range(windows))]
    cutoffs = [
        Cutoff(day, events.filter(events.occurred_at < end_of(day)), events, window) for day in last_days
    ]
    return Splits(cutoffs[0], after - first, cutoffs[1:])


def _whole_days(length: timedelta) -> timedelta:
    return timedelta(days=length.days)


def leave_last(events: ir.Table, windows: int) -> Splits:
    """The items of each customer's last order are predicted from the orders before it.

    Each customer has a clock of their own: ages count back from the order to predict. The orders to predict
    of all customers have the same time. The past cutoffs predict the order before the last, and so on.
    A customer with one order is known, but no purchases of this customer are predicted.

    Args:
        events: all purchases; lines without an order and with the same time are one order.
        windows: how many earlier orders to train on.

    Raises:
        TooShortError: no customer has two orders.
    """
    order = ibis.coalesce(events.order_id, events.occurred_at.epoch_seconds().cast("string"))
    lines = events.mutate(order_id=order)
    moment = lines.occurred_at.epoch_seconds().min().over(ibis.window(group_by=["customer_id", "order_id"]))
    lines = lines.mutate(moment=moment.cast("int64"))
    newest_first = ibis.window(group_by="customer_id", order_by=[lines.moment.desc(), lines.order_id.desc()])
    ranked = lines.mutate(back=ibis.dense_rank().over(newest_first))
    counted = ranked.mutate(
        orders=ranked.back.max().over(ibis.window(group_by="customer_id")) + 1
    ).to_pyarrow()
    if pc.max(counted["orders"]).as_py() < 2:
        raise TooShortError("found no customer with two orders; at least one such customer is needed")
    cutoffs = [_before_order(ibis.memtable(counted), back) for back in range(windows + 1)]
    return Splits(cutoffs[0], cutoffs[0].window, cutoffs[1:])


def _before_order(ranked: ir.Table, back: int) -> Cutoff:
    """Each customer as of an order, moved to the end of `_LEAVE_LAST_DAY`.

    Args:
        ranked: lines with `moment` (seconds), `back` (0 for a customer's last order) and `orders` (how many).
        back: which order to predict: 0 is the last.
    """
    target = ibis.ifelse(ranked.orders == 1, -1, back)
    lines = ranked.mutate(target=target)
    is_target = lines.back == ibis.greatest(lines.target, 0)
    target_moment = ibis.ifelse(is_target, lines.moment, ibis.null("int64"))
    lines = lines.mutate(target_moment=target_moment.max().over(ibis.window(group_by="customer_id")))
    end = int(end_of(_LEAVE_LAST_DAY).timestamp())
    then, before = lines.filter(lines.back == lines.target), lines.filter(lines.back > lines.target)
    later = then.mutate(occurred_at=_instant(ibis.literal(end)))
    moved = ibis.least(end - 1, end + before.moment - before.target_moment)
    known = before.mutate(occurred_at=_instant(moved))
    return Cutoff(_LEAVE_LAST_DAY, known, later, timedelta(days=1))


def _instant(seconds: ir.IntegerValue) -> ir.TimestampValue:
    return seconds.cast("int64").as_timestamp("s").cast("timestamp('UTC')")
