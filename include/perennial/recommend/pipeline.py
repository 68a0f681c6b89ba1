"""The steps of the recommender: train a candidate as of a day, recommend with the version in force."""

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from perennial.foundation import promotion, tracking
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.engine import kept
from perennial.foundation.item_vectors import in_force, texts
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.promotion import WINDOW
from perennial.foundation.registry import Pyfunc
from perennial.recommend import catalogue, memory, reasons, recommender
from perennial.recommend.blend import FREQUENCY, POPULARITY, SIGNALS
from perennial.recommend.config import RecommenderSettings, recommender_settings
from perennial.recommend.examination import Examination, bought_after
from perennial.recommend.memory import Shelf
from perennial.recommend.recommender import JUDGED_AT, NAME, Recommender
from perennial.recommend.sources import Sizes, Sources

_READ = ("model_log", "events", "items", "item_embeddings")
"""The log first: a space that it has in force is whole by then."""
_EXAMPLE_CUSTOMERS = 3
_BLOCK = 20_000
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
    tracking.set_aliases(endpoint, NAME, {tracking.CHALLENGER: registered.version})
    return {"model": NAME, "version": str(registered.version), "mlflow_run": run.id}


def score(day: str | date, endpoint: Endpoint) -> int:
    """Write `recommendations` of the day, for every customer with a profile of it; how many rows.

    The version in force on the day speaks. A day before the first promotion had none, and gets no rows.

    Raises:
        NoModelError: no version has ever been promoted.
    """
    day = date.fromisoformat(str(day))
    lake = open_lake()
    version = promotion.version_in_force(lake, NAME, day)
    blocks = []
    if version is not None:
        model: Recommender = tracking.load_model(endpoint, NAME, version)
        profiles = lake.read("profiles")
        customers = (
            profiles.filter(profiles.day == day).select("customer_id").order_by("customer_id").to_pyarrow()
        )
        blocks = [
            _stamped(model.recommend(block["customer_id"], recommender_settings().top), version, day)
            for block in (pa.Table.from_batches([one]) for one in customers.to_batches(_BLOCK))
        ]
    table = pa.concat_tables([_stamped(reasons.SCHEMA.empty_table(), 0, day), *blocks])
    lake.replace("recommendations", table, day)
    return table.num_rows


def fit_both(lake: Lake, day: date, chosen: RecommenderSettings) -> tuple[Recommender, Examination]:
    """Both fits, and the examination on the newest window, of which the judged fit knows nothing."""
    newest, earlier = day - WINDOW, day - 2 * WINDOW
    items = lake.known("items", day)
    wares = catalogue.merchandise(items, chosen.excluded_categories)
    with _bought(lake, earlier) as then, _bought(lake, newest) as lately, _bought(lake, day) as now:
        rows = [
            memory.known(bought, lake.known("items", one), one, chosen).to_pyarrow()
            for one, bought in ((earlier, then), (newest, lately), (day, now))
        ]
        learnt_from = bought_after(lately, wares, earlier, WINDOW)
        paper = bought_after(now, wares, newest, WINDOW)
    if not rows[0].num_rows:
        raise TooLittleHistoryError(
            f"training for {day}: nobody had bought anything to recommend by {earlier}"
        )
    shelf = _shelf(lake, items, memory.titles(rows), day)
    sizes = Sizes(chosen.candidates_by_content, chosen.candidates_by_popularity)
    past, recent, present = (
        Sources(shelf, memory.remember(found, shelf, chosen.items_remembered), sizes) for found in rows
    )
    learnt_from = learnt_from.among(past.memory.customer_ids)
    paper = paper.among(recent.memory.customer_ids)
    if not len(learnt_from.rows) or not len(paper.rows):
        raise TooLittleHistoryError(f"training for {day}: nobody bought both before and after {earlier}")
    judged = recommender.fit(past, learnt_from, recent)
    return Recommender(judged, served=recommender.fit(recent, paper, present)), paper


def _bought(lake: Lake, day: date) -> AbstractContextManager[ir.Table]:
    """What was bought, as known at the end of the day, held by the engine."""
    return kept(catalogue.purchases(lake.known("events", day)))


def _shelf(lake: Lake, items: ir.Table, titles: Mapping[str, str], day: date) -> Shelf:
    """The items with the vectors of their texts in force on the day; an item without one stays so."""
    space = in_force(lake, day)
    wanted = items.semi_join(ibis.memtable(pa.table({"item_id": pa.array(titles, pa.string())})), "item_id")
    hashes = texts(wanted, space.text).drop("text").to_pyarrow()
    held = lake.read("item_embeddings")
    needed = ibis.memtable(hashes.select(["text_hash"])).distinct()
    vectors = held.filter(held.encoder == space.key).semi_join(needed, "text_hash")
    return memory.shelf(
        titles, hashes, vectors.select("text_hash", "vector").order_by("text_hash").to_pyarrow()
    )


def _stamped(found: pa.Table, version: int, day: date) -> pa.Table:
    n = found.num_rows
    days, versions = pa.array([day] * n, pa.date32()), pa.array([version] * n, pa.int64())
    return found.append_column("day", days).append_column("model_version", versions)


def _packed(model: Recommender, folder: Path) -> Pyfunc:
    model.save(folder)
    example = pd.DataFrame({"customer_id": model.served.sources.memory.customer_ids[:_EXAMPLE_CUSTOMERS]})
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
    ours, frequency, popular = model.judged.outcomes(paper, [model.judged.blend, FREQUENCY, POPULARITY])
    weights = dict(zip(SIGNALS, model.judged.blend.weights, strict=True))
    params = {
        **chosen.model_dump(exclude={"excluded_categories"}),
        "excluded_categories": ", ".join(sorted(chosen.excluded_categories)),
        "protocol": _PROTOCOL,
        "customers_examination": len(paper.customer_ids),
        "items_on_shelf": len(model.served.sources.shelf.item_ids),
        "texts_on_shelf": len(model.served.sources.shelf.vectors),
    }
    metrics = {
        **ours.figures(JUDGED_AT),
        **{f"frequency_{name}": value for name, value in frequency.figures(JUDGED_AT).items()},
        **{f"popularity_{name}": value for name, value in popular.figures(JUDGED_AT).items()},
        **{f"weight_{name}": weight for name, weight in weights.items()},
    }
    run.log(params=params, metrics=metrics, model=logged)
