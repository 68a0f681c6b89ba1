"""The step of training: a candidate as of a day, registered with its examination and what it was worth."""

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
from perennial.recommend import recommender
from perennial.recommend.arrays.lookup import find
from perennial.recommend.data import tables
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.exposure import report
from perennial.recommend.exposure.report import ShownItems
from perennial.recommend.fit import Fit
from perennial.recommend.lists import eligibility, reasons
from perennial.recommend.lists.phrases import languages
from perennial.recommend.lists.selection import ListSelector
from perennial.recommend.recommender import NAME, Customers, Recommender
from perennial.recommend.registration import _log, _log_comparison, register
from perennial.recommend.retraining import fit_both
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.settings import RecommenderSettings, recommender_settings

_READ = ("model_log", "events", "items", "promotions", "item_embeddings")
"""The log first: a space that it has in force is whole by then."""


def train(day: str | date, endpoint: Endpoint) -> dict[str, str]:
    """Train, examine and register the day's candidate, or say what became of it if that is decided already.

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
    lake, chosen = open_lake().pinned(*_READ), recommender_settings()
    with tracking.run(endpoint, NAME, f"{NAME} {day}", {"day": str(day)}) as run:
        model, truth = fit_both(lake, day, chosen, _followed_before(lake, day, endpoint, chosen))
        registered = register(run, model, truth)
        run.log_tables(lake)
        _log(run, model, truth, chosen, registered.model_id)
        _log_comparison(run, model, truth)
    tracking.set_aliases(endpoint, NAME, {tracking.CHALLENGER: registered.version})
    return {"model": NAME, "version": str(registered.version), "mlflow_run": run.id}


def _followed_before(
    lake: Lake, day: date, endpoint: Endpoint, chosen: RecommenderSettings
) -> SequenceModel | None:
    """The sequence model in force, if the next one is to start from its weights."""
    if chosen.sequence is None or not chosen.sequence.warm:
        return None
    try:
        version = promotion.version_in_force(lake, NAME, day)
        held: Recommender | None = None if version is None else tracking.load_model(endpoint, NAME, version)
    except (promotion.NoModelError, tracking.SavedOtherwiseError):
        return None
    return None if held is None else held.served.sources.sequence


_TABLE = "recommendations"


BLOCK = 10_000
"""Customers read at once."""


def plan(day: str | date) -> list[dict[str, Any]]:
    """The shards of the day, as small as XCom likes them: the version that speaks, first customer, and end.

    Together they cover all customers there can be, so nothing of an earlier attempt is left. A day before the
    first promotion had no version, and gets no rows.

    Raises:
        NoModelError: no version has ever been promoted.
    """
    day = date.fromisoformat(str(day))
    lake, most = open_lake(), recommender_settings().customers_per_shard
    version = promotion.version_in_force(lake, NAME, day)
    asked = _asked(lake, day)
    numbered = asked.mutate(number=ibis.row_number().over(order_by=asked.customer_id))
    first = numbered.filter((numbered.number > 0) & (numbered.number % most == 0)).order_by("number")
    edges = [None, *first.to_pyarrow()["customer_id"].to_pylist(), None]
    return [{"version": version, "start": start, "end": end} for start, end in pairwise(edges)]


def score(shard: dict[str, Any], day: str | date, endpoint: Endpoint) -> int:
    """Write `recommendations` of a shard for the day; how many rows.

    It goes in blocks of customers: what it holds in memory does not grow with them.
    """
    day, lake, chosen = date.fromisoformat(str(day)), open_lake(), recommender_settings()
    version, stretch = shard["version"], Stretch("customer_id", shard["start"], shard["end"])
    if version is None:
        lake.replace(_TABLE, _stamped(reasons.SCHEMA.empty_table(), 0, day), day, only=stretch)
        return 0
    model: Recommender = tracking.load_model(endpoint, NAME, version)
    staging, places = settings().staging.resolve(), 0
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recommendations-", dir=staging) as folder:
        file = Path(folder) / "rows.parquet"
        with pq.ParquetWriter(file, _stamped(reasons.SCHEMA.empty_table(), 0, day).schema) as writer:
            for found in _recommended(lake, model.served, day, chosen, stretch):
                writer.write_table(_stamped(found, version, day))
                places += found.num_rows
        lake.replace(_TABLE, engine.files([str(file)]), day, only=stretch)
    return places


def show(day: str | date, endpoint: Endpoint) -> int:
    """Publish the page of who is shown, from what the lake holds of the day; how many rows that is."""
    day, lake = date.fromisoformat(str(day)), open_lake()
    rows = lake.read(_TABLE)
    found = rows.filter(rows.day == day)
    counted = found.group_by("item_id", "model_version").agg(
        shown=found.count(), drawn=(found.propensity < 1).sum().fill_null(0)
    )
    each = counted.to_pyarrow()
    if not each.num_rows:
        return 0
    version = each["model_version"][0].as_py()
    model: Recommender = tracking.load_model(endpoint, NAME, version)
    fit = model.served
    counts = np.zeros(len(fit.sources.catalogue), np.int64)
    np.add.at(counts, fit.sources.catalogue.find(each["item_id"]), each["shown"].to_numpy())
    customers = found.customer_id.nunique().to_pyarrow().as_py()
    shown = ShownItems(customers, int(each["drawn"].to_numpy().sum()), counts)
    report.publish(shown, fit, version, day, report_words(), settings().reports)
    return shown.places


def recommend(day: str | date, endpoint: Endpoint) -> int:
    """All of it in this process; how many rows."""
    for shard in plan(day):
        score(shard, day, endpoint)
    return show(day, endpoint)


def _asked(lake: Lake, day: date) -> ir.Table:
    """The customers with a profile of the day."""
    profiles = lake.read("profiles")
    return profiles.filter(profiles.day == day).select("customer_id")


def _recommended(
    lake: Lake, fit: Fit, day: date, chosen: RecommenderSettings, stretch: Stretch
) -> Iterator[pa.Table]:
    """The lists of the customers of a stretch, by today's rules, block by block."""
    items, catalogue = lake.known("items", day), fit.sources.catalogue
    eligibility.check_names(chosen.eligibility, Catalogue.of(tables.item_names(items)))
    on_sale = items.filter(items.available).select("item_id").to_pyarrow()["item_id"]
    lists = ListSelector.of(
        chosen, fit.sources, fit.new_items, find(pa.array(catalogue.item_ids), on_sale) >= 0, day
    )
    events, users = lake.known("events", day), lake.known("users", day)
    known_of = users.select("customer_id", "age", "locale")
    asked = stretch.of(_asked(lake, day)).left_join(known_of, "customer_id")
    customers, spoken = asked.select("customer_id", "age", "locale"), languages()
    for batch in customers.order_by("customer_id").to_pyarrow().to_batches(BLOCK):
        block = pa.Table.from_batches([batch])
        names = block["customer_id"]
        theirs = events.semi_join(ibis.memtable(block.select(["customer_id"])), "customer_id")
        held = PurchaseHistory.of_lines(tables.order_lines(theirs, day).to_pyarrow(), catalogue)
        adult = eligibility.known_adults(block["age"], chosen.eligibility.adult_age)
        who = Customers(held.of(held.find(names), names.to_numpy()), adult, spoken.of(block["locale"]))
        yield recommender.recommend(fit, who, lists, spoken, chosen.top)


def _stamped(found: pa.Table, version: int, day: date) -> pa.Table:
    n = found.num_rows
    days, versions = pa.array([day] * n, pa.date32()), pa.array([version] * n, pa.int64())
    return found.append_column("day", days).append_column("model_version", versions)
