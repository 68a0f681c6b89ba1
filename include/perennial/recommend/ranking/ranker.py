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

import lightgbm
import numpy as np

from perennial.foundation.arrays import BoolArray, FloatArray
from perennial.foundation.modelling import boosting
from perennial.recommend.arrays.ragged import RaggedLists
from perennial.recommend.features import matrix
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import Candidates
from perennial.recommend.ranking.listwise_network import CandidateLists, ListwiseNetwork
from perennial.recommend.settings import RankerSettings

_FIRST = 24
"""So many of what a customer bought, by the network, are judged by the trees too, which take their time."""


class CandidateKind(StrEnum):
    """Which candidates are asked about."""

    BOUGHT = "bought"
    NEW = "new"


@dataclass(frozen=True)
class TrainingLists:
    """The candidates of a block of customers, with what became of them, for each question."""

    lists: dict[CandidateKind, CandidateLists]

    @classmethod
    def of(
        cls,
        block: CustomerBlock,
        found: Candidates,
        wanted: BoolArray,
        chosen: RankerSettings,
        seed: int,
    ) -> Self:
        """From candidates and whether each was bought; of what was not bought a share is drawn."""
        kept = wanted | (np.random.default_rng(seed).random(len(found)) < chosen.negatives)
        return cls({question: _lists(block, found, wanted, question, kept) for question in CandidateKind})


@dataclass(frozen=True)
class Ranker:
    """Trees for what was bought before, and a network for each question."""

    trees: lightgbm.Booster
    networks: dict[CandidateKind, ListwiseNetwork]

    @classmethod
    def fit(cls, lessons: Sequence[TrainingLists], sources: Sequence[str], chosen: RankerSettings) -> Self:
        """Learn from past windows.

        Args:
            lessons: of all blocks of all windows.
            sources: the names of the sources, in the order of their scores.
            chosen: how.
        """
        bought = [one.lists[CandidateKind.BOUGHT] for one in lessons]
        labels = np.concatenate([one.labels for one in bought]).astype(float)
        trees = boosting.grow(
            np.concatenate([one.features for one in bought]),
            labels,
            "binary",
            chosen.trees,
            matrix.feature_names(sources, bought=True),
            weights=np.where(labels > 0, 1.0, 1 / chosen.negatives),
        )
        networks = {
            question: ListwiseNetwork.fit(
                [one.lists[question] for one in lessons], chosen.network, chosen.negatives
            )
            for question in CandidateKind
        }
        return cls(trees, networks)

    def probability(self, block: CustomerBlock, found: Candidates) -> FloatArray:
        """P(bought within the window) for each candidate."""
        said, nothing = np.zeros(len(found)), np.zeros(len(found), bool)
        for question, network in self.networks.items():
            asked = (found.pair >= 0) == (question is CandidateKind.BOUGHT)
            if not asked.any():
                continue
            lists = _lists(block, found, nothing, question, ~nothing)
            odds = network.log_odds(lists.features, lists.starts, lists.customers)
            if question is CandidateKind.BOUGHT:
                first = RaggedLists(found.rows[asked], len(block.history)).ranks(odds) < _FIRST
                by_trees = boosting.predict(self.trees, lists.features[first], raw=True, threads=1)
                odds[first] = (odds[first] + by_trees) / 2
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
        networks = {question: ListwiseNetwork.load(folder / f"{question}.npz") for question in CandidateKind}
        return cls(lightgbm.Booster(model_file=folder / "trees.txt"), networks)


def _lists(
    block: CustomerBlock,
    found: Candidates,
    wanted: BoolArray,
    question: CandidateKind,
    kept: BoolArray,
) -> CandidateLists:
    """The candidates of a question that are kept, list by list."""
    asked = kept & ((found.pair >= 0) == (question is CandidateKind.BOUGHT))
    some = found.where(asked)
    starts = np.flatnonzero(np.diff(some.rows, prepend=-1))
    rows = block.features(some, bought=question is CandidateKind.BOUGHT)
    return CandidateLists(rows, starts, wanted[asked], block.customers[some.rows[starts]])
