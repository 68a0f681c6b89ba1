"""The probability that each candidate is bought within the window.

There are two kinds of candidates. For items that the customer bought before, boosted trees judge each item
by itself, a network compares them, and the mean of both log odds is better than either. For items that the
customer never bought, a network compares the candidates of each customer. All of them are probabilities, so
both kinds merge into one list.
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

_JUDGED_BY_TREES = 24
"""The trees are slow: they judge only so many items that a customer bought, the best by the network."""


class CandidateKind(StrEnum):
    """Whether the customer bought the candidates before."""

    BOUGHT = "bought"
    NEW = "new"


@dataclass(frozen=True)
class TrainingLists:
    """The candidates of a block of customers with labels, for each kind."""

    lists: dict[CandidateKind, CandidateLists]

    @classmethod
    def of(
        cls,
        block: CustomerBlock,
        candidates: Candidates,
        labels: BoolArray,
        settings: RankerSettings,
        seed: int,
    ) -> Self:
        """From candidates and whether each was bought; of the others a share is kept, drawn by chance."""
        is_kept = labels | (np.random.default_rng(seed).random(len(candidates)) < settings.negatives)
        return cls({kind: _lists(block, candidates, labels, kind, is_kept) for kind in CandidateKind})


@dataclass(frozen=True)
class Ranker:
    """Trees for items bought before, and a network for each kind of candidates."""

    trees: lightgbm.Booster
    networks: dict[CandidateKind, ListwiseNetwork]

    @classmethod
    def fit(
        cls, blocks: Sequence[TrainingLists], score_names: Sequence[str], settings: RankerSettings
    ) -> Self:
        """Learn from past windows.

        Args:
            blocks: all blocks of all windows.
            score_names: of the sources, in their order.
            settings: of trees and networks.
        """
        bought = [block.lists[CandidateKind.BOUGHT] for block in blocks]
        labels = np.concatenate([lists.labels for lists in bought]).astype(float)
        trees = boosting.grow(
            np.concatenate([lists.features for lists in bought]),
            labels,
            "binary",
            settings.trees,
            matrix.feature_names(score_names, bought=True),
            weights=np.where(labels > 0, 1.0, 1 / settings.negatives),
        )
        networks = {
            kind: ListwiseNetwork.fit(
                [block.lists[kind] for block in blocks], settings.network, settings.negatives
            )
            for kind in CandidateKind
        }
        return cls(trees, networks)

    def probability(self, block: CustomerBlock, candidates: Candidates) -> FloatArray:
        """P(bought within the window) for each candidate."""
        probabilities = np.zeros(len(candidates))
        no_labels, all_kept = np.zeros(len(candidates), bool), np.ones(len(candidates), bool)
        for kind, network in self.networks.items():
            is_of_kind = _is_of_kind(candidates, kind)
            if not is_of_kind.any():
                continue
            lists = _lists(block, candidates, no_labels, kind, all_kept)
            log_odds = network.log_odds(lists.features, lists.starts, lists.customers)
            if kind is CandidateKind.BOUGHT:
                ranks = RaggedLists(candidates.rows[is_of_kind], len(block.history)).ranks(log_odds)
                is_first = ranks < _JUDGED_BY_TREES
                of_trees = boosting.predict(self.trees, lists.features[is_first], raw=True, threads=1)
                log_odds[is_first] = (log_odds[is_first] + of_trees) / 2
            probabilities[is_of_kind] = 1 / (1 + np.exp(-log_odds))
        return probabilities

    def save(self, folder: Path) -> None:
        """Write the trees as text, the networks as arrays."""
        self.trees.save_model(folder / "trees.txt")
        for kind, network in self.networks.items():
            network.save(folder / f"{kind}.npz")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        networks = {kind: ListwiseNetwork.load(folder / f"{kind}.npz") for kind in CandidateKind}
        return cls(lightgbm.Booster(model_file=folder / "trees.txt"), networks)


def _is_of_kind(candidates: Candidates, kind: CandidateKind) -> BoolArray:
    return (candidates.pair >= 0) == (kind is CandidateKind.BOUGHT)


def _lists(
    block: CustomerBlock,
    candidates: Candidates,
    labels: BoolArray,
    kind: CandidateKind,
    is_kept: BoolArray,
) -> CandidateLists:
    """The candidates of a kind that are kept, with their features, list by list."""
    is_listed = is_kept & _is_of_kind(candidates, kind)
    listed = candidates.where(is_listed)
    starts = np.flatnonzero(np.diff(listed.rows, prepend=-1))
    features = block.features(listed, bought=kind is CandidateKind.BOUGHT)
    return CandidateLists(features, starts, labels[is_listed], block.customers[listed.rows[starts]])
