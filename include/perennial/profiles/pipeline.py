"""The steps of `build_profiles`: the profiles of a day, and of the past days that training needs.

A profile of a past day holds what was known on that day, so nothing that lands later changes it. One thing
can: landing files of a past day that are sent again and replaced. They change what *was* known from that day
on, and profiles drawn before are stale. Whoever ingests a past day again builds the profiles again from that
day on: backfill `build_profiles`, or `airflow backfill create --dag-id ingest` over the whole stretch, which
wakes it. Days that are only training cut-offs are drawn anew by `build(day)` of each.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from perennial.foundation import contracts, time_zones
from perennial.foundation.embedding_spaces import in_force
from perennial.foundation.engine import kept
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.settings import settings
from perennial.profiles import (
    active_hours,
    discounts,
    life_cycle,
    order_regularity,
    orders,
    preferences,
    price_response,
    purchases,
    responsiveness,
    taste_vector,
)
from perennial.profiles.settings import ProfileSettings, profile_settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ = ("model_log", "events", "items", "users", "assignments", "item_embeddings")
"""The log first: a space that it has in force is whole by then."""
_NOBODY = -1


@dataclass(frozen=True)
class Past:
    """What all the days of a run share, read once; events with the days for which they hold."""

    lake: Lake
    parts: ir.Table
    baskets: ir.Table
    touches: ir.Table
    customers: ir.Table
    items: ir.Table
    offsets: ir.Table
    vectors_in: Callable[[str], taste_vector.TextVectors]
    profile_settings: ProfileSettings


def build(day: str) -> int:
    """Make the profiles of `day` again; how many customers have one."""
    lake = open_lake()
    with _past(lake, [date.fromisoformat(day)]) as past:
        return _write(lake, past, date.fromisoformat(day))


def fill_cutoffs(day: str, cutoffs: int | None = None) -> list[str]:
    """Make the profiles of the training cut-offs before `day` that have none yet; their days, newest first.

    Args:
        day: the day that is trained on; the cut-offs lie whole steps before it.
        cutoffs: how many; by default what profiles.yaml says.
    """
    lake = open_lake()
    missing = _missing_cutoffs(lake, date.fromisoformat(day), cutoffs)
    if missing:
        with _past(lake, missing) as past:
            for cutoff in missing:
                _write(lake, past, cutoff)
    return [cutoff.isoformat() for cutoff in missing]


def _missing_cutoffs(lake: Lake, day: date, cutoffs: int | None) -> list[date]:
    cutoff_settings = profile_settings().cutoffs
    count = cutoff_settings.count if cutoffs is None else cutoffs
    steps = (day - timedelta(days=cutoff_settings.every_days * step) for step in range(1, count + 1))
    missing = sorted(set(steps) - lake.days("profiles"), reverse=True)
    first = lake.read("events").known_on.min().to_pyarrow().as_py() if missing else None
    if first is None:
        return []
    return [cutoff for cutoff in missing if cutoff >= first + timedelta(days=cutoff_settings.history_days)]


def _write(lake: Lake, past: Past, day: date) -> int:
    with (
        kept(past.lake.known("users", day)) as customers,
        _sections(past, customers, day) as sections,
        ExitStack() as stack,
    ):
        # One by one: together they are more than an engine can plan at once, and need more memory.
        each = [stack.enter_context(kept(section)) for section in sections]
        lake.replace("profiles", _one_row_each(customers, each, day), day)
        return customers.count().to_pyarrow().as_py()


@contextmanager
def _sections(past: Past, customers: ir.Table, day: date) -> Iterator[list[ir.Table]]:
    """Every section of the profiles of a day, keyed by `customer_id`."""
    section_settings, parts = past.profile_settings, purchases.as_of(past.parts, day)
    touches, assignments = purchases.as_of(past.touches, day), past.lake.known("assignments", day)
    with (
        kept(purchases.orders(parts)) as bought,
        _of_items(past, customers, bought, day) as of_items,
        active_hours.hours(
            _on_their_clocks(bought, customers, past.offsets), customers, section_settings.active_hours
        ) as hours,
    ):
        yield [
            orders.rhythm(bought, day),
            orders.money(parts, day),
            orders.recent(bought),
            order_regularity.regularity(bought, section_settings.gaps),
            discounts.shares(parts),
            hours,
            responsiveness.channels(touches, customers, section_settings.responses),
            responsiveness.campaigns(assignments, touches, customers, section_settings.responses),
            life_cycle.stages(bought, customers, day, section_settings.life_cycle),
            *of_items,
        ]


@contextmanager
def _of_items(past: Past, customers: ir.Table, bought: ir.Table, day: date) -> Iterator[list[ir.Table]]:
    """The sections that look at single items: preferences, the response to prices, the vector."""
    section_settings, baskets = past.profile_settings, purchases.as_of(past.baskets, day)
    half_life = section_settings.preferences.half_life_days
    everybody = _numbered(customers, past.customers)
    with (
        kept(everybody) as everybody,
        kept(_described(past, baskets, day)) as items,
        kept(purchases.item_weights(_by_look(baskets, items), day, half_life, 0)) as weights,
        price_response.learnt(baskets, bought, items, section_settings.price_response) as learnt,
    ):
        memory, looks = (
            (section_settings.history.half_life_days, section_settings.history.value_exponent),
            _looks(items),
        )
        remembered = weights
        if memory != (half_life, 0):
            remembered = purchases.item_weights(_by_look(baskets, items), day, *memory)
        by_number = [
            preferences.categories(weights, looks, everybody, section_settings.preferences),
            preferences.brands(weights, looks, everybody, section_settings.preferences),
            price_response.responses(learnt, everybody.select("customer").distinct()),
            ibis.memtable(_vectors(past, remembered, looks, day)),
        ]
        yield [section.join(everybody, "customer").drop("customer") for section in by_number]


def _vectors(past: Past, weights: ir.Table, items: ir.Table, day: date) -> pa.Table:
    history, space = past.profile_settings.history, in_force(past.lake, day)
    described = items.select("item_id", "item", "title").join(texts(items, space.text), "item_id")
    return taste_vector.vectors(weights, described, past.vectors_in(space.key), history, space.encoder)


def _described(past: Past, baskets: ir.Table, day: date) -> ir.Table:
    """The items bought so far that say something about taste, as known at the end of `day`.

    Most look like another one: `look` is the number of the first that looks the same, and stands for all.
    """
    items = preferences.relevant_items(past.lake.known("items", day), past.profile_settings.preferences)
    named = items.join(past.items, "item_id").select(
        "item_id", "title", "category", "brand", "attributes", item=past.items.number
    )
    alike = ibis.window(group_by=["title", "category", "brand", "attributes"])
    return named.semi_join(baskets, "item").mutate(look=ibis._.item.min().over(alike))


def _looks(items: ir.Table) -> ir.Table:
    """Of all items that look the same only the first."""
    return items.filter(items.item == items.look)


def _by_look(baskets: ir.Table, items: ir.Table) -> ir.Table:
    """The baskets as if of all items that look the same only the first had been bought."""
    both = baskets.join(items.select("item", "look"), "item")
    return both.select("customer", "occurred_on", "revenue", item="look")


def _numbered(customers: ir.Table, numbers: ir.Table) -> ir.Table:
    """`customer_id, customer`: the customer's number; that of `NOBODY` for all who never did anything."""
    both = customers.select("customer_id").left_join(numbers, "customer_id")
    return both.select("customer_id", customer=both.number.fill_null(_NOBODY))


def _on_their_clocks(bought: ir.Table, customers: ir.Table, offsets: ir.Table) -> ir.Table:
    """The orders with the offset of the customer's time zone; the shop's where none is known."""
    known = offsets.select("time_zone").distinct()
    shop = settings().shop_time_zone
    zones = customers.select("customer_id", "time_zone").semi_join(known, "time_zone")
    named = bought.left_join(zones, "customer_id")
    named = named.select(
        *[bought[name] for name in bought.columns], time_zone=zones.time_zone.fill_null(shop)
    )
    return time_zones.with_offset(named, offsets, named.time_zone)


def _one_row_each(customers: ir.Table, sections: list[ir.Table], day: date) -> ir.Table:
    """The sections side by side, a row for each customer; who bought nothing has zeros and empty lists."""
    rows = customers.select("customer_id", "joined_on")
    # Every id under its own name, so that the engine sees one chain of joins, not a dozen one in another.
    for number, section in enumerate(sections):
        rows = rows.left_join(section, "customer_id", rname=f"{{name}}_{number}")
    rows = rows.drop(*(f"customer_id_{number}" for number in range(len(sections))))
    kinds = ibis.Schema.from_pyarrow(contracts.PROFILES.schema)
    lists = ("recent_orders", "categories", "brands", "channels")
    none = {name: ibis.literal([], kinds[name]) for name in lists}
    zero = ("orders", "orders_28", "orders_91", "spend", "spend_28", "spend_91", "redemptions")
    return rows.mutate(
        day=ibis.literal(day),
        tenure_days=ibis.literal(day).delta(rows.joined_on, unit="day"),
        thin=rows.orders.isnull(),
        price_response_known=rows.price_response_known.fill_null(False),
        average_order_value=_quotient(rows.spend, rows.orders.nullif(0)),
        **{name: rows[name].fill_null(0) for name in zero},
        **{name: ibis.coalesce(rows[name], empty) for name, empty in none.items()},
    )


def _quotient(whole: ir.DecimalValue, count: ir.IntegerValue) -> ir.DecimalValue:
    """To four digits, by whole numbers: engines round quotients of decimals in ways of their own."""
    fine = (whole * 10_000).cast("int64")
    return ((2 * fine + count) // (2 * count)).cast("decimal(18, 0)") / 10_000


@contextmanager
def _past(lake: Lake, days: list[date]) -> Iterator[Past]:
    """Read what the days need, at one version of each table, and let go of it afterwards."""
    pinned = lake.pinned(*_READ)
    events = pinned.read("events")
    events = events.filter(events.known_on <= max(days))
    zone, stretch = settings().shop_time_zone, _stretch(events)
    offsets = time_zones.offset_table([*_zones(pinned.read("users")), zone], *stretch)
    placed = time_zones.with_local_date(events, zone, *stretch)
    embeddings = pinned.read("item_embeddings")

    # Days of one space follow each other; only one at a time is kept in memory.
    @lru_cache(maxsize=1)
    def vectors_in(space: str) -> taste_vector.TextVectors:
        return taste_vector.text_vectors(embeddings.filter(embeddings.encoder == space))

    with ExitStack() as stack:

        def hold(rows: ir.Table) -> ir.Table:
            return stack.enter_context(kept(rows))

        repeated = hold(purchases.repeated(events))
        dated = purchases.dated(placed, repeated if repeated.count().to_pyarrow().as_py() else None)
        # Lines are read from the lake twice: that costs less than to hold all of them.
        lines = purchases.lines(dated)
        parts = hold(purchases.order_parts(lines))
        customers = hold(purchases.numbered(parts, "customer_id"))
        items = hold(purchases.numbered(pinned.read("items"), "item_id"))
        yield Past(
            lake=pinned,
            parts=parts,
            baskets=hold(purchases.baskets(lines, customers, items)),
            touches=hold(responsiveness.touches(dated)),
            customers=customers,
            items=items,
            offsets=offsets,
            vectors_in=vectors_in,
            profile_settings=profile_settings(),
        )


def _zones(users: ir.Table) -> list[str | None]:
    return users.select("time_zone").distinct().to_pyarrow()["time_zone"].to_pylist()


def _stretch(events: ir.Table) -> tuple[datetime, datetime]:
    """The first and the last moment of the events."""
    ends = events.aggregate(first=events.occurred_at.min(), last=events.occurred_at.max()).to_pyarrow()
    first, last = (column[0].as_py() or _EPOCH for column in ends.columns)
    return first, last
