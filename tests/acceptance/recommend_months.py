"""What does each customer want next? The recommender against tuned simple ones on three test months.

By EVALUATION's protocol for recommendations: all know what was known before the month, every warm item is
ranked, and all settings were chosen on windows that had ended by the end of September 2017; those of the
peers are chosen here, on that month. Customers are drawn with all their months for the intervals.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perennial.foundation.arrays import Float32Array, StringArray
from perennial.foundation.bootstrap import Interval
from perennial.foundation.modelling import calibration
from perennial.recommend.data.window_purchases import purchase_matrix
from perennial.recommend.evaluation.metrics import (
    DEPTHS,
    MEASURES,
    JudgedLists,
    diversity,
    judge,
    novelty,
)
from perennial.recommend.evaluation.ranking_task import Slice
from tests.acceptance import recommend_shop
from tests.acceptance.lines import Line, at_least, at_most
from tests.acceptance.month_intervals import over_months
from tests.acceptance.recommend_peers import RANKED, Peer, tuned
from tests.acceptance.recommend_shop import MONTHS, TESTED, TUNED_ON, Month

OURS = "perennial"
BARS = {Slice.ALL: 1.02, Slice.REPEAT: 1.01, Slice.EXPLORE: 1.22}
MOST_SECONDS = 600
HISTORY_SIZES = {"short": (1, 100), "middle": (100, 400), "long": (400, 1 << 31)}


@dataclass(frozen=True)
class Standing:
    """The results of the recommender or of a peer in a month.

    Args:
        month: the month.
        parts: by slice.
        seconds: to learn and to score.
    """

    month: Month
    parts: dict[Slice, JudgedLists]
    seconds: float

    @classmethod
    def of(cls, month: Month, scores: Float32Array, seconds: float) -> "Standing":
        """From scores of the warm items, shape (customers, warm)."""
        parts = {part: judge(month.truth, part, lambda rows: scores[rows]) for part in RANKED}
        return cls(month, parts, seconds)

    def customers(self, part: Slice) -> StringArray:
        """The customers who bought something of a slice."""
        return self.month.truth.customer_ids[self.parts[part].rows]

    def figures(self, part: Slice) -> dict[str, float]:
        """The means of all measures on a slice."""
        judged, depth = self.parts[part], DEPTHS[0]
        first = judged.items[:, :depth]
        means = {
            f"{name}@{k}": float(getattr(judged.at[k], name).mean()) for k in DEPTHS for name in MEASURES
        }
        return means | {
            f"coverage@{depth}": judged.shown / self.month.truth.warm,
            f"novelty@{depth}": float(novelty(first, self.month.shares).mean()),
            f"diversity@{depth}": float(diversity(first, self.month.vectors).mean()),
        }

    def by_history(self) -> dict[str, float]:
        """NDCG at 10 over all items of customers by how many different items they had bought."""
        judged = self.parts[Slice.ALL]
        sizes, ndcg = self.month.truth.history_sizes[judged.rows], judged.at[10].ndcg
        groups = {name: (sizes >= least) & (sizes < below) for name, (least, below) in HISTORY_SIZES.items()}
        return {f"ndcg@10 {name}": float(ndcg[rows].mean()) for name, rows in groups.items() if rows.any()}


def months() -> Iterator[Line]:
    """NDCG@10 on three test months against the best of the tuned peers: all, bought before, never bought."""
    by_first_day = recommend_shop.months(*MONTHS)
    yield from compared(by_first_day[TUNED_ON], [by_first_day[first] for first in TESTED])


def compared(tuned_on: Month, tested: Sequence[Month]) -> Iterator[Line]:
    """The comparison, tuned on a month and averaged over others."""
    by_name = standings(tuned_on, [{OURS: month} for month in tested])
    for part, bar in BARS.items():
        yield from against_best(by_name, part, bar)
    longest = max(month.reading_seconds + month.learned[1] for month in tested)
    yield at_most("recommend.training_seconds", longest, MOST_SECONDS, "s")


def standings(tuned_on: Month, tested: Sequence[Mapping[str, Month]]) -> dict[str, list[Standing]]:
    """How the recommender and its peers did in each month, all of it printed.

    Args:
        tuned_on: where the peers are tuned.
        tested: what the recommender knows of each month, by the name under which it stands in the table; the
            peers know the first.
    """
    peers = list(tuned(tuned_on))
    for peer in peers:
        print(f"  chosen: {peer}, best on {' and '.join(peer.best_at)}", flush=True)
    by_name: dict[str, list[Standing]] = {}
    for by_track in tested:
        month = next(iter(by_track.values()))
        print(
            f"  {month.first:%B}: {len(month.history)} customers, {month.truth.warm} warm items", flush=True
        )
        each = {name: _ours(of_track) for name, of_track in by_track.items()}
        each |= {_named(peer): _peer(month, peer) for peer in peers}
        for name, standing in each.items():
            by_name.setdefault(name, []).append(standing)
            _show(name, [standing])
    print("  Averaged over the months", flush=True)
    for name, of_months in by_name.items():
        _show(name, of_months)
    return by_name


def paired(ours: Sequence[Standing], theirs: Sequence[Standing], part: Slice) -> Interval:
    """The difference of NDCG@10 averaged over months."""
    values = [
        one.parts[part].at[10].ndcg - other.parts[part].at[10].ndcg
        for one, other in zip(ours, theirs, strict=True)
    ]
    return over_months(values, [one.customers(part) for one in ours])


def ndcg(standings: Sequence[Standing], part: Slice) -> float:
    """NDCG@10 averaged over months."""
    return float(np.mean([one.parts[part].at[10].ndcg.mean() for one in standings]))


def _ours(month: Month) -> Standing:
    """How the recommender does in a month."""
    fit, learning = month.learned
    began = time.monotonic()
    history = month.eve.history
    scores = month.probabilities(fit, history)
    scoring = time.monotonic() - began
    print(
        f"    read in {month.reading_seconds:.0f} s, learned in {learning:.0f} s, scored in {scoring:.0f} s"
    )
    wanted = purchase_matrix(month.eve.after, history, month.catalogue)[:, month.warm].toarray()
    bought = history.bought[:, month.warm].toarray() > 0
    for name, kind in {"bought before": bought, "never bought": ~bought}.items():
        _calibrated(name, scores, wanted, kind & (scores > -np.inf))
    return Standing.of(month, scores[month.rows], learning + scoring)


def _calibrated(name: str, scores: Float32Array, wanted: np.ndarray, candidates: np.ndarray) -> None:
    labels, probabilities = wanted[candidates].astype(float), scores[candidates].astype(float)
    error = calibration.error(labels, probabilities)
    print(
        f"    {name}: {candidates.sum(axis=1).mean():.0f} candidates a customer, "
        f"mean probability {probabilities.mean():.4f}, bought within 28 days {labels.mean():.4f}, "
        f"calibration error {error:.4f}"
    )


def _peer(month: Month, peer: Peer) -> Standing:
    """How a peer does in a month."""
    began = time.monotonic()
    scores = peer.of(month)
    return Standing.of(month, scores, time.monotonic() - began)


def _named(peer: Peer) -> str:
    """As the tables show it."""
    return peer.name if peer.best_at == RANKED else f"{peer.name}, best on {' and '.join(peer.best_at)}"


def _show(name: str, standings: Sequence[Standing]) -> None:
    """Print the means of all figures over months."""
    seconds = np.mean([one.seconds for one in standings])
    print(f"    {name}: {seconds:.1f} s")
    for part in RANKED:
        each = [one.figures(part) | (one.by_history() if part is Slice.ALL else {}) for one in standings]
        shown = ", ".join(f"{figure} {np.mean([one[figure] for one in each]):.4f}" for figure in each[0])
        print(f"      {part}: {shown}", flush=True)


def against_best(
    by_name: Mapping[str, Sequence[Standing]], part: Slice, bar: float, track: str = ""
) -> Iterator[Line]:
    """`OURS` among others against the best of them on a slice; `track`: what the lines' names begin with."""
    best = max((name for name in by_name if name != OURS), key=lambda name: ndcg(by_name[name], part))
    ours, theirs = by_name[OURS], by_name[best]
    for name, standings in ((OURS, ours), (best, theirs)):
        values = [one.parts[part].at[10].ndcg for one in standings]
        around = over_months(values, [one.customers(part) for one in standings])
        print(f"  {part}, {name}: {around.mean:.4f}, 95 % {around.low:.4f} to {around.high:.4f}")
    less = paired(ours, theirs, part)
    print(f"  {part}, {OURS} less {best}: {less.mean:+.4f}, 95 % {less.low:+.4f} to {less.high:+.4f}, paired")
    ratio = ndcg(ours, part) / ndcg(theirs, part)
    yield Line(f"recommend.{track}{part}_ratio", f"{ratio:.4f}", f">={bar}", ratio >= bar)
    yield at_least(f"recommend.{track}{part}_less_best_low", less.low, 0, "")
