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
from perennial.foundation.hardware import best_device
from perennial.recommend.arrays.lookup import find
from perennial.recommend.arrays.nearest_items import nearest_items
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.sequence import inputs as reading
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
        chosen: the settings.
        own_ids: items with a part of their own.
        weights: of the network.
        vectors: of all items, shape (items, width).
        prior: what is added to the score of each item for everybody, shape (items,).
        losses: mean −log softmax of what was wanted, of each step. Fewer than `chosen.steps`: time was up.
    """

    chosen: SequenceSettings
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
        chosen: SequenceSettings,
        warm: "SequenceModel | None" = None,
    ) -> Self:
        """Learn from the customers of a history until the steps or the seconds are used up.

        The same history, settings and `warm` give the same weights after the same number of steps.

        Args:
            history: of all customers, as known at the end of a day.
            catalogue: its items.
            chosen: the settings.
            warm: an older model to start from; not if it has another shape, by the settings of its time.
        """
        torch.set_num_threads(_THREADS)
        lesson = TrainingData.of(reading.recent_orders(history, chosen.orders), catalogue, chosen)
        gpu = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(gpu):
            torch.manual_seed(0)
            network, losses = lesson.network(chosen), []
            fresh = network.state_dict()
            if warm is not None and _shapes(fresh) == _shapes(warm.weights):
                network.load_state_dict(_continued(fresh, lesson.own_ids, warm))
            else:
                initialise(network, lesson)
            learned, began = network.to(best_device()), time.monotonic()
            for learned, loss in islice(train(network, lesson, chosen), chosen.steps):  # noqa: B007
                losses.append(loss)
                if time.monotonic() - began > chosen.seconds:
                    break
        return cls.of(learned, lesson.own_ids, chosen, history, catalogue, tuple(losses))

    @classmethod
    def of(
        cls,
        network: Network,
        own_ids: StringArray,
        chosen: SequenceSettings,
        history: PurchaseHistory,
        catalogue: Catalogue,
        losses: tuple[float, ...] = (),
    ) -> Self:
        """A network as it stands, with its scores of a catalogue at the end of a history's day."""
        device, market = (
            network.trend.device,
            ItemTrends.of(reading.recent_orders(history, chosen.orders), catalogue),
        )
        texts = torch.from_numpy(catalogue.unit_text_vectors(np.arange(len(catalogue))))
        own = torch.from_numpy(1 + find(pa.array(catalogue.item_ids, pa.string()), own_ids))
        with torch.inference_mode():
            vectors, bias = network.vectors(texts.to(device), own.to(device))
            prior = bias + torch.from_numpy(market.features(_NOW)[0]).to(device) @ network.trend
        weights = {name: held.cpu().clone() for name, held in network.state_dict().items()}
        return cls(chosen, own_ids, weights, vectors.cpu().clone(), prior.cpu().clone(), losses)

    def on(self, history: PurchaseHistory, catalogue: Catalogue) -> Self:
        """The same weights on a later day: what sells is what sold by then, and there may be more items."""
        return self.of(self._network, self.own_ids, self.chosen, history, catalogue, self.losses)

    def scores(self, block: PurchaseHistory) -> Float32Array:
        """Shape (customers, items), as logarithms of probabilities but for a constant of each customer."""
        block = reading.recent_orders(block, self.chosen.orders)
        read = reading.SequenceInputs.of(block, _NOW)
        (who, _, what), features, _ = map(torch.from_numpy, reading.pairs(block, read.places, _NOW))
        with torch.inference_mode():
            states = self._states(block, read)
            said = torch.addmm(self.prior, states, self.vectors.T)
            said[who, what] += self._network.copied(
                states[who], self.vectors[what], features, said[who, what]
            )
        return said.numpy()

    def new(self, block: PurchaseHistory, items: IntArray) -> Float32Array:
        """Of some items, the share of each in what is wanted of them by who bought none before.

        Shape (customers, items), above 0, rows sum to 1.
        """
        block = reading.recent_orders(block, self.chosen.orders)
        with torch.inference_mode():
            states = self._states(block, reading.SequenceInputs.of(block, _NOW))
            said = torch.addmm(self.prior[items], states, self.vectors[items].T)
            return said.softmax(1).numpy()

    def alike(self, items: IntArray) -> sparse.csr_array:
        """The items whose vectors are nearest to those of some items, by cosine, shape (n, items)."""
        length_one = functional.normalize(self.vectors, dim=1).numpy()
        return nearest_items(lambda some: length_one @ length_one[items[some]].T, len(items))

    def _states(self, block: PurchaseHistory, read: reading.SequenceInputs) -> Tensor:
        return self._network.states(torch.from_numpy(block.items).long(), self.vectors, read)[:, 0]

    @cached_property
    def _network(self) -> Network:
        texts, own, chosen = self.weights["project.weight"].shape[1], len(self.own_ids), self.chosen
        network = Network(texts, own, chosen.width, chosen.layers, chosen.heads, dropout=0.0).eval()
        network.load_state_dict(self.weights)
        return network

    def save(self, folder: Path) -> None:
        """Write it as two files, without pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"vectors": self.vectors, "prior": self.prior}
        arrays |= {f"weights/{name}": held for name, held in self.weights.items()}
        save_file(arrays, folder / "sequence.safetensors")
        told = {"chosen": self.chosen.model_dump(), "own_ids": list(self.own_ids), "losses": self.losses}
        (folder / "sequence.json").write_text(json.dumps(told), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_file(folder / "sequence.safetensors")
        told = json.loads((folder / "sequence.json").read_text(encoding="utf-8"))
        return cls(
            chosen=SequenceSettings(**told["chosen"]),
            own_ids=np.array(told["own_ids"], object),
            vectors=arrays.pop("vectors"),
            prior=arrays.pop("prior"),
            weights={name.removeprefix("weights/"): held for name, held in arrays.items()},
            losses=tuple(told["losses"]),
        )


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Of all weights but the items' own parts, of which there may be more by now."""
    return {name: held.shape[1:] if name == _OWN else held.shape for name, held in weights.items()}


def _continued(fresh: dict[str, Tensor], own_ids: StringArray, warm: SequenceModel) -> dict[str, Tensor]:
    """The weights of an older model; of items that had no part of their own then, an empty one."""
    at = find(pa.array(own_ids, pa.string()), warm.own_ids)
    own = fresh[_OWN].clone()
    own[1 + np.flatnonzero(at >= 0)] = warm.weights[_OWN][1 + at[at >= 0]]
    return warm.weights | {_OWN: own}
