"""The tables, column by column: name, type, meaning, unit, allowed values. Nothing else spells a column.

A change here comes with a migration of the lakes that exist.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

DAY = pa.date32()
INSTANT = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(14, 4)
TEXT = pa.string()
INT = pa.int64()
REAL = pa.float64()
FLAG = pa.bool_()
TEXTS = pa.list_(TEXT)
VECTOR = pa.list_(pa.float32())
WEIGHTS = pa.list_(pa.struct([("name", TEXT), ("weight", REAL)]))
ORDERS = pa.list_(pa.struct([("gap_days", INT), ("value", REAL), ("quantity", INT)]))
MESSAGES = pa.list_(
    pa.struct([("channel", TEXT), ("delivered", INT), ("opened", INT), ("clicked", INT), ("response", REAL)])
)

EVENT_TYPES = (
    *("impression", "view", "add_to_cart", "purchase", "return", "redeem"),
    *("delivered", "open", "click", "unsubscribe", "bounce", "complaint"),
)
LIFE_CYCLES = ("new", "active", "lapsing", "lapsed", "returned")
RHYTHMS = ("regular", "random", "bursty")
DRIFT_LEVELS = ("steady", "shifting", "shifted")
ARMS = ("treatment", "holdout", "none")
CHANNELS = ("email", "sms", "push")
SOURCES = ("repeat", "item_neighbours", "customer_neighbours", "content", "kind", "popularity", "new_item")


@dataclass(frozen=True)
class Contract:
    """A table's promise: its columns, the key that names a row, and the column its files are split by."""

    name: str
    description: str
    key: tuple[str, ...]
    partition: str | None
    fields: tuple[pa.Field, ...]

    @property
    def schema(self) -> pa.Schema:
        """Names, types and nullability, without the documentation."""
        return pa.schema([field.remove_metadata() for field in self.fields])

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that are never null."""
        return tuple(field.name for field in self.fields if not field.nullable)

    def allowed(self, column: str) -> tuple[str, ...]:
        """The closed set of values of a column; empty where any value is allowed."""
        found = (self._field(column).metadata or {}).get(b"allowed", b"")
        return tuple(found.decode().split("|")) if found else ()

    @property
    def earliest(self) -> tuple[str, ...]:
        """The columns of which the earliest value holds, whatever later versions of the row say."""
        return tuple(field.name for field in self.fields if b"earliest" in (field.metadata or {}))

    def describe(self, column: str) -> str:
        """What the column means, with its unit."""
        metadata = self._field(column).metadata
        unit = metadata.get(b"unit", b"").decode()
        return metadata[b"description"].decode() + (f" ({unit})" if unit else "")

    def _field(self, column: str) -> pa.Field:
        return next(field for field in self.fields if field.name == column)


def _column(
    name: str,
    kind: pa.DataType,
    description: str,
    *,
    unit: str = "",
    allowed: Iterable[str] = (),
    earliest: bool = False,
) -> pa.Field:
    """A column; a trailing `?` in the name says that it may be null."""
    metadata = {
        "description": description,
        "unit": unit,
        "allowed": "|".join(allowed),
        "earliest": "yes" * earliest,
    }
    filled = {key: value for key, value in metadata.items() if value}
    return pa.field(name.rstrip("?"), kind, nullable=name.endswith("?"), metadata=filled)


def _contract(name: str, description: str, key: str, partition: str | None, *fields: pa.Field) -> Contract:
    return Contract(name, description, tuple(key.split()), partition, fields)


_CUSTOMER = _column("customer_id", TEXT, "who")
_ITEM = _column("item_id", TEXT, "which item")
_DAY = _column("day", DAY, "the day it was made for")
_LANDED = _column("landed_on", DAY, "the day the file came")
_KNOWN = _column("known_on", DAY, "the day from which the row counts as known")
_VALID_FROM = _column("valid_from", DAY, "the day from which this version holds")

EVENTS = _contract(
    "events",
    "What customers did",
    "event_id landed_on",
    "landed_on",
    _column("event_id", TEXT, "the source's id of the event"),
    _LANDED,
    _CUSTOMER,
    _column("event_type", TEXT, "what happened", allowed=EVENT_TYPES),
    _column("occurred_at", INSTANT, "when it happened", unit="UTC"),
    _column("item_id?", TEXT, "which item"),
    _column("store_id?", TEXT, "in which store"),
    _column("order_id?", TEXT, "in which order"),
    _column("quantity?", INT, "how many", unit="pieces"),
    _column("unit_price?", MONEY, "list price of one piece, before discounts", unit="currency"),
    _column("shelf_discount?", MONEY, "taken off by the shop for everybody", unit="currency"),
    _column("coupon_discount?", MONEY, "taken off by a coupon", unit="currency"),
    _column("revenue?", MONEY, "what the shop received; negative for returns", unit="currency"),
    _column("campaign_id?", TEXT, "the campaign it belongs to"),
    _column("offer_id?", TEXT, "the offer it belongs to"),
    _column("channel?", TEXT, "the channel of a message, or of the answer to it", allowed=CHANNELS),
    _KNOWN,
)
ITEMS = _contract(
    "items",
    "The catalogue, a row a change",
    "item_id valid_from",
    "valid_from",
    _ITEM,
    _VALID_FROM,
    _column("title", TEXT, "what a person would call it"),
    _column("category?", TEXT, "path from wide to narrow", unit="a > b > c"),
    _column("brand?", TEXT, "brand"),
    _column("attributes?", TEXT, "anything else", unit="JSON object"),
    _column("price?", MONEY, "list price", unit="currency"),
    _column("unit_cost?", MONEY, "what a piece costs the shop", unit="currency"),
    _column("available", FLAG, "may it be sold"),
    _column("listed_on?", DAY, "the day it entered the catalogue", earliest=True),
    _KNOWN,
)
PROMOTIONS = _contract(
    "promotions",
    "What the shop displays and advertises, week by week",
    "item_id store_id week landed_on",
    "landed_on",
    _ITEM,
    _column("store_id?", TEXT, "in which store; everywhere where missing"),
    _column("week", DAY, "first day of the week it holds for"),
    _LANDED,
    _column("display?", TEXT, "where in the store it stands"),
    _column("mailer?", TEXT, "where in the mailer it is printed"),
    _KNOWN,
)
USERS = _contract(
    "users",
    "Customers, a row a change; no contact data",
    "customer_id valid_from",
    "valid_from",
    _CUSTOMER,
    _VALID_FROM,
    _column("joined_on", DAY, "the day the customer joined", earliest=True),
    _column("time_zone?", TEXT, "IANA name; the shop's where missing"),
    _column("locale?", TEXT, "language and country", unit="BCP 47"),
    _column("consents", TEXTS, "the channels the customer agreed to", allowed=CHANNELS),
    _column("age?", TEXT, "age band"),
    _column("income?", TEXT, "income band"),
    _column("household_size?", TEXT, "persons in the household"),
    _column("kids_count?", TEXT, "children in the household"),
    _KNOWN,
)
CONTACTS = _contract(
    "contacts",
    "How a customer can be reached, a row a change: the vault, apart from all other tables",
    "customer_id valid_from",
    "valid_from",
    _CUSTOMER,
    _VALID_FROM,
    _column("email?", TEXT, "e-mail address"),
    _column("phone?", TEXT, "telephone number", unit="E.164"),
    _column("push_token?", TEXT, "address of the customer's app at the push service"),
    _KNOWN,
)
CAMPAIGNS = _contract(
    "campaigns",
    "Campaigns, a row a change",
    "campaign_id valid_from",
    "valid_from",
    _column("campaign_id", TEXT, "which campaign"),
    _VALID_FROM,
    _column("name", TEXT, "what people call it"),
    _column("kind?", TEXT, "the shop's own sort of campaign"),
    _column("origin", TEXT, "who runs it", allowed=("shop", "perennial")),
    _column("starts_on", DAY, "first day"),
    _column("ends_on", DAY, "last day"),
    _column("measured_until", DAY, "last day that is measured"),
    _KNOWN,
)
ASSIGNMENTS = _contract(
    "assignments",
    "Who was in the shop's own campaigns",
    "campaign_id customer_id landed_on",
    "landed_on",
    _column("campaign_id", TEXT, "which campaign"),
    _CUSTOMER,
    _LANDED,
    _column("arm?", TEXT, "treated or held out, where the shop randomised", allowed=ARMS),
    _column("propensity?", REAL, "probability of that arm", unit="0 to 1"),
    _column("assigned_on", DAY, "the day the customer was assigned"),
    _KNOWN,
)
QUARANTINE = _contract(
    "quarantine",
    "Rows that were refused, with every reason",
    "table landed_on file line",
    "landed_on",
    _column("table", TEXT, "the table it was meant for"),
    _LANDED,
    _column("file", TEXT, "the landing file, relative to the landing folder"),
    _column("line", INT, "the row in that file, from 1"),
    _column("row", TEXT, "the row as it came", unit="JSON object"),
    _column("reasons", TEXTS, "why it was refused, all of it"),
    _column("replayed_on?", DAY, "the day it was published after all"),
)
VALIDATIONS = _contract(
    "validations",
    "What each rule found in each day's landing",
    "day table rule",
    "day",
    _DAY,
    _column("table", TEXT, "the table it judges"),
    _column("rule", TEXT, "what is counted by: `quantity out of range`, or the name of a table rule"),
    _column("level", TEXT, "what it judges", allowed=("row", "table")),
    _column("column?", TEXT, "the column it judges"),
    _column("rows", INT, "rows that landed"),
    _column("failed", INT, "rows that broke it; for a table rule 1 if it was broken"),
    _column("found?", REAL, "what a table rule measured"),
    _column("least?", REAL, "the least it allows"),
    _column("most?", REAL, "the most it allows"),
)
ITEM_EMBEDDINGS = _contract(
    "item_embeddings",
    "A vector for each different item text",
    "encoder text_hash",
    None,
    _column("encoder", TEXT, "encoder, revision and text template"),
    _column("text_hash", TEXT, "SHA-256 of the text"),
    _column("text", TEXT, "what was encoded"),
    _column("vector", VECTOR, "unit length"),
)
PROFILES = _contract(
    "profiles",
    "One row for each customer, as known at the end of the day",
    "day customer_id",
    "day",
    _DAY,
    _CUSTOMER,
    _column("joined_on", DAY, "the day the customer joined"),
    _column("tenure_days", INT, "since joining", unit="days"),
    _column("first_order_on?", DAY, "first order"),
    _column("last_order_on?", DAY, "last order"),
    _column("recency_days?", INT, "since the last order", unit="days"),
    _column("orders", INT, "orders so far (frequency)"),
    _column("orders_28", INT, "orders in the last 28 days"),
    _column("orders_91", INT, "orders in the last 91 days"),
    _column("spend", MONEY, "revenue so far (monetary value)", unit="currency"),
    _column("spend_28", MONEY, "revenue of the last 28 days", unit="currency"),
    _column("spend_91", MONEY, "revenue of the last 91 days", unit="currency"),
    _column("average_order_value?", MONEY, "revenue of an order", unit="currency"),
    _column("average_order_quantity?", REAL, "pieces in an order", unit="pieces"),
    _column("average_order_lines?", REAL, "lines in an order: different items, as the till writes them"),
    _column("gap_mean_days?", REAL, "mean time between orders", unit="days"),
    _column("gap_deviation_days?", REAL, "standard deviation of the time between orders", unit="days"),
    _column("burstiness?", REAL, "spread of the gaps: -1 like a clock, 0 at random, near 1 in bursts"),
    _column("rhythm?", TEXT, "what the burstiness says; null with too few gaps", allowed=RHYTHMS),
    _column("recent_orders", ORDERS, "the last 64 orders, oldest first; gap to the order before"),
    _column("thin?", FLAG, "has no order yet: what leans on the population is the population's"),
    _column("discount_share?", REAL, "discounts ÷ list value of what was bought", unit="0 to 1"),
    _column("coupon_share?", REAL, "coupon discounts ÷ list value of what was bought", unit="0 to 1"),
    _column("redemptions", INT, "coupons redeemed so far"),
    _column("price_response?", REAL, "pieces bought at a tenth off ÷ at the list price; 1 = does not mind"),
    _column("price_response_low?", REAL, "lower end of its 95 % interval"),
    _column("price_response_high?", REAL, "upper end of its 95 % interval"),
    _column("price_response_known?", FLAG, "do the customer's own purchases weigh more than the population?"),
    _column("categories", WEIGHTS, "up to ten preferred categories, recent purchases weigh more, sum ≤ 1"),
    _column("brands", WEIGHTS, "up to ten preferred brands, recent purchases weigh more, sum ≤ 1"),
    _column(
        "active_hours", pa.list_(REAL), "share of orders in each local hour of the week, Monday 00 first"
    ),
    _column("best_hour", INT, "the most active local hour of the week", unit="0 to 167"),
    _column("best_hour_confidence?", REAL, "probability that no other hour is more active", unit="0 to 1"),
    _column(
        "channels?", MESSAGES, "messages by channel; response: clicks ÷ delivered, leaning on everybody's"
    ),
    _column("campaigns_received?", INT, "campaigns of the shop that the customer was in"),
    _column(
        "campaigns_answered?", INT, "those of them under which the customer clicked, ordered or redeemed"
    ),
    _column("campaign_response?", REAL, "share answered, leaning on everybody's", unit="0 to 1"),
    _column("life_cycle", TEXT, "stage", allowed=LIFE_CYCLES),
    _column("life_cycle_since?", DAY, "first day of the stage"),
    _column("lapsing_on?", DAY, "the day on which, without an order, the customer is lapsing or was"),
    _column("lapsed_on?", DAY, "the day on which, without an order, the customer has lapsed"),
    _column("vector?", VECTOR, "the history among the item vectors, seen from the middle of the catalogue"),
)
SCORES = _contract(
    "scores",
    "What the models in force say of each customer",
    "day customer_id",
    "day",
    _DAY,
    _CUSTOMER,
    _column("p_return_7?", REAL, "probability of an order within 7 days", unit="0 to 1"),
    _column("p_return_14?", REAL, "probability of an order within 14 days", unit="0 to 1"),
    _column("p_return_28?", REAL, "probability of an order within 28 days", unit="0 to 1"),
    _column(
        "expected_spend?", REAL, "spend within 28 days that half of such customers exceed", unit="currency"
    ),
    _column("reasons", TEXTS, "the main reasons for the probability within 28 days, in words"),
    _column("model_version", INT, "registry version of the return model"),
)
RECOMMENDATIONS = _contract(
    "recommendations",
    "The items each customer is most likely to want",
    "day customer_id rank",
    "day",
    _DAY,
    _CUSTOMER,
    _column("rank", INT, "from 1"),
    _ITEM,
    _column("score", REAL, "the recommender's own score"),
    _column("source", TEXT, "what brought it up", allowed=SOURCES),
    _column("reason", TEXT, "one sentence for a person"),
    _column("evidence", TEXTS, "items the reason rests on"),
    _column(
        "propensity?", REAL, "probability with which the item was drawn; 1: without chance", unit="0 to 1"
    ),
    _column("model_version", INT, "registry version of the recommender"),
)
MODEL_LOG = _contract(
    "model_log",
    "Which model and which encoder have been in force from which day on, and why",
    "model day change",
    "day",
    _column("model", TEXT, "registered name, or encoder"),
    _DAY,
    _column("change", INT, "numbers the changes of one day"),
    _column("version?", INT, "registry version of the candidate"),
    _column("trained_through", DAY, "last day of its training data"),
    _column("verdict", TEXT, "what was decided", allowed=("promoted", "kept", "failed", "rolled_back")),
    _column("reason", TEXT, "why, in words"),
    _column("figures", TEXT, "what it was judged by; of an encoder what it is", unit="JSON object"),
)
DRIFT = _contract(
    "drift",
    "How far the customers of a day are from those that the model in force learnt from",
    "day model measure",
    "day",
    _DAY,
    _column("model", TEXT, "registered name"),
    _column("measure", TEXT, "a feature of the model, or score"),
    _column("psi", REAL, "population stability index against the training cases"),
    _column("by_chance", REAL, "what it stays under without any drift, in 999 of 1,000 days"),
    _column("level", TEXT, "what it says", allowed=DRIFT_LEVELS),
    _column("grows", FLAG, "grows by itself as the shop gets older, and alarms nobody"),
    _column("model_version", INT, "registry version of the model in force"),
)
AUDIENCES = _contract(
    "audiences",
    "Who was in which audience",
    "day audience customer_id",
    "day",
    _DAY,
    _column("audience", TEXT, "name in audiences.yaml"),
    _CUSTOMER,
)
CAMPAIGN_LOG = _contract(
    "campaign_log",
    "Our own campaigns as they stood on each day on which they took customers in; written once",
    "day campaign_id",
    "day",
    _DAY,
    _column("campaign_id", TEXT, "key in campaigns.yaml"),
    _column("name", TEXT, "what people call it"),
    _column("description", TEXT, "what it is for"),
    _column("audience", TEXT, "name in audiences.yaml"),
    _column("channels", TEXTS, "the channels it may use", allowed=CHANNELS),
    _column("priority", INT, "1 goes first"),
    _column("starts_on", DAY, "first day"),
    _column("ends_on", DAY, "last day"),
    _column("measured_until", DAY, "last day that is measured"),
    _column("holdout", REAL, "share of those not globally held out that it leaves out", unit="0 to 1"),
    _column("global_holdout", REAL, "share held out of all campaigns", unit="0 to 1"),
    _column("global_salt", TEXT, "what the global holdout was drawn with"),
)
ARMS_TABLE = _contract(
    "arms",
    "The arm of each customer in our own campaigns, drawn once",
    "campaign_id customer_id",
    "day",
    _column("campaign_id", TEXT, "which campaign"),
    _CUSTOMER,
    _column("arm", TEXT, "none = globally held out", allowed=ARMS),
    _column("propensity", REAL, "probability of that arm", unit="0 to 1"),
    _column("eligible_since", DAY, "the first day in the audience; effects count from here"),
    _DAY,
)
EFFECTS = _contract(
    "effects",
    "What each campaign did, or went along with",
    "day campaign_id measure segment",
    "day",
    _DAY,
    _column("campaign_id", TEXT, "which campaign"),
    _column("measure", TEXT, "name in foundation/measures.py"),
    _column("segment", TEXT, "arm, week or group; 'all' for everybody"),
    _column("estimate?", REAL, "value in the measure's unit"),
    _column("low?", REAL, "lower end of the 95 % interval"),
    _column("high?", REAL, "upper end of the 95 % interval"),
    _column("method", TEXT, "how the estimate came about"),
    _column("n", INT, "customers it rests on"),
)

CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        *(EVENTS, ITEMS, PROMOTIONS, USERS, CONTACTS, CAMPAIGNS, ASSIGNMENTS),
        *(QUARANTINE, VALIDATIONS),
        *(ITEM_EMBEDDINGS, PROFILES, SCORES, RECOMMENDATIONS, MODEL_LOG, DRIFT),
        *(AUDIENCES, CAMPAIGN_LOG, ARMS_TABLE, EFFECTS),
    )
}
LANDED_TABLES = ("items", "promotions", "users", "contacts", "campaigns", "assignments", "events")
"""Tables filled from landing files, each after those it refers to."""
