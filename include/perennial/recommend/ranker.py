"""How likely each candidate is bought within the window, from everything that is known of it.

What was bought before and what never was are two questions. Of the second, a small network compares the
many things that a customer might try, list by list. The first is one of when and how often: boosted trees
judge each item by itself, a network compares them, and the mean of their log odds is better than either.
All say a probability, so the answers to both questions merge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from perennial.foundation.settings import settings
from perennial.recommend import features
from perennial.recommend.candidates import Candidates
from perennial.recommend.config import RankerSettings, TreesSettings
from perennial.recommend.features import Block
from perennial.recommend.listwise import Lists, Listwise

Numbers = NDArray[np.float64]
_BINS = 127


class Question(StrEnum):
    """Which candidates are asked about."""

    BOUGHT = "bought"
    NEW = "new"


@dataclass(frozen=True)
class Lesson:
    """The candidates of a block of customers, with what became of them, for each question."""

    lists: dict[Question, Lists]

    @classmethod
    def of(
        cls, block: Block, found: Candidates, wanted: NDArray[np.bool_], chosen: RankerSettings, seed: int
    ) -> Self:
        """From candidates and whether each was bought; of what was not bought a share is drawn."""
        kept = wanted | (np.random.default_rng(seed).random(len(found)) < chosen.negatives)
        return cls({question: _lists(block, found, wanted, question, kept) for question in Question})


@dataclass(frozen=True)
class Ranker:
    """Trees for what was bought before, and a network for each question."""

    trees: lgb.Booster
    networks: dict[Question, Listwise]

    @classmethod
    def fit(cls, lessons: Sequence[Lesson], sources: Sequence[str], chosen: RankerSettings) -> Self:
        """Learn from past windows.

        Args:
            lessons: of all blocks of all windows.
            sources: the names of the sources, in the order of their scores.
            chosen: how.
        """
        bought = [one.lists[Question.BOUGHT] for one in lessons]
        labels = np.concatenate([one.labels for one in bought]).astype(float)
        data = lgb.Dataset(
            np.concatenate([one.features for one in bought]),
            labels,
            weight=np.where(labels > 0, 1.0, 1 / chosen.negatives),
            feature_name=list(features.names(sources, bought=True)),
            params={"max_bin": _BINS, "verbose": -1},
        )
        trees = lgb.train(_parameters(chosen.trees, len(labels)), data, chosen.trees.rounds)
        networks = {
            question: Listwise.fit([one.lists[question] for one in lessons], chosen.network, chosen.negatives)
            for question in Question
        }
        return cls(trees, networks)

    def probability(self, block: Block, found: Candidates) -> Numbers:
        """P(bought within the window) for each candidate."""
        said, nothing = np.zeros(len(found)), np.zeros(len(found), bool)
        for question, network in self.networks.items():
            asked = (found.pair >= 0) == (question is Question.BOUGHT)
            if not asked.any():
                continue
            lists = _lists(block, found, nothing, question, ~nothing)
            odds = network.log_odds(lists.features, lists.starts, lists.customers)
            if question is Question.BOUGHT:
                threads = settings().threads_for(len(lists.features))
                by_trees = self.trees.predict(lists.features, raw_score=True, num_threads=threads)
                odds = (odds + np.asarray(by_trees)) / 2
            said[asked] = 1 / (1 + np.exp(-odds))
        return said

    def save(self, folder: Path) -> None:
        """Write the trees as text, the networks as arrays."""
        self.trees.save_model(folder / "trees.txt")
        for question, network in self.networks.items():
            network.save(folder / f"{question}.npz")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        networks = {question: Listwise.load(folder / f"{question}.npz") for question in Question}
        return cls(lgb.Booster(model_file=folder / "trees.txt"), networks)


def _lists(
    block: Block, found: Candidates, wanted: NDArray[np.bool_], question: Question, kept: NDArray[np.bool_]
) -> Lists:
    """The candidates of a question that are kept, list by list."""
    asked = kept & ((found.pair >= 0) == (question is Question.BOUGHT))
    some = found.where(asked)
    starts = np.flatnonzero(np.diff(some.rows, prepend=-1))
    rows = block.features(some, bought=question is Question.BOUGHT)
    return Lists(rows, starts, wanted[asked], block.customers[some.rows[starts]])


def _parameters(how: TreesSettings, cases: int) -> dict[str, object]:
    """For LightGBM; the same cases give the same trees."""
    return {
        "objective": "binary",
        "num_leaves": how.leaves,
        "learning_rate": how.learning_rate,
        "min_data_in_leaf": how.least_cases_in_leaf,
        "feature_fraction": how.feature_share,
        "lambda_l2": how.ridge,
        "max_bin": _BINS,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
        "seed": 1,
        "num_threads": settings().threads_for(cases),
    }
