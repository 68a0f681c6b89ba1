"""The measures of the recommender, customer by customer, against an independent library."""

from collections.abc import Iterator

import ir_measures
import numpy as np

from perennial.recommend.evaluation.metrics import DEPTHS, judge
from perennial.recommend.evaluation.ranking_task import Slice
from tests.acceptance import recommend_shop
from tests.acceptance.lines import Line, at_least, at_most
from tests.acceptance.recommend_peers import tifu
from tests.acceptance.recommend_shop import MONTHS, TUNED_ON, Month

CUSTOMERS = 1000
_RUN = 100
"""Items of a ranking that the library gets; the measures use fewer."""
_NAMES = {
    ir_measures.nDCG: "ndcg",
    ir_measures.P: "precision",
    ir_measures.R: "recall",
    ir_measures.Success: "hit",
}


def metrics() -> Iterator[Line]:
    """NDCG, precision, recall and hit rate of 1,000 customers, by us and by ir_measures."""
    yield from agreed(recommend_shop.months(*MONTHS)[TUNED_ON])


def agreed(month: Month) -> Iterator[Line]:
    """The largest difference over all slices of a month; ties are broken by chance, for both alike."""
    random = np.random.default_rng(0)
    scores = np.zeros((len(month.history), len(month.truth.item_ids)))
    scores[:, : month.truth.warm] = tifu(month)
    scores += 1e-9 * random.random(scores.shape)
    measures = {measure @ k: (name, k) for measure, name in _NAMES.items() for k in DEPTHS}
    worst, compared = 0.0, 0
    for part in Slice:
        judged = judge(month.truth, part, lambda rows: scores[rows])
        sampled = np.sort(random.permutation(judged.rows)[:CUSTOMERS]).tolist()
        place = {row: number for number, row in enumerate(judged.rows.tolist())}
        run, wanted = _run_and_truth(month, part, scores, sampled)
        for metric in ir_measures.iter_calc(list(measures), wanted, run):
            name, k = measures[metric.measure]
            ours = getattr(judged.at[k], name)[place[int(metric.query_id)]]
            worst, compared = max(worst, abs(ours - metric.value)), compared + 1
        print(f"  {part}: {len(sampled)} customers")
    yield at_most("recommend.metrics_difference", worst, 1e-9, "")
    yield at_least("recommend.metrics_compared", compared, len(_NAMES) * len(DEPTHS) * CUSTOMERS, "_values")


def _run_and_truth(month: Month, part: Slice, all_scores: np.ndarray, rows: list[int]) -> tuple[dict, dict]:
    """The first items of each customer's ranking, and the purchases, as the library takes them.

    The library keeps scores in single precision, which loses the small random part. So it gets ranks.
    """
    run, wanted = {}, {}
    columns = np.arange(len(month.truth.item_ids))[month.truth.columns(part)]
    for row in rows:
        allowed = month.truth.candidates(part, np.array([row]))[0]
        scores = np.where(allowed, all_scores[row, columns], -np.inf)
        first = np.argsort(-scores, kind="stable")[:_RUN]
        run[str(row)] = {
            str(columns[one]): float(_RUN - rank) for rank, one in enumerate(first) if allowed[one]
        }
        targets = month.truth.wanted[[row], month.truth.columns(part)].toarray()[0] & allowed
        wanted[str(row)] = {str(columns[one]): 1 for one in np.flatnonzero(targets)}
    return run, wanted
