"""What one code makes of the demo's year, run by path with that code alone on the path.

`python -P house_steps.py FOLDER` writes the tables as Parquet and all else as `figures.json`. It calls only
what the old and the new code have; where a step has moved, the places are tried in turn.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from datetime import date, timedelta
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

DAY = date(2017, 11, 30)
TABLES = ("item_embeddings", "profiles", "effects", "scores", "recommendations")
MODELS = ("return_model", "recommender")
PROMOTIONS_FROM = DAY - timedelta(weeks=5)
"""Weeks enough for both fits of the recommender to know of promotions."""

FIGURES = "figures.json"
LAYOUT = 1
"""What is written, and how: dumps of another number are made again."""

_PLACES = {
    "campaigns": (
        "perennial.demo.complete_journey.campaigns",
        "perennial.demo.complete_journey._campaigns",
    ),
    "train_recommender": (
        "perennial.recommend.pipeline.train",
        "perennial.recommend.pipeline.train.train",
        "perennial.recommend.training.train",
    ),
    "recommend": (
        "perennial.recommend.pipeline.recommend",
        "perennial.recommend.pipeline.recommend.recommend",
        "perennial.recommend.scoring.recommend",
    ),
    "promote": (
        "perennial.foundation.modelling.promotion.promote",
        "perennial.foundation.modelling.promotion.promote",
    ),
}


def write(folder: Path) -> None:
    """Run every step as of the day in a lake and an MLflow of their own, and write down what came of it."""
    from perennial.foundation import contracts
    from tests.acceptance import year

    with tempfile.TemporaryDirectory(prefix="perennial-house-") as name, chdir(name), year.shop() as lake:
        verdicts, seconds = _run(lake)
        for table in TABLES:
            _dump(lake, table, contracts.CONTRACTS[table].key, folder)
        written = {
            "keys": {table: list(contracts.CONTRACTS[table].key) for table in TABLES},
            "metrics": {model: _metrics(model) for model in MODELS},
            "verdicts": verdicts,
            "seconds": seconds,
            "config": os.environ.get("PERENNIAL_CONFIG", "the code's own"),
        }
    (folder / FIGURES).write_text(json.dumps(written, indent=1, sort_keys=True))


def _run(lake: Any) -> tuple[dict[str, str], dict[str, float]]:
    """The steps in their order; what the promotion says, and how long each step took."""
    from perennial.embeddings import pipeline as embeddings
    from perennial.foundation.endpoint import Endpoint
    from perennial.measurement import pipeline as measurement
    from perennial.models import pipeline as models
    from tests.acceptance import year
    from tests.learning import empty_mlflow

    day, endpoint = str(DAY), Endpoint(f"sqlite:///{Path.cwd()}/mlflow.db")
    shutil.copy(empty_mlflow(Path.cwd() / "empty"), "mlflow.db")
    steps: dict[str, Callable[[], Any]] = {
        "land": lambda: _land(lake),
        "embed": lambda: embeddings.embed(day),
        "profiles": lambda: year.draw(DAY),
        "train_return_model": lambda: models.train(day, endpoint),
        "train_recommender": lambda: _step("train_recommender")(day, endpoint),
        "promote": lambda: _promote(day, endpoint),
        "score": lambda: models.score(day, endpoint),
        "recommend": lambda: _step("recommend")(day, endpoint),
        "report": lambda: measurement.report(day, None),
    }
    answers, seconds = {}, {}
    for name, step in steps.items():
        began = time.monotonic()
        answers[name] = step()
        seconds[name] = round(time.monotonic() - began, 1)
        print(f"  {name}: {seconds[name]} s", flush=True)
    return answers["promote"], seconds


def _promote(day: str, endpoint: Any) -> dict[str, str]:
    """The promotion; the old code names the models itself."""
    promote = _step("promote")
    return promote(day, endpoint, *([MODELS] if "models" in signature(promote).parameters else []))


def _land(lake: Any) -> None:
    """What `year.shop` leaves out: the campaigns, and promotions of the last weeks."""
    from perennial.demo import complete_journey
    from perennial.foundation import contracts
    from tests.acceptance import year
    from tests.benchmarks.profiles_shop import landed

    campaigns = landed(contracts.CAMPAIGNS, _step("campaigns")())
    lake.replace("campaigns", campaigns, year.FIRST, year.LAST)
    rows = complete_journey.promotions()
    some = rows.filter((rows.week >= PROMOTIONS_FROM) & (rows.week <= DAY))
    each = some.group_by("item_id", "store_id", "week")
    once = each.agg(display=lambda rows: rows.display.max(), mailer=lambda rows: rows.mailer.max())
    lake.replace("promotions", landed(contracts.PROMOTIONS, once.mutate(_day=once.week)), year.FIRST, DAY)


def _dump(lake: Any, table: str, key: tuple[str, ...], folder: Path) -> None:
    import pyarrow.parquet as pq

    rows = lake.read(table).to_pyarrow().sort_by([(column, "ascending") for column in key])
    pq.write_table(rows.combine_chunks(), folder / f"{table}.parquet")


def _metrics(model: str) -> dict[str, float]:
    """All figures of the day's candidate in MLflow."""
    from mlflow import MlflowClient

    url = f"sqlite:///{Path.cwd()}/mlflow.db"
    client = MlflowClient(url, url)
    experiment = client.get_experiment_by_name(model)
    runs = client.search_runs([experiment.experiment_id], f"tags.day = '{DAY}'")
    return next(run.data.metrics for run in runs if "mlflow.parentRunId" not in run.data.tags)


def _step(name: str) -> Callable[..., Any]:
    """The step at the first place where this code has it."""
    for place in _PLACES[name]:
        module, _, attribute = place.rpartition(".")
        try:
            step = getattr(import_module(module), attribute)
        except (ImportError, AttributeError):
            continue
        if callable(step):
            return step
    raise LookupError(f"{name}: this code has none of {', '.join(_PLACES[name])}")


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve())
