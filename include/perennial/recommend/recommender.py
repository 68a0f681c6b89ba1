"""The recommender: candidates from all sources, ranked by trees that learned from past windows.

A model holds two fits. The *judged* one knows nothing of the window it is judged on; the *served* one knows
everything through its day. The gate compares judged fits, the recommendations come from the served one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from perennial.foundation.gate import Answers
from perennial.recommend import features, reasons
from perennial.recommend.candidates import Candidates
from perennial.recommend.config import RecommenderSettings
from perennial.recommend.evaluation import Outcome, evaluate, hits
from perennial.recommend.examination import Examination
from perennial.recommend.features import Block
from perennial.recommend.history import History
from perennial.recommend.ranker import Lesson, Ranker
from perennial.recommend.reasons import Ranking
from perennial.recommend.shelf import Names, Shelf, Whole
from perennial.recommend.sources import Sources

Rule = Callable[[Block, Candidates], NDArray[np.float64]]
"""How much each candidate of a block is wanted."""

NAME = "recommender"
PACKAGES = (
    *("ibis-framework", "lightgbm", "numpy", "pandas", "pyarrow"),
    *("pydantic", "pydantic-settings", "pyyaml", "scikit-learn", "scipy", "torch"),
)
FITS = ("served", "judged")
JUDGED_AT = 10
_HISTORIES = tuple(f"customers with a {length} history" for length in ("short", "middling", "long"))


def frequency(block: Block, found: Candidates) -> NDArray[np.float64]:
    """What the customer bought often and lately, filled up with what is popular."""
    weight = block.pairs.weight(features.HALF_LIFE_DAYS)
    popular = popularity(block, found)
    own = found.pair >= 0
    said = popular / (1 + popular.max(initial=0.0))
    said[own] = 1 + weight[found.pair[own]]
    return said


def popularity(block: Block, found: Candidates) -> NDArray[np.float64]:
    """What many customers bought in the last 28 days."""
    return block.facts.buyers_lately[found.items].astype(np.float64)


RULES: dict[str, Rule] = {"frequency": frequency, "popularity": popularity}
"""What the ranker has to beat."""


@dataclass(frozen=True)
class Fit:
    """What was learned, and what every customer had bought by then."""

    sources: Sources
    ranker: Ranker
    history: History

    def probability(self, block: Block, found: Candidates) -> NDArray[np.float64]:
        """P(bought within the window) for each candidate.

        Of customers who never bought anything the ranker learned nothing: to them an item is as likely as
        to anybody, by who bought it in the last 28 days.
        """
        said = self.ranker.probability(block, found)
        unknown = (np.diff(block.history.starts) == 0)[found.rows]
        said[unknown] = popularity(block, found)[unknown] / len(self.history)
        return said

    def rank(self, history: History, k: int) -> Iterator[Ranking]:
        """The best k items of the customers of a history, block by block."""
        for _, block, found in self.sources.candidates(history):
            yield Ranking.best(block, found, self.probability(block, found), k)

    def of(self, customer_ids: Names) -> History:
        """What customers had bought; nothing of unknown ones."""
        return self.history.of(self.history.find(pa.array(customer_ids, pa.string())), customer_ids)

    def outcome(self, paper: Examination) -> Outcome:
        """The measures at `JUDGED_AT` of each customer of an examination, in its order."""
        return self.outcomes(paper, {NAME: self.probability})[NAME]

    def outcomes(self, paper: Examination, rules: Mapping[str, Rule]) -> dict[str, Outcome]:
        """The same for several ways to rank the same candidates."""
        asked = self.of(paper.customer_ids)
        lists: dict[str, list[Whole]] = {name: [] for name in rules}
        for _, block, found in self.sources.candidates(asked):
            for name, rule in rules.items():
                lists[name].append(Ranking.best(block, found, rule(block, found), JUDGED_AT).items)
        wanted = bought_in(paper, asked, self.sources.shelf)
        return {
            name: evaluate(hits(np.concatenate(items), wanted), paper.wanted) for name, items in lists.items()
        }


@dataclass(frozen=True)
class Recommender:
    """Both fits, as they are registered together; they share a shelf."""

    judged: Fit
    served: Fit

    def save(self, folder: Path) -> None:
        """Write the model into a folder: arrays, numbers and trees as text, no pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        chosen = self.served.sources.chosen
        (folder / "settings.json").write_text(chosen.model_dump_json(indent=1))
        self.served.sources.shelf.save(folder / "shelf.npz")
        for name in FITS:
            fit: Fit = getattr(self, name)
            fit.sources.save(folder / name)
            fit.ranker.save(folder / name)
            fit.history.save(folder / name / "history.npz")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        shelf = Shelf.load(folder / "shelf.npz")
        chosen = RecommenderSettings.model_validate_json((folder / "settings.json").read_text())
        fits = {
            name: Fit(
                Sources.load(folder / name, shelf, chosen),
                Ranker.load(folder / name),
                History.load(folder / name / "history.npz"),
            )
            for name in FITS
        }
        return cls(**fits)

    def answers(self, examination: Path) -> Answers:
        """1 − NDCG@10 of the judged fit for each customer of an examination, in its order.

        The groups are thirds of the customers by how many purchases the fit remembers of them.
        """
        paper = Examination.load(examination)
        times = np.diff(self.judged.of(paper.customer_ids).starts)
        third = np.searchsorted(np.quantile(times, [1 / 3, 2 / 3]), times)
        groups = {name: third == number for number, name in enumerate(_HISTORIES)}
        return Answers(1 - self.judged.outcome(paper).ndcg, groups)

    def recommend(self, customer_ids: pa.Array, k: int, fit: str = "served") -> pa.Table:
        """The best k items of customers, known or not, as rows of `reasons.SCHEMA`, by customer and rank."""
        chosen: Fit = self.judged if fit == "judged" else self.served
        return recommend(chosen, chosen.of(customer_ids.to_numpy(zero_copy_only=False)), k)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """What MLflow calls: `customer_id` in, ranked items with score, source, reason and evidence out.

        Args:
            frame: a column `customer_id`; unknown customers get what is popular.
            params: `k`, items for each customer (20); `fit`, "served" (default) or "judged".
        """
        asked: dict[str, Any] = {"k": 20, "fit": "served", **(params or {})}
        ids = pa.array(frame["customer_id"].astype(str), pa.string())
        return self.recommend(ids, int(asked["k"]), str(asked["fit"])).to_pandas()


def recommend(fit: Fit, history: History, k: int) -> pa.Table:
    """The best k items of the customers of a history, as rows of `reasons.SCHEMA`, by customer and rank."""
    found = [reasons.table(ranking, fit.sources) for ranking in fit.rank(history, k)]
    return pa.concat_tables([reasons.SCHEMA.empty_table(), *found])


def lessons(before: Sources, history: History, after: Examination) -> list[Lesson]:
    """What the sources said before a window, and what was bought in it.

    Args:
        before: as of the day before the window.
        history: of the customers to learn from, as of that day.
        after: what was bought in the window.
    """
    wanted, chosen = bought_in(after, history, before.shelf), before.chosen.ranker
    return [
        Lesson.of(block, found, _held(wanted[rows], found.rows, found.items), chosen, seed=int(rows[0]))
        for rows, block, found in before.candidates(history)
    ]


def bought_in(paper: Examination, history: History, shelf: Shelf) -> sparse.csr_array:
    """Which items of the shelf customers of a history bought in the window, shape (customers, items)."""
    asked = history.find(pa.array(paper.customer_ids, pa.string()))[paper.rows]
    items = shelf.find(paper.item_ids)
    both = (asked >= 0) & (items >= 0)
    at = asked[both], items[both]
    return sparse.csr_array((np.ones(int(both.sum()), bool), at), shape=(len(history), len(shelf)))


def _held(wanted: sparse.csr_array, rows: Whole, items: Whole) -> NDArray[np.bool_]:
    """Which pairs are in a sparse table."""
    width = np.int64(wanted.shape[1])
    held = wanted.tocoo()
    return np.isin(rows * width + items, held.coords[0] * width + held.coords[1])


def _load_pyfunc(folder: str) -> Recommender:
    """MLflow's own name for the loader of a pyfunc."""
    return Recommender.load(Path(folder))
