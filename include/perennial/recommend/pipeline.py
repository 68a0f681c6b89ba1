"""The step of training: a candidate as of a day, registered with its examination and what it was worth."""

import tempfile
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.foundation.arrays import BoolArray, IntArray
from perennial.foundation.embedding_spaces import in_force, texts
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.modelling import promotion, tracking
from perennial.foundation.modelling.promotion import WINDOW
from perennial.foundation.modelling.registered import Pyfunc, Registered
from perennial.recommend import recommender
from perennial.recommend.any_data import report
from perennial.recommend.arrays.lookup import sample_rows
from perennial.recommend.data import history, tables
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchases_in_window
from perennial.recommend.evaluation import comparison, pictures
from perennial.recommend.evaluation.scorecard import scorecards
from perennial.recommend.features.promotions import promotion_features
from perennial.recommend.fit import RULES
from perennial.recommend.lists import eligibility
from perennial.recommend.lists.phrases import languages
from perennial.recommend.recommender import NAME, Recommender
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.settings import RecommenderSettings, recommender_settings
from perennial.recommend.sources import new_items
from perennial.recommend.sources.retrieval import CandidateSources
from perennial.recommend.training import TrainingWindow, fit, with_sequence_model

_READ = ("model_log", "events", "items", "promotions", "item_embeddings")
"""The log first: a space that it has in force is whole by then."""
_EXAMPLE_CUSTOMERS = 3
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
        model, paper = fit_both(lake, day, chosen, _followed_before(lake, day, endpoint, chosen))
        registered = register(run, model, paper)
        run.log_tables(lake)
        _log(run, model, paper, chosen, registered.model_id)
        _log_comparison(run, model, paper)
    tracking.set_aliases(endpoint, NAME, {tracking.CHALLENGER: registered.version})
    return {"model": NAME, "version": str(registered.version), "mlflow_run": run.id}


def register(run: tracking.Run, model: Recommender, paper: WindowPurchases) -> Registered:
    """Register a model, with its examination beside it."""
    with tempfile.TemporaryDirectory() as folder:
        paper.save(Path(folder) / "bought.parquet")
        run.log_file(Path(folder) / "bought.parquet", tracking.EXAMINATION)
        return run.register(_packed(model, Path(folder) / NAME))


def fit_both(
    lake: Lake, day: date, chosen: RecommenderSettings, warm: SequenceModel | None = None
) -> tuple[Recommender, WindowPurchases]:
    """Both fits, and the examination on the newest window, of which the judged fit knows nothing.

    Args:
        lake: pinned.
        day: the day.
        chosen: how.
        warm: the sequence model of an earlier day, to start from.
    """
    eligibility.check_names(chosen.eligibility, Catalogue.of(tables.item_names(lake.known("items", day))))
    items = tables.merchandise(lake.known("items", day), chosen.excluded_categories)
    backs = _windows(chosen)
    days = [day, *(day - timedelta(back) for back in backs)]
    customers = _drawn(lake, day, chosen.customers)
    bought = [_lines(lake, one, customers) for one in days]
    shelf, available, listed = _shelf(lake, items, bought[0], day)
    histories = [PurchaseHistory.of_lines(one, shelf) for one in bought]
    papers = [
        purchases_in_window(tables.purchases(lake.known("events", one + WINDOW)), items, one, WINDOW).among(
            history.customer_ids
        )
        for one, history in zip(days[1:], histories[1:], strict=True)
    ]
    early = [paper for back, paper in zip(backs, papers, strict=True) if back >= 2 * WINDOW.days]
    if not len(papers[0].rows) or not any(len(paper.rows) for paper in early):
        raise TooLittleHistoryError(f"training for {day}: nobody bought both before and after {days[-1]}")
    some = [history for history in histories if len(history)]
    told = [promotion_features(lake.known("promotions", one), shelf, one) for one in days[: len(some)]]
    fits = [
        CandidateSources.fit(history, shelf, available, chosen, one)
        for history, one in zip(some, told, strict=True)
    ]
    sources = with_sequence_model(fits, some, warm)
    windows = {
        back: TrainingWindow(known, history, paper)
        for back, known, history, paper in zip(backs, sources[1:], histories[1:], papers, strict=False)
        if len(paper.rows)
    }
    over = [window for back, window in windows.items() if back >= 2 * WINDOW.days]
    new = [
        new_items.newest_items(history, shelf, listed - back, available, chosen.exploration)
        for history, back in zip(histories, (0, backs[0]), strict=False)
    ]
    served = fit(sources[0], histories[0], list(windows.values())[: chosen.ranker.windows], new[0])
    judged = fit(sources[1], histories[1], over[: chosen.ranker.windows], new[1])
    return Recommender(judged, served, available, day, languages()), papers[0]


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
    return ibis.memtable(held.take(pa.array(sample_rows(held.num_rows, most))))


def _lines(lake: Lake, day: date, customers: ir.Table | None) -> pa.Table:
    """What customers had bought by the end of the day, as known then."""
    events = lake.known("events", day)
    asked = events if customers is None else events.semi_join(customers, "customer_id")
    return history.order_lines(asked, day).to_pyarrow()


def _shelf(lake: Lake, items: ir.Table, bought: pa.Table, day: date) -> tuple[Catalogue, BoolArray, IntArray]:
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
    shelf = Catalogue.of(
        known, hashes, vectors.select("text_hash", "vector").order_by("text_hash").to_pyarrow()
    )
    listed = known["listed_on"].cast(pa.int32()).to_pandas()
    since = (day - date(1970, 1, 1)).days - listed
    return shelf, known["available"].to_numpy(), since.fillna(-1).to_numpy().astype(np.int64)


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
    run: tracking.Run, model: Recommender, paper: WindowPurchases, chosen: RecommenderSettings, logged: str
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
    found = scorecards(model.judged, paper, {"": model.judged.probability, **RULES})
    metrics = {
        f"{name}_{figure}".strip("_"): value
        for name, marks in found.items()
        for figure, value in marks.figures().items()
    }
    run.log(params=params, metrics=metrics, model=logged)


def _log_comparison(run: tracking.Run, model: Recommender, paper: WindowPurchases) -> None:
    """A run within the run for the ranker and each source alone, and the picture of who wins where."""
    found = comparison.compare(model.judged, paper, paper, most=_COMPARED)
    for way, metrics in comparison.by_method(found.figures).items():
        with run.child(way, {"way": way}) as child:
            child.log(metrics=metrics)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / report.PICTURE
        picture.write_text(pictures.who_wins(found.figures, report.labels(found)))
        run.log_file(picture)


def _flat(held: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings within settings by their path, as MLflow takes them."""
    found: dict[str, Any] = {}
    for name, value in held.items():
        inner = _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
        found |= inner
    return found
