"""What comes next, by the order of what came before: a causal transformer over a customer's orders.

An order is the sum of the vectors of its items, with the days since the order before. An item's vector is a
projection of its text's, so that an item nobody has bought yet has one too, and for items that are bought
often a part of their own. The state after the last order, the days of silence since and the sum of all that
was bought give the scores of all items by their vectors (tied to those that are read). Added to that: how
popular an item was in the weeks before, or things like it, and for what the customer bought before a copying
term from how often, how long ago and how regularly; the rest learns from first purchases alone.

It learns from moments of the past, each a whole number of weeks ago: what was bought in the four weeks
after, under a softmax over what was ever bought. Of a large catalogue the softmax sees a sample, each item
weighted by one over the probability that it was drawn; what the customer buys is always in it.
"""

import json
import time
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from perennial.foundation.arrays import Float32Array, IntArray, StringArray
from perennial.foundation.encoder import best_device
from perennial.recommend.arrays.lookup import find
from perennial.recommend.arrays.nearest_items import nearest_items
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.sequence import inputs
from perennial.recommend.sequence.network import Network
from perennial.recommend.sequence.popularity import ItemTrends
from perennial.recommend.sequence.training import TrainingData, initialise, train
from perennial.recommend.settings import SequenceSettings

_NOW: IntArray = np.zeros(1, np.int64)
_OWN = "own.weight"

_THREADS = 1
"""The steps are small: two threads wait for one another, and their sums are not the same twice."""


@dataclass(frozen=True)
class SequenceModel:
    """A trained model. Get it with `fit`.

    Args:
        settings: of the model.
        own_ids: items with a part of their own.
        weights: of the network.
        vectors: of all items, shape (items, width).
        prior: what is added to the score of each item for everybody, shape (items,).
        losses: mean −log softmax of what was wanted, of each step. Fewer than `settings.steps`: time was up.
    """

    settings: SequenceSettings
    own_ids: StringArray
    weights: dict[str, Tensor]
    vectors: Tensor
    prior: Tensor
    losses: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        history: PurchaseHistory,
        catalogue: Catalogue,
        settings: SequenceSettings,
        warm: "SequenceModel | None" = None,
    ) -> Self:
        """Learn from the customers of a history until the steps or the seconds are used up.

        The same history, settings and `warm` give the same weights after the same number of steps.

        Args:
            history: of all customers, as known at the end of a day.
            catalogue: its items.
            settings: of the model.
            warm: an older model to start from; not if it has another shape, by the settings of its time.
        """
        torch.set_num_threads(_THREADS)
        data = TrainingData.of(inputs.recent_orders(history, settings.orders), catalogue, settings)
        gpu = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(gpu):
            torch.manual_seed(0)
            network, losses = data.network(settings), []
            fresh = network.state_dict()
            if warm is not None and _shapes(fresh) == _shapes(warm.weights):
                network.load_state_dict(_continued(fresh, data.own_ids, warm))
            else:
                initialise(network, data)
            learned, began = network.to(best_device()), time.monotonic()
            for learned, loss in islice(train(network, data, settings), settings.steps):  # noqa: B007
                losses.append(loss)
                if time.monotonic() - began > settings.seconds:
                    break
        return cls.of(learned, data.own_ids, settings, history, catalogue, tuple(losses))

    @classmethod
    def of(
        cls,
        network: Network,
        own_ids: StringArray,
        settings: SequenceSettings,
        history: PurchaseHistory,
        catalogue: Catalogue,
        losses: tuple[float, ...] = (),
    ) -> Self:
        """A network as it stands, with its scores of a catalogue at the end of a history's day."""
        device, trends = (
            network.trend.device,
            ItemTrends.of(inputs.recent_orders(history, settings.orders), catalogue),
        )
        texts = torch.from_numpy(catalogue.unit_text_vectors(np.arange(len(catalogue))))
        own = torch.from_numpy(1 + find(pa.array(catalogue.item_ids, pa.string()), own_ids))
        with torch.inference_mode():
            vectors, bias = network.vectors(texts.to(device), own.to(device))
            prior = bias + torch.from_numpy(trends.features(_NOW)[0]).to(device) @ network.trend
        weights = {name: weight.cpu().clone() for name, weight in network.state_dict().items()}
        return cls(settings, own_ids, weights, vectors.cpu().clone(), prior.cpu().clone(), losses)

    def on(self, history: PurchaseHistory, catalogue: Catalogue) -> Self:
        """The same weights as of a later day, with the trends of that day; there may be more items."""
        return self.of(self._network, self.own_ids, self.settings, history, catalogue, self.losses)

    def scores(self, block: PurchaseHistory) -> Float32Array:
        """Shape (customers, items), as logarithms of probabilities but for a constant of each customer."""
        block = inputs.recent_orders(block, self.settings.orders)
        sequence_inputs = inputs.SequenceInputs.of(block, _NOW)
        (customers, _, items), features, _ = map(
            torch.from_numpy, inputs.pairs(block, sequence_inputs.places, _NOW)
        )
        with torch.inference_mode():
            states = self._states(block, sequence_inputs)
            scores = torch.addmm(self.prior, states, self.vectors.T)
            scores[customers, items] += self._network.copied(
                states[customers], self.vectors[items], features, scores[customers, items]
            )
        return scores.numpy()

    def new(self, block: PurchaseHistory, items: IntArray) -> Float32Array:
        """The share of each of some items in what a customer wants of them, if none was bought before.

        Shape (customers, items), above 0, rows sum to 1.
        """
        block = inputs.recent_orders(block, self.settings.orders)
        with torch.inference_mode():
            states = self._states(block, inputs.SequenceInputs.of(block, _NOW))
            scores = torch.addmm(self.prior[items], states, self.vectors[items].T)
            return scores.softmax(1).numpy()

    def alike(self, items: IntArray) -> sparse.csr_array:
        """The items whose vectors are nearest to those of some items, by cosine, shape (n, items)."""
        length_one = functional.normalize(self.vectors, dim=1).numpy()
        return nearest_items(lambda some: length_one @ length_one[items[some]].T, len(items))

    def _states(self, block: PurchaseHistory, sequence_inputs: inputs.SequenceInputs) -> Tensor:
        return self._network.states(torch.from_numpy(block.items).long(), self.vectors, sequence_inputs)[:, 0]

    @cached_property
    def _network(self) -> Network:
        texts, own, settings = self.weights["project.weight"].shape[1], len(self.own_ids), self.settings
        network = Network(texts, own, settings.width, settings.layers, settings.heads, dropout=0.0).eval()
        network.load_state_dict(self.weights)
        return network

    def save(self, folder: Path) -> None:
        """Write it as two files, without pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"vectors": self.vectors, "prior": self.prior}
        arrays |= {f"weights/{name}": weight for name, weight in self.weights.items()}
        save_file(arrays, folder / "sequence.safetensors")
        about = {"chosen": self.settings.model_dump(), "own_ids": list(self.own_ids), "losses": self.losses}
        (folder / "sequence.json").write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_file(folder / "sequence.safetensors")
        about = json.loads((folder / "sequence.json").read_text(encoding="utf-8"))
        return cls(
            settings=SequenceSettings(**about["chosen"]),
            own_ids=np.array(about["own_ids"], object),
            vectors=arrays.pop("vectors"),
            prior=arrays.pop("prior"),
            weights={name.removeprefix("weights/"): weight for name, weight in arrays.items()},
            losses=tuple(about["losses"]),
        )


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    """The shapes of all weights; of the items' own parts, which may be more by now, without their number."""
    return {name: weight.shape[1:] if name == _OWN else weight.shape for name, weight in weights.items()}


def _continued(state: dict[str, Tensor], own_ids: StringArray, warm: SequenceModel) -> dict[str, Tensor]:
    """The weights of an older model; an item that had no part of its own then has an empty one."""
    at = find(pa.array(own_ids, pa.string()), warm.own_ids)
    own = state[_OWN].clone()
    own[1 + np.flatnonzero(at >= 0)] = warm.weights[_OWN][1 + at[at >= 0]]
    return warm.weights | {_OWN: own}
