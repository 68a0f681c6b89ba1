"""How fast the recommender answers, in what memory, and how long it takes to learn.

`python -m tests.acceptance.recommend_speed FOLDER CUSTOMERS` recommends to so many customers, those of the
saved model again and again, in a process of its own and prints its peak memory by customers and the seconds.
"""

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse
from threadpoolctl import threadpool_limits

from perennial.embeddings import pipeline as embeddings
from perennial.recommend import pipeline, recommender
from perennial.recommend.pipeline import BLOCK
from perennial.recommend.recommender import Recommender
from perennial.recommend.settings import recommender_settings
from tests.acceptance import year
from tests.acceptance.lines import Line, at_least, at_most
from tests.benchmarks import bench

DAY = date(2017, 9, 30)
TOP = 20
MANY, FEWER, FEW = 1_000_000, 200_000, 20_000
_LONGEST_SECONDS = 600
_ALONE = 200
"""Customers of the plain loop."""
_ASKED, _WARM_UP = 50, 3


def speed() -> Iterator[Line]:
    """Customers a second, memory over a million of them, one customer on demand, training of everything."""
    with year.shop() as lake, tempfile.TemporaryDirectory(prefix="perennial-speed-") as name:
        embeddings.embed(str(DAY))
        began = time.monotonic()
        model, _ = pipeline.fit_both(lake, DAY, recommender_settings())
        training = time.monotonic() - began
        model.save(Path(name))
    yield from measured(model, training)


def measured(model: Recommender, training: float, many: int = MANY) -> Iterator[Line]:
    """What a model does, after so many seconds of training."""
    everybody = model.served.history.customer_ids
    whole = _customers_a_second(lambda: model.recommend(pa.array(everybody), TOP), len(everybody))
    alone = _one_by_one(model, everybody[:_ALONE])
    print(f"  {len(everybody)} customers: {whole:.0f} a second, in a plain loop one by one {alone:.0f}")
    for peer, theirs in _implicit(model):
        print(f"  {peer}, scores alone: {theirs:.0f} a second; ours in ratio {whole / theirs:.3g}")
    yield at_least("recommend.speed_customers", whole, 2000, "/s")
    yield at_least("recommend.speed_times_one_by_one", whole / alone, 5, "x")
    with tempfile.TemporaryDirectory(prefix="perennial-speed-") as name:
        model.save(Path(name))
        yield from _in_memory(Path(name), many if many / whole < _LONGEST_SECONDS else FEWER)
        yield from _on_demand(model, Path(name))
    yield at_most("recommend.speed_training", training, 600, "s")


def _customers_a_second(work: Callable[[], object], customers: int) -> float:
    return customers / bench.seconds(work)


def _one_by_one(model: Recommender, customers: np.ndarray) -> float:
    began = time.perf_counter()
    for customer in customers:
        model.recommend(pa.array([customer]), TOP)
    return len(customers) / (time.perf_counter() - began)


def _implicit(model: Recommender) -> Iterator[tuple[str, float]]:
    """What the package implicit recommends to the same customers, by models of its default sizes."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender

    bought = sparse.csr_matrix(model.served.history.weights())
    customers = np.arange(bought.shape[0])
    for peer in (AlternatingLeastSquares(), BM25Recommender()):
        with warnings.catch_warnings(action="ignore"), threadpool_limits(1, "blas"):
            peer.fit(bought, show_progress=False)
        work = partial(peer.recommend, customers, bought, TOP, filter_already_liked_items=False)
        yield f"implicit's {type(peer).__name__}", _customers_a_second(work, len(customers))


def _in_memory(folder: Path, many: int) -> Iterator[Line]:
    if many < MANY:
        print(f"  {MANY} customers would take over {_LONGEST_SECONDS} s: {many} instead")
    found = bench.apart(__name__, str(folder), str(many))
    peaks = {int(count): peak for count, peak in found["peak_mb"].items()}
    for count in (FEW, many):
        print(f"  {count} customers: peak {peaks[count]:.0f} MB")
    print(f"  {many} customers: {found['seconds']:.0f} s")
    yield at_most("recommend.speed_memory_growth", peaks[many] / peaks[FEW], 1.1, "x")


def _on_demand(model: Recommender, folder: Path) -> Iterator[Line]:
    """One customer at a time through the loaded pyfunc."""
    import mlflow.pyfunc

    names = model.served.history.customer_ids
    frames = [pd.DataFrame({"customer_id": [one]}) for one in names[:: -(-len(names) // _ASKED)]]
    with tempfile.TemporaryDirectory(prefix="perennial-pyfunc-") as name:
        options = {"k": TOP, "fit": "served"}
        signature = mlflow.models.infer_signature(frames[0], model.predict(frames[0]), options)
        mlflow.pyfunc.save_model(
            f"{name}/model", loader_module=recommender.__name__, data_path=str(folder), signature=signature
        )
        loaded = mlflow.pyfunc.load_model(f"{name}/model")
    taken = []
    for frame in [*frames[:_WARM_UP], *frames]:
        began = time.perf_counter()
        loaded.predict(frame, params={"k": TOP})
        taken.append(1000 * (time.perf_counter() - began))
    yield at_most("recommend.speed_one_customer_median", median(taken[_WARM_UP:]), 100, "ms")
    yield at_most("recommend.speed_one_customer_worst", max(taken[_WARM_UP:]), 100, "ms")


def main(folder: Path, customers: int) -> None:
    """Recommend to so many customers, block by block, as the pipeline does."""
    model = Recommender.load(folder)
    names, began, peaks = model.served.history.customer_ids, time.monotonic(), {}
    for start in range(0, customers, BLOCK):
        end = min(start + BLOCK, customers)
        model.recommend(pa.array(names[np.arange(start, end) % len(names)], pa.string()), TOP)
        peaks[end] = bench.peak_mb()
    print(json.dumps({"peak_mb": peaks, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
