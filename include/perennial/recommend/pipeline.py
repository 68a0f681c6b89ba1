"""The steps that a DAG calls: train a candidate of the day; recommend in shards; publish the page of the day.

A shard is a stretch of customers in the order of their ids. It is written by itself, so tasks on several
machines can share the work of a day, and any of them can be done again.
"""

import tempfile
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.foundation import engine
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.lake.table import Stretch
from perennial.foundation.ledger import open_ledger
from perennial.foundation.modelling import promotion, tracking
from perennial.foundation.pages import report_words
from perennial.foundation.settings import settings
from perennial.recommend import recommender, registration
from perennial.recommend.arrays.lookup import find
from perennial.recommend.data import tables
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.exposure import report
from perennial.recommend.exposure.report import ShownItems
from perennial.recommend.fit import Fit
from perennial.recommend.lists import eligibility
from perennial.recommend.lists.phrases import languages
from perennial.recommend.lists.reasons import SCHEMA
from perennial.recommend.lists.selection import ListSelector
from perennial.recommend.recommender import NAME, Customers, Recommender
from perennial.recommend.retraining import fit_both
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.settings import RecommenderSettings, recommender_settings

_READ = ("model_log", "events", "items", "promotions", "item_embeddings")
"""The log first: a space that it has in force is whole by then."""
_TABLE = "recommendations"
BLOCK = 10_000
"""Customers read at once."""


def train(day: str | date, endpoint: Endpoint) -> dict[str, str]:
    """Train, judge and register the day's candidate; or say what was decided, if the day is on record.

    Returns:
        `model`, `version` and `mlflow_run` of the candidate; `model`, `verdict` and more when the day is on
        record.

    Raises:
        TooLittleHistoryError: nobody bought both before and in one of the last two windows.
    """
    day = date.fromisoformat(str(day))
    on_record = promotion.decided(open_lake(), open_ledger(), NAME, day)
    if on_record is not None:
        return on_record
    lake, model_settings = open_lake().pinned(*_READ), recommender_settings()
    with tracking.run(endpoint, NAME, f"{NAME} {day}", {"day": str(day)}) as run:
        warm = _sequence_in_force(lake, day, endpoint, model_settings)
        model, truth = fit_both(lake, day, model_settings, warm)
        registered = registration.register(run, model, truth)
        run.log_tables(lake)
        registration.log(run, model, truth, model_settings, registered.model_id)
        registration.log_comparison(run, model, truth)
    tracking.set_aliases(endpoint, NAME, {tracking.CHALLENGER: registered.version})
    return {"model": NAME, "version": str(registered.version), "mlflow_run": run.id}


def plan(day: str | date) -> list[dict[str, Any]]:
    """The shards of the day, small enough for XCom: version in force, first customer, end.

    Together they cover all customers that there can be, so nothing of an earlier attempt is left. A day
    before the first promotion has no version in force, and gets no rows.

    Raises:
        NoModelError: no version has ever been promoted.
    """
    day = date.fromisoformat(str(day))
    lake, size = open_lake(), recommender_settings().customers_per_shard
    version = promotion.version_in_force(lake, NAME, day)
    customers = _customers(lake, day)
    numbered = customers.mutate(number=ibis.row_number().over(order_by=customers.customer_id))
    first = numbered.filter((numbered.number > 0) & (numbered.number % size == 0)).order_by("number")
    edges = [None, *first.to_pyarrow()["customer_id"].to_pylist(), None]
    return [{"version": version, "start": start, "end": end} for start, end in pairwise(edges)]


def score(shard: dict[str, Any], day: str | date, endpoint: Endpoint) -> int:
    """Write `recommendations` of a shard for the day; how many rows.

    It goes in blocks of customers: what it holds in memory does not grow with them.
    """
    day, lake, model_settings = date.fromisoformat(str(day)), open_lake(), recommender_settings()
    version, stretch = shard["version"], Stretch("customer_id", shard["start"], shard["end"])
    if version is None:
        lake.replace(_TABLE, _stamped(SCHEMA.empty_table(), 0, day), day, only=stretch)
        return 0
    model: Recommender = tracking.load_model(endpoint, NAME, version)
    staging, rows = settings().staging.resolve(), 0
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recommendations-", dir=staging) as folder:
        file = Path(folder) / "rows.parquet"
        with pq.ParquetWriter(file, _stamped(SCHEMA.empty_table(), 0, day).schema) as writer:
            for lists in _recommendations(lake, model.served, day, model_settings, stretch):
                writer.write_table(_stamped(lists, version, day))
                rows += lists.num_rows
        lake.replace(_TABLE, engine.files([str(file)]), day, only=stretch)
    return rows


def show(day: str | date, endpoint: Endpoint) -> int:
    """Publish the page of the items shown, from what the lake holds of the day; how many rows that is."""
    day, lake = date.fromisoformat(str(day)), open_lake()
    recommendations = lake.read(_TABLE)
    of_day = recommendations.filter(recommendations.day == day)
    counted = of_day.group_by("item_id", "model_version").agg(
        shown=of_day.count(), drawn=(of_day.propensity < 1).sum().fill_null(0)
    )
    items = counted.to_pyarrow()
    if not items.num_rows:
        return 0
    version = items["model_version"][0].as_py()
    model: Recommender = tracking.load_model(endpoint, NAME, version)
    fit = model.served
    counts = np.zeros(len(fit.sources.catalogue), np.int64)
    np.add.at(counts, fit.sources.catalogue.find(items["item_id"]), items["shown"].to_numpy())
    customers = of_day.customer_id.nunique().to_pyarrow().as_py()
    shown = ShownItems(customers, int(items["drawn"].to_numpy().sum()), counts)
    report.publish(shown, fit, version, day, report_words(), settings().reports)
    return shown.places


def recommend(day: str | date, endpoint: Endpoint) -> int:
    """All shards and the page in this process; how many rows."""
    for shard in plan(day):
        score(shard, day, endpoint)
    return show(day, endpoint)


def _sequence_in_force(
    lake: Lake, day: date, endpoint: Endpoint, model_settings: RecommenderSettings
) -> SequenceModel | None:
    """The sequence model in force, if the next one is to start from its weights."""
    if model_settings.sequence is None or not model_settings.sequence.warm:
        return None
    try:
        version = promotion.version_in_force(lake, NAME, day)
        if version is None:
            return None
        model: Recommender = tracking.load_model(endpoint, NAME, version)
    except (promotion.NoModelError, tracking.SavedOtherwiseError):
        return None
    return model.served.sources.sequence


def _customers(lake: Lake, day: date) -> ir.Table:
    """The customers with a profile of the day."""
    profiles = lake.read("profiles")
    return profiles.filter(profiles.day == day).select("customer_id")


def _recommendations(
    lake: Lake, fit: Fit, day: date, model_settings: RecommenderSettings, stretch: Stretch
) -> Iterator[pa.Table]:
    """The lists of the customers of a stretch, by today's model_settings, block by block."""
    items, catalogue, sentences = lake.known("items", day), fit.sources.catalogue, languages()
    eligibility.check_names(model_settings.eligibility, Catalogue.of(tables.item_names(items)))
    on_sale = items.filter(items.available).select("item_id").to_pyarrow()["item_id"]
    available = find(pa.array(catalogue.item_ids), on_sale) >= 0
    selector = ListSelector.of(model_settings, fit.sources, fit.new_items, available, day)
    events, users = lake.known("events", day), lake.known("users", day)
    attributes = users.select("customer_id", "age", "locale")
    joined = stretch.of(_customers(lake, day)).left_join(attributes, "customer_id")
    ordered = joined.select("customer_id", "age", "locale").order_by("customer_id")
    for batch in ordered.to_pyarrow().to_batches(BLOCK):
        block = pa.Table.from_batches([batch])
        customer_ids = block["customer_id"]
        of_block = events.semi_join(ibis.memtable(block.select(["customer_id"])), "customer_id")
        history = PurchaseHistory.of_lines(tables.order_lines(of_block, day).to_pyarrow(), catalogue)
        customers = Customers(
            history.of(history.find(customer_ids), customer_ids.to_numpy()),
            eligibility.known_adults(block["age"], model_settings.eligibility.adult_age),
            sentences.of(block["locale"]),
        )
        yield recommender.recommend(fit, customers, selector, sentences, model_settings.top)


def _stamped(rows: pa.Table, version: int, day: date) -> pa.Table:
    """The rows with the day and the version of the model."""
    days = pa.array([day] * rows.num_rows, pa.date32())
    versions = pa.array([version] * rows.num_rows, pa.int64())
    return rows.append_column("day", days).append_column("model_version", versions)
