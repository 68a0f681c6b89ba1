"""How the sequence model learns: from what was bought in the four weeks after moments of the past."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from perennial.foundation.arrays import Float32Array, FloatArray, IntArray, StringArray
from perennial.foundation.hardware import best_device
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.sequence import inputs as reading
from perennial.recommend.sequence.network import PRIOR_ITEMS, Network
from perennial.recommend.sequence.popularity import ItemTrends
from perennial.recommend.settings import SequenceSettings

_WARM_UP = 50
"""Steps until the learning rate is reached."""

_NEWCOMERS = 0.4
"""Of the customers in a step so many are taken for new: what they bought before a random day is forgotten,
a day not long before the moments it learns from, so that at many of them little is known."""

_DRAWN_BY = 0.75
"""Items are drawn into the softmax in proportion to their lines to this power."""

_SHRUNK = 300.0
"""Directions are sought in purchases divided by the root of the item's buyers and so many more."""
_RIDGE = 500.0
_TEXT_RIDGE = 10.0
_FEW_BUYERS = 10.0
_OF_TEXTS = 0.25
"""Of the numbers of a vector."""
_SPREAD, _SPREAD_OF_TEXTS = 0.5, 0.2
"""Standard deviation, over customers and items, of the first scores by taste: by purchases, by texts."""
_ASKED = 300


@dataclass(frozen=True)
class TrainingData:
    """What is learned from, and where.

    Args:
        history: the last orders of all customers.
        market: what everybody bought.
        texts: vector of each item's text, zeros where it has none, shape (items, width of a text).
        own: number of each item's own part, 0 for none, shape (items,).
        own_ids: the items of the parts 1, 2, …
        weeks: how long ago the moments are that it learns from.
        shares: probability that an item is drawn into the softmax, 0 for what nobody ever bought.
    """

    history: PurchaseHistory
    market: ItemTrends
    texts: Tensor
    own: Tensor
    own_ids: StringArray
    weeks: IntArray
    shares: FloatArray

    @classmethod
    def of(cls, history: PurchaseHistory, catalogue: Catalogue, chosen: SequenceSettings) -> Self:
        """From the purchases of all customers."""
        times = np.bincount(history.items, minlength=len(catalogue))
        often = np.flatnonzero(times >= chosen.lines_for_own)
        own = np.zeros(len(catalogue), np.int64)
        own[often] = 1 + np.arange(len(often))
        wish = times**_DRAWN_BY
        shares = np.minimum(1, chosen.drawn * wish / max(1, wish.sum()))
        if chosen.drawn >= (times > 0).sum():
            shares = (times > 0).astype(float)
        texts = torch.from_numpy(catalogue.unit_text_vectors(np.arange(len(catalogue))))
        device, numbers = best_device(), torch.from_numpy(own)
        market = ItemTrends.of(history, catalogue)
        weeks = np.arange(1, 1 + min(chosen.weeks, market.weeks // 2))
        return cls(
            history, market, texts.to(device), numbers.to(device), catalogue.item_ids[often], weeks, shares
        )

    def network(self, chosen: SequenceSettings) -> Network:
        """One that has learned nothing yet."""
        texts, own = self.texts.shape[1], len(self.own_ids)
        return Network(texts, own, chosen.width, chosen.layers, chosen.heads, chosen.dropout)


def initialise(network: Network, lesson: TrainingData) -> None:
    """Give the items vectors by which those that the same customers buy are alike, and those of like texts.

    Most numbers are leading directions of the purchases before the first moment it learns from: vectors that
    already know what is to be foretold look better than they are. The projection says of them what the
    texts can (ridge regression), the items' own parts the rest, so far as there were buyers. The other
    numbers are leading directions of the texts themselves.
    """
    past = reading.with_lines(lesson.history, lesson.history.ages >= 7 * lesson.weeks.max(initial=0))
    bought, width = past.bought, network.project.out_features
    buyers = np.bincount(bought.indices, minlength=bought.shape[1])
    rank = min(width - int(_OF_TEXTS * width), *(size - 1 for size in bought.shape))
    if rank < 1 or not buyers.any():
        return
    asked, texts = bought[:_ASKED], lesson.texts.double().cpu().numpy()
    shrunk = np.sqrt(buyers.mean() / (buyers + _SHRUNK)).astype(np.float32)
    _, strengths, found = randomized_svd(bought @ sparse.diags_array(shrunk), rank, n_iter=4, random_state=0)
    vectors = found.T * (strengths / np.sqrt(strengths**2 + _RIDGE)) * shrunk[:, None]
    vectors *= _scale(vectors, asked, _SPREAD)
    weighted = texts * buyers[:, None]
    said = np.linalg.solve(weighted.T @ texts + _TEXT_RIDGE * np.eye(texts.shape[1]), weighted.T @ vectors)
    rest = (vectors - texts @ said) * (buyers / (buyers + _FEW_BUYERS))[:, None]
    directions = _directions(texts[buyers > 0])[:, : width - rank]
    directions *= _scale(texts @ directions, asked, _SPREAD_OF_TEXTS)
    with torch.no_grad():
        network.project.weight[:rank] = torch.from_numpy(said.T)
        network.project.weight[rank : rank + directions.shape[1]] = torch.from_numpy(directions.T)
        network.own.weight[1:, :rank] = torch.from_numpy(rest[lesson.own.cpu().numpy() > 0]).float()


def _directions(texts: FloatArray) -> FloatArray:
    """Leading directions of texts first, seen from their middle, which itself lies in none of them."""
    middle = texts.mean(axis=0)
    centred = texts - middle
    found = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return found - np.outer(middle, middle @ found) / max(middle @ middle, 1e-12)


def _scale(vectors: FloatArray, asked: sparse.csr_array, spread: float) -> float:
    """By what vectors are multiplied so that scores by taste have such a standard deviation."""
    tastes = (asked @ vectors) / np.sqrt(asked.sum(axis=1) + PRIOR_ITEMS)[:, None]
    return float(np.sqrt(spread / max((tastes @ vectors.T).std(), 1e-12)))


def train(
    network: Network, lesson: TrainingData, chosen: SequenceSettings
) -> Iterator[tuple[Network, float]]:
    """Step after step: the running mean of the weights, and the loss of the step. It never ends by itself.

    Nothing is learned, and it ends at once, where the history is shorter than a week.
    """
    random = np.random.default_rng(0)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(chosen.averaged))
    mean = average.module.eval()
    assert isinstance(mean, Network)
    vectors = [network.project.weight, network.own.weight]
    others = [one for one in network.parameters() if all(one is not held for held in vectors)]
    groups: list[dict[str, Any]] = [
        {"params": others},
        {"params": vectors, "lr": chosen.learning_rate * chosen.vectors_rate},
    ]
    optimizer = torch.optim.AdamW(groups, chosen.learning_rate, weight_decay=chosen.decay)
    pace = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / _WARM_UP, total_iters=_WARM_UP)
    weeks = lesson.weeks
    left: list[IntArray] = []
    while len(weeks):
        left = left or _batches(lesson.history, chosen.customers, random)
        block = _some_new(lesson.history.of(left.pop()), 7 * int(weeks[-1]) + reading.WINDOW_DAYS, random)
        moments = random.choice(weeks, min(chosen.moments, len(weeks)), replace=False)
        drawn = np.flatnonzero(random.random(len(lesson.shares)) < lesson.shares)
        optimizer.zero_grad()
        said = loss(network, lesson, block, moments, drawn)
        said.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        pace.step()
        average.update_parameters(network)
        yield mean, said.item()


def loss(
    network: Network, lesson: TrainingData, block: PurchaseHistory, weeks: IntArray, drawn: IntArray
) -> Tensor:
    """Mean −log softmax of what was wanted, each customer and moment with anything wanted counting the same.

    Args:
        network: what is to learn.
        lesson: from all customers.
        block: some of them.
        weeks: how long ago the moments were.
        drawn: rows of the items in the softmax beside those of the block.
    """
    read = reading.SequenceInputs.of(block, 7 * weeks)
    known, features, wanted = reading.pairs(block, read.places, 7 * weeks)
    items = np.union1d(block.items, drawn)
    places = np.full(block.width, -1)
    places[items] = np.arange(len(items))
    rows, wanted_row = np.unique(wanted[0] * len(weeks) + wanted[1], return_inverse=True)
    row_of = np.full(len(block) * len(weeks), -1)
    row_of[rows] = np.arange(len(rows))
    known_row = row_of[known[0] * len(weeks) + known[1]]
    asked = known_row >= 0

    def held(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(lesson.texts.device)

    vectors, bias = network.vectors(lesson.texts[held(items)], lesson.own[held(items)])
    states = network.states(held(places[block.items]), vectors, read).flatten(0, 1)[held(rows)]
    trend = held(lesson.market.features(weeks, items)) @ network.trend
    logits = torch.addmm(bias, states, vectors.T) + trend[held(rows % len(weeks))]
    if (lesson.shares[drawn] < 1).any():
        corrected = held(_corrections(lesson.shares, block, items, places, drawn))
        logits = logits + corrected[held(rows // len(weeks))]
    row, item = held(known_row[asked]), held(places[known[2][asked]])
    flat, at = logits.view(-1), row * len(items) + item
    said = flat[at].detach()
    copied = network.copied(states[row].detach(), vectors[item].detach(), held(features[asked]), said)
    flat.index_put_((at,), said + copied)
    counts = held(np.bincount(wanted_row, minlength=len(rows)))
    row = held(wanted_row)
    aimed = logits[row, held(places[wanted[2]])] / counts[row]
    return (logits.logsumexp(1).sum() - aimed.sum()) / max(1, len(rows))


def _batches(history: PurchaseHistory, size: int, random: np.random.Generator) -> list[IntArray]:
    """All customers in blocks of such with about as many lines, the blocks in no order."""
    order = np.argsort(np.diff(history.starts) * random.uniform(0.7, 1.4, len(history)))
    blocks = np.split(order, range(size, len(order), size))
    return [blocks[number] for number in random.permutation(len(blocks))]


def _some_new(block: PurchaseHistory, days: int, random: np.random.Generator) -> PurchaseHistory:
    """Some customers without what they bought before a random one of so many last days."""
    first = np.full(len(block), np.iinfo(np.int32).max)
    new = random.random(len(block)) < _NEWCOMERS
    first[new] = random.integers(7, 1 + days, new.sum())
    return reading.with_lines(block, block.ages < first[block.customers])


def _corrections(
    shares: FloatArray, block: PurchaseHistory, items: IntArray, places: IntArray, drawn: IntArray
) -> Float32Array:
    """Make the sum over the drawn that over all items, in expectation (Horvitz and Thompson, 1952).

    An item that was drawn stands for one over its share. What a customer buys is there for certain; what is
    there for others alone does not count for this one. Shape (customers, items).
    """
    log_weights = np.full(len(shares), -np.inf, np.float32)
    log_weights[drawn] = -np.log(shares[drawn])
    found = np.tile(log_weights[items], (len(block), 1))
    found[block.customers, places[block.items]] = 0
    return found
