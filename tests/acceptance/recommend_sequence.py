"""The sequence model by itself: against popularity on every slice, against EASE on what was never bought.

It learns for its share of the training, then on, up to an hour, in one training that is stopped now and then
to be judged; time is that of one processor. New items and customers cut to their first orders are those of
`recommend_cold`; a model for the latter learns, for the same share, from the other customers.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import torch
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from perennial.foundation.arrays import Float32Array, FloatArray, IntArray, StringArray
from perennial.foundation.bootstrap import interval
from perennial.foundation.pages import STYLE, svg
from perennial.recommend.arrays import parallel
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.evaluation.baselines import on_wider_catalogue
from perennial.recommend.evaluation.metrics import evaluate, judge, top_items
from perennial.recommend.evaluation.ranking_task import Slice
from perennial.recommend.sequence import inputs as reading
from perennial.recommend.sequence.model import SequenceModel as Model
from perennial.recommend.sequence.training import TrainingData, initialise, train
from perennial.recommend.settings import SequenceSettings
from perennial.recommend.sources.new_items import NewItems
from tests.acceptance import recommend_shop
from tests.acceptance.lines import Line, at_least
from tests.acceptance.recommend_cold import DEPTH, ORDERS, TASTE, apart, by_category, first_orders, unseen
from tests.acceptance.recommend_months import HISTORY_SIZES
from tests.acceptance.recommend_peers import RANKED, ease, popularity
from tests.acceptance.recommend_shop import MONTHS, TESTED, Month

MINUTES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Of one processor. The first is its share of the training."""
EASE: dict[str, Any] = {"half_life_days": None, "power": 0, "ridge": 500}
"""The settings that are best on explore in September 2017, as `recommend.months` finds."""
OURS, POPULARITY, NEIGHBOURS = "sequence", "popularity", "EASE"
COLD_ITEMS = "items first sold"
Judged = Mapping[str, tuple[FloatArray, StringArray]]
"""By slice: NDCG@10 (of items first sold: recall@50) of each customer, and who they are."""


def sequence() -> Iterator[Line]:
    """The sequence model alone on the newest test month, and its figures over an hour of training."""
    yield from alone(recommend_shop.months(*MONTHS)[TESTED[-1]], SequenceSettings(), MINUTES)


def alone(month: Month, settings: SequenceSettings, minutes: Sequence[float]) -> Iterator[Line]:
    """Against popularity and EASE after the first of the minutes; then the curve over all of them."""
    everybody = on_wider_catalogue(month.wider, month.eve.history, month.catalogue)
    others = {POPULARITY: popularity(month, 28), NEIGHBOURS: ease(month, **EASE)}
    judged = {name: _warm(month, scores) for name, scores in others.items()}
    judged |= {name: {COLD_ITEMS: recall} for name, recall in _of_new_items(month).items()}
    curve: list[Judged] = []
    for spent, model in trained(everybody, month.wider, settings, minutes):
        curve.append(_figures(month, model))
        shown = ", ".join(f"{part} {values.mean():.4f}" for part, (values, _) in curve[-1].items())
        print(f"  {spent:g} minutes: {shown}", flush=True)
        if len(curve) == 1:
            yield from _compared(curve[0], judged)
            yield from new_customers(month, settings, minutes[0])
    picture = Path(tempfile.mkdtemp(prefix="perennial-sequence-")) / "curve.svg"
    picture.write_text(curve_picture(minutes, curve, judged))
    print(f"  picture: {picture}", flush=True)


def new_customers(month: Month, settings: SequenceSettings, minutes: float) -> Iterator[Line]:
    """Customers cut to 1, 2 and 3 orders, by a model that learned from the others."""
    held_out, others = apart(month)
    [(_, model)] = trained(others.eve.history, month.catalogue, settings, [minutes])
    popular = popularity(others, 28)[:1]
    for orders in ORDERS:
        cut = first_orders(held_out.history, orders)
        scores = {OURS: _scores(model, cut, month.warm), POPULARITY: np.tile(popular, (len(cut), 1))}
        judged = {name: _warm(held_out, of_method)[Slice.ALL] for name, of_method in scores.items()}
        yield _less(f"{orders} orders", judged[OURS], POPULARITY, judged[POPULARITY])


def trained(
    history: PurchaseHistory, catalogue: Catalogue, settings: SequenceSettings, minutes: Sequence[float]
) -> Iterator[tuple[float, Model]]:
    """One training, as it stands after so many minutes of one processor."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    began = time.process_time()
    data = TrainingData.of(reading.recent_orders(history, settings.orders), catalogue, settings)
    network, left = data.network(settings), list(minutes)
    initialise(network, data)
    for learned, _ in train(network, data, settings):
        if time.process_time() - began < 60 * left[0]:
            continue
        paused = time.process_time()
        yield left.pop(0), Model.of(learned, data.own_ids, settings, history, catalogue)
        if not left:
            return
        began += time.process_time() - paused


def _compared(ours: Judged, others: Mapping[str, Judged]) -> Iterator[Line]:
    for name, theirs in others.items():
        for part, of_part in theirs.items():
            line = _less(part, ours[part], name, of_part)
            if name in (POPULARITY, "popularity of the kind"):
                yield line


def _less(
    part: str, ours: tuple[FloatArray, StringArray], name: str, theirs: tuple[FloatArray, StringArray]
) -> Line:
    less = interval(ours[0] - theirs[0])
    print(
        f"  {part}: {OURS} {ours[0].mean():.4f}, {name} {theirs[0].mean():.4f}, "
        f"less {less.mean:+.4f}, 95 % {less.low:+.4f} to {less.high:+.4f}, paired",
        flush=True,
    )
    return at_least(f"recommend.sequence_{part.replace(' ', '_')}_less_popularity_low", less.low, 0, "")


def _figures(month: Month, model: Model) -> Judged:
    """The results on all slices, of a model of the wider catalogue."""
    everybody, items, wanted, customers = unseen(month)
    warm = month.wider.find(pa.array(month.catalogue.item_ids[month.warm], pa.string()))
    scores = _scores(model, everybody.of(month.rows), warm)
    history = everybody.of(everybody.find(pa.array(customers, pa.string())))
    return _warm(month, scores) | {COLD_ITEMS: (_recall(_scores(model, history, items), wanted), customers)}


def _warm(month: Month, scores: Float32Array) -> dict[str, tuple[FloatArray, StringArray]]:
    parts = {part: judge(month.truth, part, lambda rows: scores[rows]) for part in RANKED}
    ids, whole = month.truth.customer_ids, parts[Slice.ALL]
    judged = {str(part): (lists.at[10].ndcg, ids[lists.rows]) for part, lists in parts.items()}
    sizes = month.truth.history_sizes[whole.rows]
    for name, (least, below) in HISTORY_SIZES.items():
        kept = (sizes >= least) & (sizes < below)
        if kept.any():
            judged[f"{name} histories"] = whole.at[10].ndcg[kept], ids[whole.rows[kept]]
    return judged


def _of_new_items(month: Month) -> dict[str, tuple[FloatArray, StringArray]]:
    everybody, items, wanted, customers = unseen(month)
    history = everybody.of(everybody.find(pa.array(customers, pa.string())))
    new = NewItems.fit(everybody, month.wider, items, TASTE)
    methods = {"new items": new.scores(history), "text alone": new.content.cosines(history)}
    methods |= by_category(everybody, month, items, len(history))
    return {name: (_recall(scores, wanted), customers) for name, scores in methods.items()}


def _recall(scores: Float32Array, wanted: np.ndarray) -> FloatArray:
    hits = np.take_along_axis(wanted, top_items(scores, DEPTH), axis=1)
    return evaluate(hits, wanted.sum(axis=1)).recall


def _scores(model: Model, history: PurchaseHistory, items: IntArray) -> Float32Array:
    return np.concatenate(
        [*parallel.map_blocks(len(history), lambda rows: model.scores(history.of(rows))[:, items])]
    )


def curve_picture(minutes: Sequence[float], curve: Sequence[Judged], others: Mapping[str, Judged]) -> str:
    """The figures over the minutes, a panel for each slice; whatever does not learn on is a line across."""
    parts = [*RANKED, COLD_ITEMS]
    with mpl.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(10.6, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        for axes, part in zip(figure.subplots(1, len(parts)), parts, strict=True):
            values = [judged[part][0].mean() for judged in curve]
            axes.plot(minutes, values, color="#0f766e", marker="o", markersize=4, label=OURS)
            across = [(name, judged[part][0].mean()) for name, judged in others.items() if part in judged]
            for style, (name, value) in zip(("--", ":", "-.", (0, (6, 2, 1, 2))), across, strict=False):
                axes.axhline(value, color="#94a3b8", linestyle=style, label=name)
            axes.set_xscale("log")
            axes.set_xticks(minutes, [f"{minute:g}" for minute in minutes])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_title(part, loc="left", fontsize=10)
            axes.legend(fontsize=8)
        figure.supxlabel("minutes of one processor", fontsize=10)
        figure.supylabel("NDCG@10 (items first sold: recall@50)", fontsize=10)
        return svg(figure)
