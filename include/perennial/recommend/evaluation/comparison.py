"""Which way of recommending wins where: every source alone, the ranker and a plain rule, slice by slice.

All rank the same items for the same customers by the protocol of `docs/evaluation.md`. Differences are taken
customer by customer, so that it can be said whether they are sure.
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
HISTORIES = ("short history", "middling history", "long history")
SLICES = (*map(str, (*RANKED, Slice.COLD)), *HISTORIES)
"""Those of the protocol; the last three are of all items, for thirds of the customers."""
JUDGED_BY = "ndcg_10"
LESS_BEST, LESS_RANKER = f"{JUDGED_BY}_less_best", f"{JUDGED_BY}_less_ranker"
MOST_CUSTOMERS = 5_000
"""So many are judged, where nobody says otherwise."""
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("slice", "way", "measure")),
        ("customers", pa.int64()),
        *((name, pa.float64()) for name in ("value", "low", "high")),
    ]
)
_BLOCK, _DRAWS = 128, 1000
_MOST_CELLS = 30_000_000
"""Customers learned from, times items."""

Results = dict[tuple[str, str], JudgedLists]
"""By slice and way."""
Progress = Callable[[int, int], None]
"""Hears how many customers have been judged, of how many."""


@dataclass(frozen=True)
class Comparison:
    """Who ranked how well.

    Args:
        figures: rows of `SCHEMA` for each slice, way, measure: those of `evaluation` at `DEPTHS`, coverage,
            novelty and diversity at 10; `LESS_BEST`, NDCG@10 less that of the best way on the slice, and
            `LESS_RANKER`, less that of the ranker, paired; the ranker's calibration. Intervals are 95 %,
            bootstrapped over customers, null where there is none to have.
        thirds: from how many different items bought a history is middling, and long.
        warm: how many items are ranked.
        cold: how many items are ranked apart.
        of_all: how many customers could have been judged.
    """

    figures: pa.Table
    thirds: tuple[int, int]
    warm: int
    cold: int
    of_all: int


def compare(
    fit: Fit,
    truth: WindowPurchases,
    after: WindowPurchases,
    wide: CandidateSources | None = None,
    whole: Catalogue | None = None,
    most: int = MOST_CUSTOMERS,
    told: Progress = lambda done, of: None,
) -> Comparison:
    """Judge the ranker, every source and a plain rule on every slice.

    Args:
        fit: what was learned; it knows nothing of the truth.
        truth: what was bought afterwards.
        after: what was bought in just the window that the ranker's probabilities are of.
        wide: the sources with a larger pool, as each is judged alone; None: as they are in the fit.
        whole: the catalogue, and items that nobody has bought yet; None: the catalogue of the fit.
        most: customers who are judged, drawn by chance where there are more.
        told: hears how it goes on.
    """
    catalogue, whole = fit.sources.catalogue, whole or fit.sources.catalogue
    everybody = _split(fit.history, catalogue, whole, truth)
    split = _drawn(everybody, most)
    rows = catalogue.find(pa.array(split.item_ids[: split.warm], pa.string()))
    asked = fit.history_of(split.customer_ids)
    found = _judged(split, RANKED, asked, baselines.warm_item_scorers(fit, wide or fit.sources, rows), told)
    if split.warm < len(split.item_ids):
        items = whole.find(pa.array(split.item_ids[split.warm :], pa.string()))
        found |= _judged(
            _cold(split), (Slice.COLD,), asked, baselines.cold_item_scorers(fit, whole, items), told
        )
    thirds = _thirds(split.history_sizes)
    found |= _by_history(found, split.history_sizes, thirds)
    figures = [*_figures(found, _Spread.of(fit, rows)), *_calibration(fit, after, most)]
    return Comparison(
        figures=pa.Table.from_pylist(figures, SCHEMA),
        thirds=thirds,
        warm=split.warm,
        cold=len(split.item_ids) - split.warm,
        of_all=len(everybody.customer_ids),
    )


def widened(sources: CandidateSources, history: PurchaseHistory) -> CandidateSources:
    """The same sources with a pool of all items, or as many as fit into memory: each is to speak for itself.

    Args:
        sources: as of the end of a day.
        history: of all customers, as known then.
    """
    chosen = sources.settings
    if len(sources.pool) < chosen.pool:
        return sources
    learners = min(len(history), max(one.customers for one in chosen.item_neighbours.values()))
    pool = max(chosen.pool, _MOST_CELLS // learners)
    wider = chosen.model_copy(update={"pool": pool})
    return CandidateSources.fit(
        history, sources.catalogue, sources.offered, wider, sources.item_features.promoted
    )


def by_method(figures: pa.Table) -> dict[str, dict[str, float]]:
    """For each way its figures as `<slice>_<measure>`, with `_low` and `_high`, blanks being underscores."""
    found: dict[str, dict[str, float]] = {}
    for row in figures.to_pylist():
        name = f"{row['slice']}_{row['measure']}".replace(" ", "_")
        ends = {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
        held = found.setdefault(row["way"], {})
        held |= {key: value for key, value in ends.items() if value is not None}
    return found


def _split(
    history: PurchaseHistory, catalogue: Catalogue, whole: Catalogue, truth: WindowPurchases
) -> RankingTask:
    """All of what was bought before, and the truth."""
    pairs = PurchasedPairs.of(history)
    bought = {
        "customer_id": pa.array(history.customer_ids[pairs.rows], pa.string()),
        "item_id": pa.array(catalogue.item_ids[pairs.items], pa.string()),
        "times": pairs.times,
    }
    return RankingTask.of(pa.table(bought), pa.array(whole.item_ids, pa.string()), truth)


def _drawn(split: RankingTask, most: int) -> RankingTask:
    """At most so many of its customers, the same ones for the same split."""
    count = len(split.customer_ids)
    if count <= most:
        return split
    return _some(split, sample_rows(count, most))


def _some(split: RankingTask, rows: IntArray) -> RankingTask:
    return replace(
        split, customer_ids=split.customer_ids[rows], bought=split.bought[rows], wanted=split.wanted[rows]
    )


def _cold(split: RankingTask) -> RankingTask:
    """The cold items alone."""
    apart = slice(split.warm, None)
    bought, wanted = split.bought[:, apart], split.wanted[:, apart]
    return replace(split, item_ids=split.item_ids[apart], warm=0, bought=bought, wanted=wanted)


def _judged(
    split: RankingTask, parts: Sequence[Slice], asked: PurchaseHistory, each: Scorers, told: Progress
) -> Results:
    """Block by block; a block of customers is scored once."""
    found: dict[tuple[str, str], list[JudgedLists]] = {}
    for start in range(0, len(asked), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(asked)))
        block = _some(split, rows)
        for name, said in each(asked.of(rows)).items():
            for part in parts:
                one = judge(block, part, lambda at, said=said: said[at])  # type: ignore[misc]
                found.setdefault((str(part), name), []).append(replace(one, rows=rows[one.rows]))
        told(int(rows[-1]) + 1, len(asked))
    return {key: _joined(blocks) for key, blocks in found.items()}


def _joined(blocks: Sequence[JudgedLists]) -> JudgedLists:
    at = {
        k: RankingMetrics(
            *(np.concatenate([getattr(one.at[k], name) for one in blocks]) for name in MEASURES)
        )
        for k in DEPTHS
    }
    rows, items = (np.concatenate([getattr(one, name) for one in blocks]) for name in ("rows", "items"))
    return JudgedLists(rows, at, items)


def _thirds(sizes: IntArray) -> tuple[int, int]:
    first, second = np.quantile(sizes, [1 / 3, 2 / 3]) if len(sizes) else (0, 0)
    return int(first) + 1, int(second) + 1


def _by_history(found: Results, sizes: IntArray, thirds: tuple[int, int]) -> Results:
    parts: Results = {}
    for (part, way), one in found.items():
        if part == Slice.ALL:
            third = np.searchsorted(thirds, sizes[one.rows], side="right")
            parts |= {(name, way): _where(one, third == number) for number, name in enumerate(HISTORIES)}
    return parts


def _where(one: JudgedLists, kept: BoolArray) -> JudgedLists:
    at = {k: RankingMetrics(*(getattr(held, name)[kept] for name in MEASURES)) for k, held in one.at.items()}
    return JudgedLists(one.rows[kept], at, one.items[kept])


@dataclass(frozen=True)
class _Spread:
    """What tells whether lists are wide.

    Args:
        shares: of all customers who bought each warm item, shape (warm,).
        vectors: by which items are alike, shape (warm, width), zeros for what is like nothing.
    """

    shares: FloatArray
    vectors: Float32Array

    @classmethod
    def of(cls, fit: Fit, rows: IntArray) -> "_Spread":
        """By the texts of the items, or by their kind where none has a text."""
        catalogue = fit.sources.catalogue
        buyers = np.bincount(fit.history.bought.indices, minlength=len(catalogue))[rows]
        if len(catalogue.vectors):
            found = catalogue.unit_text_vectors(rows)
        else:
            kinds = catalogue.levels[rows, 2]
            found = np.eye(int(kinds.max(initial=0)) + 1, dtype=np.float32)[kinds] * (kinds >= 0)[:, None]
        return cls(np.maximum(buyers, 1) / len(fit.history), found)

    def measures(self, one: JudgedLists) -> dict[str, FloatArray]:
        """Of each customer's list."""
        first = one.items[:, : DEPTHS[0]]
        found = {"novelty_10": novelty(first, self.shares)}
        return found | ({"diversity_10": diversity(first, self.vectors)} if self.vectors.any() else {})


def _figures(found: Results, spread: _Spread) -> Iterator[dict[str, object]]:
    """All rows but the calibration, slice by slice."""
    for part in SLICES:
        each = {way: one for (where, way), one in found.items() if where == part and len(one.rows)}
        best = max(each, key=lambda way: each[way].at[10].ndcg.mean(), default=None)
        for way, one in each.items():
            values = {f"{name}_{k}": getattr(one.at[k], name) for k in DEPTHS for name in MEASURES}
            values[LESS_BEST] = one.at[10].ndcg - each[str(best)].at[10].ndcg
            if RANKER in each:
                values[LESS_RANKER] = one.at[10].ndcg - each[RANKER].at[10].ndcg
            if part in RANKED:
                values |= spread.measures(one)
                covered = one.shown / len(spread.shares)
                yield _row(part, way, "coverage_10", len(one.rows), covered)
            for name, (low, high) in _intervals(values).items():
                yield _row(part, way, name, len(one.rows), float(values[name].mean()), low, high)


def _row(
    part: str,
    way: str,
    measure: str,
    customers: int,
    value: float,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, object]:
    return dict(zip(SCHEMA.names, (part, way, measure, customers, value, low, high), strict=True))


def _intervals(values: Mapping[str, FloatArray]) -> dict[str, tuple[float, float]]:
    """As `bootstrap.interval`, of many measures of the same customers at once."""
    held = np.stack(list(values.values()), axis=1)
    low, high = bounds(_drawn_again(len(held)) @ held / len(held), axis=0)
    return {name: (float(low[at]), float(high[at])) for at, name in enumerate(values)}


@lru_cache(maxsize=1)
def _drawn_again(n: int) -> FloatArray:
    """How often each of n customers is in each draw of the bootstrap, shape (draws, n)."""
    return resample_counts(n, _DRAWS)


def _calibration(fit: Fit, after: WindowPurchases, most: int) -> Iterator[dict[str, object]]:
    """How far off the ranker's probabilities are, of all candidates bought before and of all others."""
    asked = fit.history.sample(most)
    wanted = purchase_matrix(after, asked, fit.sources.catalogue)
    told: dict[str, list[FloatArray]] = {str(part): [] for part in RANKED[1:]}
    for rows, _, found, said in fit.candidates(asked):
        both = np.stack([np.asarray(wanted[rows[found.rows], found.items]).ravel(), said])
        for part, kept in zip(told, (found.pair >= 0, found.pair < 0), strict=True):
            told[part].append(both[:, kept])
    for part, blocks in told.items():
        came, probability = np.concatenate(blocks, axis=1)
        if len(came):
            values = {"mean_probability": probability.mean(), "came_true": came.mean()}
            values["calibration_error"] = calibration.error(came, probability)
            for name, value in values.items():
                yield _row(part, RANKER, name, len(asked), float(value))
