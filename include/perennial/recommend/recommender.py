"""The recommender: candidates from all sources, ranked by what was learned from past windows.

A model holds two fits. The *judged* one knows nothing of the window it is judged on; the *served* one knows
everything through its day. The gate compares judged fits, the recommendations come from the served one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.foundation.arrays import BoolArray, IntArray
from perennial.foundation.modelling.gate import Answers
from perennial.foundation.modelling.registered import check_layout, write_layout
from perennial.recommend.arrays.parallel import map_blocks
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.evaluation.history_lengths import HISTORY_LENGTHS, history_thirds
from perennial.recommend.evaluation.scorecard import scorecards
from perennial.recommend.fit import Fit
from perennial.recommend.lists.eligibility import known_adults
from perennial.recommend.lists.phrases import Languages
from perennial.recommend.lists.reasons import SCHEMA, recommendation_table
from perennial.recommend.lists.selection import ListSelector
from perennial.recommend.ranking.ranker import Ranker
from perennial.recommend.settings import RecommenderSettings
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources

NAME = "recommender"
LAYOUT = 1
"""Of the files that `save` writes; whoever changes them raises it."""
PACKAGES = (
    *("ibis-framework", "lightgbm", "numpy", "pandas", "pyarrow"),
    *("pydantic", "pydantic-settings", "pyyaml", "scikit-learn", "scipy", "threadpoolctl", "torch"),
)
FITS = ("served", "judged")
_HISTORIES = tuple(f"customers with a {length} history" for length in HISTORY_LENGTHS)


@dataclass(frozen=True)
class Customers:
    """The customers who get lists.

    Args:
        history: what they bought.
        adult: who is known to be an adult, shape (customers,).
        languages: the place of each customer's language in reasons.yaml, shape (customers,).
    """

    history: PurchaseHistory
    adult: BoolArray
    languages: IntArray


@dataclass(frozen=True)
class Recommender:
    """Both fits, as they are registered together; they share a catalogue.

    Args:
        judged: knows nothing of the window on which it is judged.
        served: knows everything through its day.
        available: which items of the catalogue could be sold on the day, shape (items,).
        day: the day.
        languages: in which it gives reasons.
    """

    judged: Fit
    served: Fit
    available: BoolArray
    day: date
    languages: Languages

    def save(self, folder: Path) -> None:
        """Write the model into a folder: arrays, numbers and trees as text, no pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        write_layout(folder, LAYOUT)
        settings = self.served.sources.settings
        (folder / "settings.json").write_text(settings.model_dump_json(indent=1))
        self.served.sources.catalogue.save(folder / "shelf.npz")
        (folder / "languages.json").write_text(self.languages.model_dump_json(indent=1))
        np.savez(folder / "day.npz", day=str(self.day), available=self.available)
        for name in FITS:
            fit: Fit = getattr(self, name)
            fit.sources.save(folder / name)
            fit.ranker.save(folder / name)
            fit.history.save(folder / name / "history.npz")
            fit.new_items.save(folder / name / "new_items.npz")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            LayoutError: other code saved it in another layout.
        """
        check_layout(folder, LAYOUT)
        catalogue = Catalogue.load(folder / "shelf.npz")
        settings = RecommenderSettings.model_validate_json((folder / "settings.json").read_text())
        fits = {
            name: Fit(
                CandidateSources.load(folder / name, catalogue, settings),
                Ranker.load(folder / name),
                PurchaseHistory.load(folder / name / "history.npz"),
                NewItems.load(folder / name / "new_items.npz", catalogue, settings.content),
            )
            for name in FITS
        }
        languages = Languages.model_validate_json((folder / "languages.json").read_text())
        with np.load(folder / "day.npz") as arrays:
            day = date.fromisoformat(str(arrays["day"]))
            return cls(**fits, available=arrays["available"], day=day, languages=languages)

    def answers(self, examination: Path) -> Answers:
        """1 − NDCG@10 of the judged fit for each customer of an examination, in its order.

        The groups are thirds of the customers by how many order lines of theirs the fit knows. The parts are
        what they bought before and what is new to them.
        """
        truth = WindowPurchases.load(examination)
        third = history_thirds(np.diff(self.judged.history_of(truth.customer_ids).starts))
        groups = {name: third == number for number, name in enumerate(_HISTORIES)}
        scorecard = scorecards(self.judged, truth, {NAME: self.judged.probability})[NAME]
        parts = {name: 1 - ndcg for name, ndcg in scorecard.parts.items()}
        return Answers(1 - scorecard.metrics.ndcg, groups, parts=parts, coverage=scorecard.coverage)

    def recommend(
        self,
        customer_ids: pa.Array,
        k: int,
        fit: str = "served",
        ages: pa.Array | None = None,
        locales: pa.Array | None = None,
    ) -> pa.Table:
        """The lists of customers, known or not, as rows of `reasons.SCHEMA`, by customer and rank.

        Args:
            customer_ids: whose.
            k: length of a list.
            fit: "served" or "judged".
            ages: their age bands; customers without an age band do not count as adults.
            locales: in which languages the reasons are given.
        """
        selector, missing = self._selectors[fit], pa.nulls(len(customer_ids), pa.string())
        chosen_fit: Fit = getattr(self, fit)
        adult_age = selector.settings.eligibility.adult_age
        customers = Customers(
            chosen_fit.history_of(customer_ids.to_numpy(zero_copy_only=False)),
            known_adults(missing if ages is None else ages, adult_age),
            self.languages.of(missing if locales is None else locales),
        )
        return recommend(chosen_fit, customers, selector, self.languages, k)

    @cached_property
    def _selectors(self) -> dict[str, ListSelector]:
        """How the lists of each fit are selected; the same for all customers."""
        fits: dict[str, Fit] = {name: getattr(self, name) for name in FITS}
        return {
            name: ListSelector.of(fit.sources.settings, fit.sources, fit.new_items, self.available, self.day)
            for name, fit in fits.items()
        }

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """What MLflow calls: `customer_id` in, ranked items with score, source, reason and evidence out.

        Args:
            frame: a column `customer_id`, and where known `age` (an age band) and `locale`; unknown customers
                get what is popular.
            params: `k`, items for each customer (20); `fit`, "served" (default) or "judged".
        """
        options: dict[str, Any] = {"k": 20, "fit": "served", **(params or {})}
        columns = {
            name: pa.array(frame[name], pa.string(), from_pandas=True) if name in frame else None
            for name in ("age", "locale")
        }
        customer_ids = pa.array(frame["customer_id"].astype(str), pa.string())
        k, fit = int(options["k"]), str(options["fit"])
        return self.recommend(customer_ids, k, fit, columns["age"], columns["locale"]).to_pandas()


def recommend(
    fit: Fit, customers: Customers, selector: ListSelector, languages: Languages, k: int
) -> pa.Table:
    """The lists of customers, as rows of `reasons.SCHEMA`, by customer and rank.

    Args:
        fit: what was learned.
        customers: whose.
        selector: how the lists are selected.
        languages: the sentences of the reasons.
        k: length of a list.
    """

    def recommend_block(rows: IntArray) -> pa.Table:
        block, candidates = fit.sources.candidates_of(customers.history.of(rows))
        probabilities = fit.probability(block, candidates)
        lists = selector.select(block, candidates, probabilities, customers.adult[rows], k)
        languages_of_block = customers.languages[rows]
        return recommendation_table(lists, fit.sources, fit.new_items, languages, languages_of_block)

    return pa.concat_tables([SCHEMA.empty_table(), *map_blocks(len(customers.history), recommend_block)])


def _load_pyfunc(folder: str) -> Recommender:
    """MLflow's loader."""
    return Recommender.load(Path(folder))
