"""`make evaluate-recommender` on the demo's purchases as CSV: the figures of the pipeline's own path.

What was known on the eve of September 2017, and the purchases of that month, are written as two CSV files
and evaluated by the command, in a process of its own. The same month is read from the lake, learned and
judged as in `recommend.months`. Nothing later is looked at.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from perennial.demo.environment import REPOSITORY
from perennial.foundation import encoder
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.item_texts import texts
from perennial.foundation.settings import settings
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.window_purchases import WindowPurchases, purchases_in_window
from perennial.recommend.evaluation import comparison
from perennial.recommend.evaluation.comparison import RANKED
from tests.acceptance import recommend_shop, year
from tests.acceptance.lines import Line, at_least, at_most
from tests.acceptance.recommend_months import Standing
from tests.acceptance.recommend_shop import TUNED_ON, Month

_ITEM = ("item_id", "title", "category", "brand")
_EVENT = ("customer_id", "item_id", "order_id", "occurred_at", "quantity", "unit_price", "revenue")
_KEY = ["slice", "way", "measure"]


def any_data() -> Iterator[Line]:
    """Complete Journey as CSV, evaluated by the command, against the pipeline's own path."""
    with tempfile.TemporaryDirectory(prefix="perennial-any-data-") as name:
        folder = Path(name)
        month, whole, truth = _read(folder)
        figures = _by_command(folder)
        yield from _alike(figures, month, whole, truth)


def _read(folder: Path) -> tuple[Month, Catalogue, WindowPurchases]:
    """Write the tables; the month as the pipeline reads it, all known items, and what was bought in it."""
    eve, length = TUNED_ON - timedelta(days=1), timedelta(days=30)
    with year.shop() as lake:
        shop = recommend_shop._Shop(lake, pa.table({}), pa.table({}))
        wares, before, then = shop.wares(eve), shop.bought(eve), shop.bought(eve + length)
        events = lake.known("events", eve + length)
        bought = events.filter(events.event_type == "purchase").semi_join(wares, "item_id").select(*_EVENT)
        pa_csv.write_csv(bought.to_pyarrow(), folder / "purchases.csv")
        items = wares.select(*_ITEM).to_pyarrow()
        pa_csv.write_csv(items, folder / "items.csv")
        item_texts = texts(wares, embedding_settings().start.text)
        sold = item_texts.semi_join(before, "item_id").to_pyarrow()
        rest = item_texts.anti_join(before, "item_id").to_pyarrow()
        vectors = _encoded(sold)
        month = recommend_shop._month(recommend_shop._Shop(lake, sold, vectors), TUNED_ON)
        new = rest.filter(pc.invert(pc.is_in(rest["text_hash"], pc.unique(vectors["text_hash"]))))
        both = pa.concat_tables([vectors, _encoded(new)])
        whole = Catalogue.of(items, pa.concat_tables([sold, rest]), both)
        return month, whole, purchases_in_window(then, wares, eve, length)


def _encoded(item_texts: pa.Table) -> pa.Table:
    different = item_texts.group_by(["text_hash", "text"]).aggregate([]).sort_by("text_hash")
    model = encoder.load(embedding_settings().start.encoder)
    flat = model.encode(different["text"].to_pylist())
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    return pa.table({"text_hash": different["text_hash"].combine_chunks(), "vector": vectors})


def _by_command(folder: Path) -> pd.DataFrame:
    """The figures of the command by slice, method and measure."""
    command = [sys.executable, "-m", "perennial.demo.evaluate_recommender"]
    options = {"DATA": "purchases.csv", "ITEMS": "items.csv", "FROM": str(TUNED_ON), "OUT": "out"}
    environment = os.environ | {
        "PERENNIAL_STATE": str(folder),
        "PERENNIAL_THREADS": str(settings().threads),
        "PYTHONPATH": str(REPOSITORY / "include"),
    }
    command += [f"{name}={value}" for name, value in options.items()]
    subprocess.run(command, env=environment, cwd=folder, check=True)
    return pd.read_csv(folder / "out" / "figures.csv").set_index(_KEY)


def _alike(figures: pd.DataFrame, month: Month, whole: Catalogue, truth: WindowPurchases) -> Iterator[Line]:
    fit, _ = month.learned
    wide = comparison.widened(fit.sources, month.eve.history)
    same = comparison.compare(fit, truth, month.eve.after, wide, whole).figures.to_pandas().set_index(_KEY)
    columns = ["value", "low", "high", "customers"]
    apart = (figures[columns] - same[columns]).abs()
    missing = figures[columns].isna() != same[columns].isna()
    print(f"  {len(same)} figures, the farthest apart: {apart.max(axis=1).idxmax()}")
    yield at_most("recommend.any_data_difference", float(apart.max().max()), 1e-9, "")
    yield at_most("recommend.any_data_missing", int(missing.to_numpy().sum()), 0, "_figures")
    yield at_least("recommend.any_data_compared", len(same), 500, "_figures")
    judged = Standing.of(month, month.probabilities(fit, month.history), 0)
    worst = 0.0
    for part in RANKED:
        for name, value in judged.figures(part).items():
            measure = name.replace("@", "_")
            worst = max(worst, abs(value - figures.loc[(str(part), comparison.RANKER, measure), "value"]))
    yield at_most("recommend.any_data_ranker_difference", worst, 1e-9, "")
