"""Where the past ends: moments up to which purchases are known, and what was bought after them."""

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

_HELD_OUT_ON = date(2000, 1, 1)
"""Where each customer's clock is set to, if each has a clock of their own."""


class SplitKind(StrEnum):
    """How past and future are told apart."""

    TEMPORAL = "temporal"
    LEAVE_LAST = "leave-last"


class TooShortError(ValueError):
    """The purchases do not reach back far enough to learn from one part and be judged by another."""


@dataclass(frozen=True)
class Cutoff:
    """A moment that ends the past.

    Args:
        day: the last day that is known.
        known: the events through it.
        later: the events after it.
        window: for how long after it one has to say what is bought.
    """

    day: date
    known: ir.Table
    later: ir.Table
    window: timedelta

    def lines(self) -> pa.Table:
        """What was bought by then, as `history.lines` has it."""
        return tables.order_lines(self.known, self.day).to_pyarrow()

    def bought(self, items: pa.Array, window: timedelta | None = None) -> WindowPurchases:
        """What was bought of these items in the window that follows, or in a longer one."""
        wares = ibis.memtable(pa.table({"item_id": items}))
        return purchases_in_window(tables.purchases(self.later), wares, self.day, window or self.window)


@dataclass(frozen=True)
class Splits:
    """What a recommender is judged on, and what it learns from.

    Args:
        test: the newest.
        tested: how long the time is whose purchases are foreseen.
        past: earlier ones, the newest first; their windows had ended by the test.
    """

    test: Cutoff
    tested: timedelta
    past: Sequence[Cutoff]


def temporal(events: ir.Table, windows: int, every_days: int, first: date | None = None) -> Splits:
    """One moment for all customers: what was bought from a day on is foreseen from what was before.

    Windows are as long as those of the daily model, or shorter where the purchases do not reach back so far.

    Args:
        events: purchases, all of them.
        windows: how many past windows there are to learn from.
        every_days: they begin at most so many days apart.
        first: the first day that is foreseen; None: the purchases of one window are.

    Raises:
        TooShortError: there is too little before or after that day.
    """
    days = events.occurred_at.date()
    ends = events.aggregate(begin=days.min(), end=days.max()).to_pyarrow().to_pylist()[0]
    one, least = timedelta(days=1), windows + 1
    begin, after = ends["begin"], ends["end"] + one
    if first is None:
        first = after - max(one, min(WINDOW, _whole((after - begin) / (least + 1))))
    window = min(WINDOW, _whole((first - begin) / least), after - first)
    if window < one:
        raise TooShortError(
            f"found purchases from {begin} to {ends['end']} and {first} as the first day to foresee; allowed "
            f"is one with at least {least} days before it and a purchase on it or later (or SPLIT=leave-last)"
        )
    apart = min(window, timedelta(days=every_days))
    ended = [first - one, *(first - one - window - apart * back for back in range(windows))]
    cuts = [Cutoff(day, events.filter(events.occurred_at < end_of(day)), events, window) for day in ended]
    return Splits(cuts[0], after - first, cuts[1:])


def _whole(length: timedelta) -> timedelta:
    return timedelta(days=length.days)


def leave_last(events: ir.Table, windows: int) -> Splits:
    """For each customer what the last order holds is foreseen from the orders before it.

    Each customer has a clock of their own: ages count from the order that is foreseen, and so do those of
    all others, whose orders are foreseen at the same time. The past cuts foresee the orders before the last.
    A customer of one order is known, and never asked about.

    Args:
        events: purchases, all of them; one without an order is one by its moment.
        windows: how many earlier orders there are to learn from.

    Raises:
        TooShortError: nobody has two orders.
    """
    order = ibis.coalesce(events.order_id, events.occurred_at.epoch_seconds().cast("string"))
    rows = events.mutate(order_id=order)
    moment = rows.occurred_at.epoch_seconds().min().over(ibis.window(group_by=["customer_id", "order_id"]))
    rows = rows.mutate(moment=moment.cast("int64"))
    newest_first = ibis.window(group_by="customer_id", order_by=[rows.moment.desc(), rows.order_id.desc()])
    ranked = rows.mutate(back=ibis.dense_rank().over(newest_first))
    counted = ranked.mutate(
        orders=ranked.back.max().over(ibis.window(group_by="customer_id")) + 1
    ).to_pyarrow()
    if pc.max(counted["orders"]).as_py() < 2:
        raise TooShortError("found no customer with two orders; allowed are tables where some come again")
    cuts = [_before_order(ibis.memtable(counted), back) for back in range(windows + 1)]
    return Splits(cuts[0], cuts[0].window, cuts[1:])


def _before_order(ranked: ir.Table, back: int) -> Cutoff:
    """Each customer as of the order that is so many before the last, at the end of `_HELD_OUT_ON`."""
    held = ibis.ifelse(ranked.orders == 1, -1, back)
    rows = ranked.mutate(held=held)
    asked = ibis.ifelse(rows.back == ibis.greatest(rows.held, 0), rows.moment, ibis.null("int64"))
    rows = rows.mutate(asked=asked.max().over(ibis.window(group_by="customer_id")))
    end = int(end_of(_HELD_OUT_ON).timestamp())
    then, before = rows.filter(rows.back == rows.held), rows.filter(rows.back > rows.held)
    later = then.mutate(occurred_at=_instant(ibis.literal(end)))
    known = before.mutate(occurred_at=_instant(ibis.least(end - 1, end + before.moment - before.asked)))
    return Cutoff(_HELD_OUT_ON, known, later, timedelta(days=1))


def _instant(seconds: ir.IntegerValue) -> ir.TimestampValue:
    return seconds.cast("int64").as_timestamp("s").cast("timestamp('UTC')")
