"""The steps of the recommender: train a candidate as of a day, recommend with the version in force."""

import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perennial.foundation import engine, promotion, tracking
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.item_vectors import in_force, texts
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.pages import report_words
from perennial.foundation.promotion import WINDOW
from perennial.foundation.registry import Pyfunc
from perennial.foundation.settings import settings
from perennial.recommend import (
    catalogue,
    comparison,
    comparison_pictures,
    comparison_report,
    eligibility,
    exposure_report,
    history,
    new_items,
    reasons,
    recommender,
)
from perennial.recommend.config import RecommenderSettings, recommender_settings
from perennial.recommend.draw import drawn
from perennial.recommend.examination import Examination, bought_after
from perennial.recommend.exposure_report import Shown
from perennial.recommend.fit import RULES, Fit
from perennial.recommend.history import History
from perennial.recommend.lists import Lists
from perennial.recommend.marks import mark
from perennial.recommend.phrases import languages
from perennial.recommend.recommender import NAME, Customers, Recommender
from perennial.recommend.shelf import Shelf, find
from perennial.recommend.sources import Sources
from perennial.recommend.training import Window, fit

_READ = ("model_log", "events", "items", "item_embeddings")
"""The log first: a space that it has in force is whole by then."""
_EXAMPLE_CUSTOMERS = 3
_BLOCK = 20_000
_COMPARED = 500
"""Customers on whom every source is judged alone, every day."""
_PROTOCOL = (
    "different merchandise items bought in the 28 days, warm or cold, by customers who had bought before; "
    "every sellable item ranked, none sampled"
)


class TooLittleHistoryError(RuntimeError):
    """There are not enough past purchases to learn from and be judged."""


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
        model, paper = fit_both(lake, day, chosen)
        with tempfile.TemporaryDirectory() as folder:
            registered = run.register(_packed(model, Path(folder) / NAME))
            paper.save(Path(folder) / "bought.parquet")
            run.log_file(Path(folder) / "bought.parquet", tracking.EXAMINATION)
        run.log_tables(lake)
        _log(run, model, paper, chosen, registered.model_id)
        _log_comparison(run, model, paper)
    tracking.set_aliases(endpoint, NAME, {tracking.CHALLENGER: registered.version})
    return {"model": NAME, "version": str(registered.version), "mlflow_run": run.id}


def score(day: str | date, endpoint: Endpoint) -> int:
    """Write `recommendations` of the day, for every customer with a profile of it, and a page; how many rows.

    It goes in blocks of customers: what it holds in memory does not grow with them. The version in force on
    the day speaks. A day before the first promotion had none, and gets no rows.

    Raises:
        NoModelError: no version has ever been promoted.
    """
    day = date.fromisoformat(str(day))
    lake, chosen = open_lake(), recommender_settings()
    version = promotion.version_in_force(lake, NAME, day)
    if version is None:
        lake.replace("recommendations", _stamped(reasons.SCHEMA.empty_table(), 0, day), day)
        return 0
    model: Recommender = tracking.load_model(endpoint, NAME, version)
    fit, staging = model.served, settings().staging.resolve()
    shown = Shown.nothing(len(fit.sources.shelf))
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recommendations-", dir=staging) as folder:
        file = Path(folder) / "rows.parquet"
        with pq.ParquetWriter(file, _stamped(reasons.SCHEMA.empty_table(), 0, day).schema) as writer:
            for found in _recommended(lake, fit, day, chosen):
                writer.write_table(_stamped(found, version, day))
                shown += Shown.of(found, fit.sources.shelf)
        lake.replace("recommendations", engine.files([str(file)]), day)
    exposure_report.publish(shown, fit, version, day, report_words(), settings().reports)
    return shown.places


def _recommended(lake: Lake, fit: Fit, day: date, chosen: RecommenderSettings) -> Iterator[pa.Table]:
    """The lists of every customer with a profile of the day, by today's rules, block by block."""
    items, shelf = lake.known("items", day), fit.sources.shelf
    eligibility.check(chosen.eligibility, _catalogue(items))
    on_sale = items.filter(items.available).select("item_id").to_pyarrow()["item_id"]
    lists = Lists.of(chosen, fit.sources, fit.new_items, find(pa.array(shelf.item_ids), on_sale) >= 0, day)
    profiles, users = lake.read("profiles"), lake.known("users", day)
    asked = profiles.filter(profiles.day == day).select("customer_id")
    known_of = users.select("customer_id", "age", "locale")
    customers = asked.left_join(known_of, "customer_id").select("customer_id", "age", "locale")
    spoken = languages()
    for batch in customers.order_by("customer_id").to_pyarrow().to_batches(_BLOCK):
        block = pa.Table.from_batches([batch])
        names = block["customer_id"]
        lines = _lines(lake, day, ibis.memtable(block.select(["customer_id"])))
        known = History.of_lines(lines, shelf)
        history = known.of(known.find(names), names.to_numpy())
        adult = eligibility.adults(block["age"], chosen.eligibility.adult_age)
        who = Customers(history, adult, spoken.of(block["locale"]))
        yield recommender.recommend(fit, who, lists, spoken, chosen.top)


def fit_both(lake: Lake, day: date, chosen: RecommenderSettings) -> tuple[Recommender, Examination]:
    """Both fits, and the examination on the newest window, of which the judged fit knows nothing."""
    eligibility.check(chosen.eligibility, _catalogue(lake.known("items", day)))
    items = catalogue.merchandise(lake.known("items", day), chosen.excluded_categories)
    backs = _windows(chosen)
    days = [day, *(day - timedelta(back) for back in backs)]
    customers = _drawn(lake, day, chosen.customers)
    bought = [_lines(lake, one, customers) for one in days]
    shelf, available, listed = _shelf(lake, items, bought[0], day)
    histories = [History.of_lines(one, shelf) for one in bought]
    papers = [
        bought_after(catalogue.purchases(lake.known("events", one + WINDOW)), items, one, WINDOW).among(
            history.customer_ids
        )
        for one, history in zip(days[1:], histories[1:], strict=True)
    ]
    early = [paper for back, paper in zip(backs, papers, strict=True) if back >= 2 * WINDOW.days]
    if not len(papers[0].rows) or not any(len(paper.rows) for paper in early):
        raise TooLittleHistoryError(f"training for {day}: nobody bought both before and after {days[-1]}")
    sources = [Sources.fit(history, shelf, available, chosen) for history in histories if len(history)]
    windows = {
        back: Window(known, history, paper)
        for back, known, history, paper in zip(backs, sources[1:], histories[1:], papers, strict=False)
        if len(paper.rows)
    }
    over = [window for back, window in windows.items() if back >= 2 * WINDOW.days]
    new = [
        new_items.newest(history, shelf, listed - back, available, chosen.exploration)
        for history, back in zip(histories, (0, backs[0]), strict=False)
    ]
    served = fit(sources[0], histories[0], list(windows.values())[: chosen.ranker.windows], new[0])
    judged = fit(sources[1], histories[1], over[: chosen.ranker.windows], new[1])
    return Recommender(judged, served, available, day, languages()), papers[0]


def _windows(chosen: RecommenderSettings) -> list[int]:
    """How many days ago the windows begin that are learned from, the newest first.

    Further back than a served fit asks for, since the judged one may not learn from a window that overlaps
    with the newest.
    """
    apart = chosen.ranker.every_days
    count = chosen.ranker.windows + -(-WINDOW.days // apart)
    return [WINDOW.days + apart * number for number in range(count)]


def _drawn(lake: Lake, day: date, most: int) -> ir.Table | None:
    """The customers to learn from, drawn by chance; None: everybody."""
    events = lake.known("events", day)
    names = events.filter(events.event_type == "purchase").select("customer_id").distinct()
    if names.count().to_pyarrow().as_py() <= most:
        return None
    held = names.order_by("customer_id").to_pyarrow()
    return ibis.memtable(held.take(pa.array(drawn(held.num_rows, most))))


def _lines(lake: Lake, day: date, customers: ir.Table | None) -> pa.Table:
    """What customers had bought by the end of the day, as known then."""
    events = lake.known("events", day)
    asked = events if customers is None else events.semi_join(customers, "customer_id")
    return history.lines(asked, day).to_pyarrow()


def _shelf(
    lake: Lake, items: ir.Table, bought: pa.Table, day: date
) -> tuple[Shelf, NDArray[np.bool_], NDArray[np.int64]]:
    """The items that somebody bought and those that are new, with the vectors of their texts in force.

    Returns:
        The shelf; which items are available; days since each entered the catalogue, −1 where not known.
    """
    space = in_force(lake, day)
    sold = items.item_id.isin(ibis.memtable(bought.select(["item_id"])).distinct().item_id)
    new = items.available & (items.listed_on > day - timedelta(new_items.NEW_DAYS))
    wanted = items.filter(sold | new.fill_null(False))
    hashes = texts(wanted, space.text).drop("text").to_pyarrow()
    held = lake.read("item_embeddings")
    needed = ibis.memtable(hashes.select(["text_hash"])).distinct()
    vectors = held.filter(held.encoder == space.key).semi_join(needed, "text_hash")
    known = (
        wanted.select("item_id", "title", "category", "brand", "available", "listed_on")
        .to_pyarrow()
        .sort_by("item_id")
    )
    shelf = Shelf.of(known, hashes, vectors.select("text_hash", "vector").order_by("text_hash").to_pyarrow())
    listed = known["listed_on"].cast(pa.int32()).to_pandas()
    since = (day - date(1970, 1, 1)).days - listed
    return shelf, known["available"].to_numpy(), since.fillna(-1).to_numpy().astype(np.int64)


def _catalogue(items: ir.Table) -> Shelf:
    """Every item by its names, sold or not."""
    return Shelf.of(items.select("item_id", "title", "category", "brand").to_pyarrow())


def _stamped(found: pa.Table, version: int, day: date) -> pa.Table:
    n = found.num_rows
    days, versions = pa.array([day] * n, pa.date32()), pa.array([version] * n, pa.int64())
    return found.append_column("day", days).append_column("model_version", versions)


def _packed(model: Recommender, folder: Path) -> Pyfunc:
    model.save(folder)
    example = pd.DataFrame({"customer_id": model.served.history.customer_ids[:_EXAMPLE_CUSTOMERS]})
    return Pyfunc(
        name=NAME,
        folder=folder,
        loader=recommender.__name__,
        example=example,
        answer=model.predict(example),
        options={"k": 20, "fit": "served"},
        packages=recommender.PACKAGES,
    )


def _log(
    run: tracking.Run, model: Recommender, paper: Examination, chosen: RecommenderSettings, logged: str
) -> None:
    """Parameters, and the figures of the judged fit and of two simple rules on the newest window."""
    params = {
        **_flat(chosen.model_dump(exclude={"excluded_categories"})),
        "excluded_categories": ", ".join(sorted(chosen.excluded_categories)),
        "protocol": _PROTOCOL,
        "customers_examination": len(paper.customer_ids),
        "items_on_shelf": len(model.served.sources.shelf),
        "texts_on_shelf": len(model.served.sources.shelf.vectors),
    }
    found = mark(model.judged, paper, {"": model.judged.probability, **RULES})
    metrics = {
        f"{name}_{figure}".strip("_"): value
        for name, marks in found.items()
        for figure, value in marks.figures().items()
    }
    run.log(params=params, metrics=metrics, model=logged)


def _log_comparison(run: tracking.Run, model: Recommender, paper: Examination) -> None:
    """A run within the run for the ranker and each source alone, and the picture of who wins where."""
    found = comparison.compare(model.judged, paper, paper, most=_COMPARED)
    for way, metrics in comparison.by_way(found.figures).items():
        with run.child(way, {"way": way}) as child:
            child.log(metrics=metrics)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / comparison_report.PICTURE
        picture.write_text(comparison_pictures.who_wins(found.figures, comparison_report.labels(found)))
        run.log_file(picture)


def _flat(held: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings within settings by their path, as MLflow takes them."""
    found: dict[str, Any] = {}
    for name, value in held.items():
        inner = _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
        found |= inner
    return found
