"""Which method recommends best, slice by slice: the ranker, every source alone, and a simple rule.

All methods rank the same items for the same customers by the protocol of `docs/evaluation.md`. Differences
are taken customer by customer, so that their intervals show whether a difference is sure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import BoolArray, Float32Array, FloatArray, IntArray
from perennial.foundation.bootstrap import bounds, resample_counts
from perennial.foundation.modelling import calibration
from perennial.recommend.arrays.lookup import sample_rows
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases, purchase_matrix
from perennial.recommend.evaluation import baselines
from perennial.recommend.evaluation.baselines import RANKER, Scorers
from perennial.recommend.evaluation.history_lengths import HISTORY_LENGTHS, history_bounds, history_thirds
from perennial.recommend.evaluation.metrics import (
    DEPTHS,
    MEASURES,
    JudgedLists,
    RankingMetrics,
    diversity,
    judge,
    novelty,
)
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice
from perennial.recommend.features.pairs import PurchasedPairs
from perennial.recommend.fit import Fit
from perennial.recommend.sources.retrieval import CandidateSources

RANKED = (Slice.ALL, Slice.REPEAT, Slice.EXPLORE)
HISTORIES = tuple(f"{length} history" for length in HISTORY_LENGTHS)
"""Thirds of the customers by how many different items they bought before."""
SLICES = (*map(str, (*RANKED, Slice.COLD)), *HISTORIES)
"""The slices of the protocol; and all items once more for each third of the customers."""
JUDGED_BY = "ndcg_10"
LESS_BEST, LESS_RANKER = f"{JUDGED_BY}_less_best", f"{JUDGED_BY}_less_ranker"
MAX_CUSTOMERS = 5_000
"""The most customers that are judged, if the caller sets no other number."""
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("slice", "way", "measure")),
        ("customers", pa.int64()),
        *((name, pa.float64()) for name in ("value", "low", "high")),
    ]
)
"""The column `way` names the method. Files and tracked runs keep this name."""
_BLOCK, _DRAWS = 128, 1000
_MAX_CELLS = 30_000_000
"""Customers to learn from, times items."""

Results = dict[tuple[str, str], JudgedLists]
"""By slice and method."""
Progress = Callable[[int, int], None]
"""Called with the number of customers judged so far, and the number of all customers."""


@dataclass(frozen=True)
class Comparison:
    """How well each method ranks.

    Args:
        figures: rows of `SCHEMA` for each slice, method and measure: the measures of `evaluation.metrics` at
            `DEPTHS`; coverage, novelty and diversity at 10; `LESS_BEST`, NDCG@10 less that of the best method
            on the slice, paired; `LESS_RANKER`, NDCG@10 less that of the ranker, paired; the calibration of
            the ranker. Intervals are 95 %, bootstrapped over customers, null where a measure has none.
        history_bounds: from how many different items a history is middling, and long.
        warm_items: how many warm items are ranked.
        cold_items: how many cold items are ranked, among themselves.
        customers: how many customers could have been judged.
    """

    figures: pa.Table
    history_bounds: tuple[int, int]
    warm_items: int
    cold_items: int
    customers: int


def compare(
    fit: Fit,
    truth: WindowPurchases,
    window_truth: WindowPurchases,
    wide_sources: CandidateSources | None = None,
    whole_catalogue: Catalogue | None = None,
    max_customers: int = MAX_CUSTOMERS,
    progress: Progress = lambda done, total: None,
) -> Comparison:
    """Judge the ranker, every source and a simple rule on every slice.

    Args:
        fit: the fitted recommender; it has not seen the truth.
        truth: what was bought afterwards.
        window_truth: what was bought in the window that the ranker's probabilities are about.
        wide_sources: the sources with a larger pool, each judged alone; None: the sources of the fit.
        whole_catalogue: the catalogue, and items without a purchase; None: the catalogue of the fit.
        max_customers: the most customers that are judged, a random sample if there are more.
        progress: called after each block of customers.
    """
    catalogue, whole = fit.sources.catalogue, whole_catalogue or fit.sources.catalogue
    full_task = _task(fit.history, catalogue, whole, truth)
    task = _sample(full_task, max_customers)
    customers = fit.history_of(task.customer_ids)
    rows = catalogue.find(pa.array(task.item_ids[: task.warm], pa.string()))
    warm_scorers = baselines.warm_item_scorers(fit, wide_sources or fit.sources, rows)
    results = _judge_all(task, RANKED, customers, warm_scorers, progress)
    if task.warm < len(task.item_ids):
        cold_rows = whole.find(pa.array(task.item_ids[task.warm :], pa.string()))
        cold_scorers = baselines.cold_item_scorers(fit, whole, cold_rows)
        results |= _judge_all(_cold_task(task), (Slice.COLD,), customers, cold_scorers, progress)
    results |= _by_history(results, task.history_sizes)
    figures = [
        *_figures(results, _ItemStatistics.of(fit, rows)),
        *_calibration(fit, window_truth, max_customers),
    ]
    return Comparison(
        figures=pa.Table.from_pylist(figures, SCHEMA),
        history_bounds=history_bounds(task.history_sizes),
        warm_items=task.warm,
        cold_items=len(task.item_ids) - task.warm,
        customers=len(full_task.customer_ids),
    )


def widened(sources: CandidateSources, history: PurchaseHistory) -> CandidateSources:
    """The same sources with a pool of all items, or of as many as fit into memory.

    So each source is judged on its own, not on the pool of the daily model.

    Args:
        sources: as of the end of a day.
        history: of all customers, as known at the end of that day.
    """
    settings = sources.settings
    if len(sources.pool) < settings.pool:
        return sources
    most_learned_from = max(model.customers for model in settings.item_neighbours.values())
    learned_from = min(len(history), most_learned_from)
    pool = max(settings.pool, _MAX_CELLS // learned_from)
    wider = settings.model_copy(update={"pool": pool})
    return CandidateSources.fit(
        history, sources.catalogue, sources.offered, wider, sources.item_features.promoted
    )


def by_method(figures: pa.Table) -> dict[str, dict[str, float]]:
    """The figures of each method: `<slice>_<measure>`, with `_low` and `_high`, blanks as underscores."""
    methods: dict[str, dict[str, float]] = {}
    for row in figures.to_pylist():
        name = f"{row['slice']}_{row['measure']}".replace(" ", "_")
        values = {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
        of_method = methods.setdefault(row["way"], {})
        of_method |= {key: value for key, value in values.items() if value is not None}
    return methods


def _task(
    history: PurchaseHistory, catalogue: Catalogue, whole: Catalogue, truth: WindowPurchases
) -> RankingTask:
    """The ranking task of all items of the whole catalogue."""
    pairs = PurchasedPairs.of(history)
    bought = {
        "customer_id": pa.array(history.customer_ids[pairs.rows], pa.string()),
        "item_id": pa.array(catalogue.item_ids[pairs.items], pa.string()),
        "times": pairs.times,
    }
    return RankingTask.from_purchases(pa.table(bought), pa.array(whole.item_ids, pa.string()), truth)


def _sample(task: RankingTask, most: int) -> RankingTask:
    """The task with at most so many of its customers; the same customers for the same task."""
    count = len(task.customer_ids)
    if count <= most:
        return task
    return _of_customers(task, sample_rows(count, most))


def _of_customers(task: RankingTask, rows: IntArray) -> RankingTask:
    return replace(
        task, customer_ids=task.customer_ids[rows], bought=task.bought[rows], wanted=task.wanted[rows]
    )


def _cold_task(task: RankingTask) -> RankingTask:
    """The task with its cold items only."""
    cold = slice(task.warm, None)
    bought, wanted = task.bought[:, cold], task.wanted[:, cold]
    return replace(task, item_ids=task.item_ids[cold], warm=0, bought=bought, wanted=wanted)


def _judge_all(
    task: RankingTask,
    parts: Sequence[Slice],
    customers: PurchaseHistory,
    scorers: Scorers,
    progress: Progress,
) -> Results:
    """Judge every method on some slices, block by block; a block of customers is scored once."""
    blocks: dict[tuple[str, str], list[JudgedLists]] = {}
    for start in range(0, len(customers), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(customers)))
        block_task = _of_customers(task, rows)
        for method, scores in scorers(customers.of(rows)).items():
            for part in parts:
                judged = judge(block_task, part, scores.__getitem__)
                blocks.setdefault((str(part), method), []).append(replace(judged, rows=rows[judged.rows]))
        progress(int(rows[-1]) + 1, len(customers))
    return {key: _joined(of_key) for key, of_key in blocks.items()}


def _joined(blocks: Sequence[JudgedLists]) -> JudgedLists:
    at = {
        k: RankingMetrics(
            *(np.concatenate([getattr(block.at[k], measure) for block in blocks]) for measure in MEASURES)
        )
        for k in DEPTHS
    }
    rows, items = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("rows", "items"))
    return JudgedLists(rows, at, items)


def _by_history(results: Results, sizes: IntArray) -> Results:
    """The results on all items, for each third of the customers.

    Args:
        results: of all slices.
        sizes: how many different items each customer bought before, shape (customers,).
    """
    thirds = history_thirds(sizes)
    by_history: Results = {}
    for (part, method), judged in results.items():
        if part == Slice.ALL:
            third = thirds[judged.rows]
            for number, name in enumerate(HISTORIES):
                by_history[name, method] = _where(judged, third == number)
    return by_history


def _where(judged: JudgedLists, kept: BoolArray) -> JudgedLists:
    at = {
        k: RankingMetrics(*(getattr(metrics, measure)[kept] for measure in MEASURES))
        for k, metrics in judged.at.items()
    }
    return JudgedLists(judged.rows[kept], at, judged.items[kept])


@dataclass(frozen=True)
class _ItemStatistics:
    """What novelty and diversity need to know about the warm items.

    Args:
        shares: the share of customers who bought each item, shape (warm,).
        vectors: vectors for the cosine of two items, zeros for an item without a vector, shape (warm, width).
    """

    shares: FloatArray
    vectors: Float32Array

    @classmethod
    def of(cls, fit: Fit, rows: IntArray) -> "_ItemStatistics":
        """With the vectors of the texts; without texts, items of the same kind have the same vector."""
        catalogue = fit.sources.catalogue
        buyers = np.bincount(fit.history.bought.indices, minlength=len(catalogue))[rows]
        if len(catalogue.vectors):
            vectors = catalogue.unit_text_vectors(rows)
        else:
            kinds = catalogue.levels[rows, 2]
            vectors = np.eye(int(kinds.max(initial=0)) + 1, dtype=np.float32)[kinds] * (kinds >= 0)[:, None]
        return cls(np.maximum(buyers, 1) / len(fit.history), vectors)

    def measures(self, judged: JudgedLists) -> dict[str, FloatArray]:
        """Novelty and diversity of each customer's list; no diversity without vectors."""
        first = judged.items[:, : DEPTHS[0]]
        measures = {"novelty_10": novelty(first, self.shares)}
        if self.vectors.any():
            measures["diversity_10"] = diversity(first, self.vectors)
        return measures


def _figures(results: Results, statistics: _ItemStatistics) -> Iterator[dict[str, object]]:
    """All rows but the calibration, slice by slice."""
    for part in SLICES:
        methods = {
            method: judged
            for (of_part, method), judged in results.items()
            if of_part == part and len(judged.rows)
        }
        ndcg = {method: judged.at[10].ndcg for method, judged in methods.items()}
        best = max(ndcg, key=lambda method: ndcg[method].mean(), default="")
        for method, judged in methods.items():
            customers = len(judged.rows)
            values = {f"{name}_{k}": getattr(judged.at[k], name) for k in DEPTHS for name in MEASURES}
            values[LESS_BEST] = ndcg[method] - ndcg[best]
            if RANKER in methods:
                values[LESS_RANKER] = ndcg[method] - ndcg[RANKER]
            if part in RANKED:
                values |= statistics.measures(judged)
                covered = judged.shown / len(statistics.shares)
                yield _row(part, method, "coverage_10", customers, covered)
            for measure, (low, high) in _intervals(values).items():
                yield _row(part, method, measure, customers, float(values[measure].mean()), low, high)


def _row(
    part: str,
    method: str,
    measure: str,
    customers: int,
    value: float,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, object]:
    return dict(zip(SCHEMA.names, (part, method, measure, customers, value, low, high), strict=True))


def _intervals(values: Mapping[str, FloatArray]) -> dict[str, tuple[float, float]]:
    """As `bootstrap.interval`, for many measures of the same customers at once."""
    columns = np.stack(list(values.values()), axis=1)
    low, high = bounds(_bootstrap_counts(len(columns)) @ columns / len(columns), axis=0)
    return {name: (float(low[at]), float(high[at])) for at, name in enumerate(values)}


@lru_cache(maxsize=1)
def _bootstrap_counts(n: int) -> FloatArray:
    """How often each of n customers is in each bootstrap sample, shape (draws, n)."""
    return resample_counts(n, _DRAWS)


def _calibration(fit: Fit, truth: WindowPurchases, most: int) -> Iterator[dict[str, object]]:
    """How far the probabilities are from what came true: for candidates bought before, and for all others."""
    customers = fit.history.sample(most)
    wanted = purchase_matrix(truth, customers, fit.sources.catalogue)
    by_part: dict[str, list[FloatArray]] = {str(part): [] for part in RANKED[1:]}
    for rows, _, candidates, probabilities in fit.candidates(customers):
        came_true = np.asarray(wanted[rows[candidates.rows], candidates.items]).ravel()
        both, bought = np.stack([came_true, probabilities]), candidates.pair >= 0
        for part, kept in zip(by_part, (bought, ~bought), strict=True):
            by_part[part].append(both[:, kept])
    for part, blocks in by_part.items():
        came_true, probabilities = np.concatenate(blocks, axis=1)
        if len(came_true):
            values = {"mean_probability": probabilities.mean(), "came_true": came_true.mean()}
            values["calibration_error"] = calibration.error(came_true, probabilities)
            for measure, value in values.items():
                yield _row(part, RANKER, measure, len(customers), float(value))
