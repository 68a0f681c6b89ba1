"""The recommender: candidates from what a customer bought, what many buy and what is alike; one blend.

A model holds two fits. The *judged* one knows nothing of the window it is judged on; the *served* one knows
everything through its day. The gate compares judged fits, the recommendations come from the served one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from perennial.foundation.gate import Answers
from perennial.recommend import blend, reasons
from perennial.recommend.blend import SIGNALS, Blend
from perennial.recommend.evaluation import Outcome, evaluate
from perennial.recommend.examination import Examination
from perennial.recommend.memory import Memory, Shelf, Whole
from perennial.recommend.sources import Candidates, Sizes, Sources

NAME = "recommender"
PACKAGES = ("numpy", "pandas", "pyarrow")
FITS = ("served", "judged")
JUDGED_AT = 10
_BLOCK = 512
_HISTORIES = tuple(f"customers with a {length} history" for length in ("short", "middling", "long"))


@dataclass(frozen=True)
class Ranking:
    """The best items of each customer of a block, best first; places that nothing fills hold −1.

    Args:
        items: row of the item on the shelf, shape (customers, k).
        scores: probability of buying it within the window.
        remembered: position of the purchase in the memory, −1 where never bought.
        by_content: did the content source bring the item up.
    """

    items: Whole
    scores: NDArray[np.float64]
    remembered: Whole
    by_content: NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """What is known as of a day, and how the sources are weighed."""

    sources: Sources
    blend: Blend

    def rank(self, customers: Whole, k: int) -> Iterator[tuple[Whole, Ranking]]:
        """The best k items of customers (rows of the memory, −1 for unknown ones), block by block."""
        for block in _blocks(customers):
            found = self.sources.candidates(block)
            yield block, _best(found, self.blend.probability(found.signals), len(block), k)

    def outcome(self, paper: Examination, k: int = JUDGED_AT) -> Outcome:
        """The measures of each customer of an examination, in its order."""
        return self.outcomes(paper, [self.blend], k)[0]

    def outcomes(self, paper: Examination, blends: Sequence[Blend], k: int = JUDGED_AT) -> list[Outcome]:
        """The same for several ways to blend the same candidates."""
        shelf, size = self.sources.shelf, len(self.sources.shelf.item_ids)
        wanted = shelf.find(paper.item_ids)
        keys = (paper.rows * size + wanted)[wanted >= 0]
        hits: list[list[NDArray[np.bool_]]] = [[] for _ in blends]
        done = 0
        for block in _blocks(self.sources.memory.find(pa.array(paper.customer_ids, pa.string()))):
            found = self.sources.candidates(block)
            rows = np.arange(done, done + len(block))[:, None]
            for each, blended in zip(hits, blends, strict=True):
                items = _best(found, blended.probability(found.signals), len(block), k).items
                each.append(np.isin(rows * size + items, keys) & (items >= 0))
            done += len(block)
        return [evaluate(np.concatenate(each), paper.wanted) for each in hits]


@dataclass(frozen=True)
class Recommender:
    """Both fits, as they are registered together; they share a shelf."""

    judged: Fit
    served: Fit

    def save(self, folder: Path) -> None:
        """Write the model into a folder: arrays and numbers, no pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        self.served.sources.shelf.save(folder / "shelf.npz")
        for name in FITS:
            fit: Fit = getattr(self, name)
            fit.sources.memory.save(folder / f"{name}.npz")
            about = {
                "blend": dict(zip(SIGNALS, fit.blend.weights, strict=True)),
                "candidates": asdict(fit.sources.sizes),
            }
            (folder / f"{name}.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        shelf = Shelf.load(folder / "shelf.npz")

        def read(name: str) -> Fit:
            about = json.loads((folder / f"{name}.json").read_text())
            weights = Blend(tuple(about["blend"][signal] for signal in SIGNALS))
            memory = Memory.load(folder / f"{name}.npz")
            return Fit(Sources(shelf, memory, Sizes(**about["candidates"])), weights)

        return cls(judged=read("judged"), served=read("served"))

    def answers(self, examination: Path) -> Answers:
        """1 − NDCG@10 of the judged fit for each customer of an examination, in its order.

        The groups are thirds of the customers by how many purchases the fit remembers of them.
        """
        paper = Examination.load(examination)
        times = self.judged.sources.memory.purchases(pa.array(paper.customer_ids, pa.string()))
        third = np.searchsorted(np.quantile(times, [1 / 3, 2 / 3]), times)
        groups = {name: third == number for number, name in enumerate(_HISTORIES)}
        return Answers(1 - self.judged.outcome(paper).ndcg, groups)

    def recommend(self, customer_ids: pa.Array, k: int, fit: str = "served") -> pa.Table:
        """The best k items of customers, known or not, as rows of `reasons.SCHEMA`, by customer and rank."""
        chosen: Fit = self.judged if fit == "judged" else self.served
        shelf, memory = chosen.sources.shelf, chosen.sources.memory
        rows, names = memory.find(customer_ids), np.array(customer_ids.to_pylist(), dtype=object)
        tables, done = [], 0
        for block, ranking in chosen.rank(rows, k):
            tables.append(reasons.table(shelf, memory, names[done : done + len(block)], block, ranking))
            done += len(block)
        return pa.concat_tables([reasons.SCHEMA.empty_table(), *tables])

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """What MLflow calls: `customer_id` in, ranked items with score, source, reason and evidence out.

        Args:
            frame: a column `customer_id`; unknown customers get what is popular.
            params: `k`, items for each customer (20); `fit`, "served" (default) or "judged".
        """
        asked: dict[str, Any] = {"k": 20, "fit": "served", **(params or {})}
        ids = pa.array(frame["customer_id"].astype(str), pa.string())
        return self.recommend(ids, int(asked["k"]), str(asked["fit"])).to_pandas()


def fit(before: Sources, after: Examination, now: Sources) -> Fit:
    """Weigh the sources by what they said before a past window and what was bought in it; then look from now.

    Args:
        before: as of the day before the window.
        after: what was bought in the window.
        now: as of the day from which to recommend, on the same shelf; the window has ended by then.
    """
    shelf, memory = before.shelf, before.memory
    wanted = shelf.find(after.item_ids)
    buyer = memory.find(pa.array(after.customer_ids, pa.string()))[after.rows]
    keys = (buyer * len(shelf.item_ids) + wanted)[(wanted >= 0) & (buyer >= 0)]
    signals, labels = [], []
    for block in _blocks(np.arange(len(memory.customer_ids))):
        found = before.candidates(block)
        signals.append(found.signals)
        labels.append(np.isin(block[found.rows] * len(shelf.item_ids) + found.items, keys))
    return Fit(now, blend.learn(np.concatenate(signals), np.concatenate(labels).astype(float)))


def _blocks(customers: Whole) -> Iterator[Whole]:
    return (customers[start : start + _BLOCK] for start in range(0, len(customers), _BLOCK))


def _best(found: Candidates, scores: NDArray[np.float64], customers: int, k: int) -> Ranking:
    """The k likeliest candidates of each customer; equals in the order of the items."""
    order = np.lexsort((found.items, -scores, found.rows))
    counts = np.bincount(found.rows, minlength=customers)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = order[place < k]
    at = found.rows[kept], place[place < k]

    def filled(values: np.ndarray, nothing: float) -> np.ndarray:
        table = np.full((customers, k), nothing, dtype=values.dtype)
        table[at] = values[kept]
        return table

    return Ranking(
        filled(found.items, -1), filled(scores, 0), filled(found.remembered, -1), filled(found.by_content, 0)
    )


def _load_pyfunc(folder: str) -> Recommender:
    """MLflow's own name for the loader of a pyfunc."""
    return Recommender.load(Path(folder))
