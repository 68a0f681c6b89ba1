"""How the sequence model learns: from the purchases of the four weeks after past moments."""

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
from perennial.foundation.encoder import best_device
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.sequence import inputs
from perennial.recommend.sequence.network import PRIOR_ITEMS, Network
from perennial.recommend.sequence.popularity import ItemTrends
from perennial.recommend.settings import SequenceSettings

_WARM_UP = 50
"""Steps until the learning rate is reached."""

_NEWCOMERS = 0.4
"""This share of the customers in a step is treated as new: what they bought before a random day is dropped.
The day is not long before the moments of the step, so that little is known at many of them."""

_DRAWN_BY = 0.75
"""Items are drawn into the softmax in proportion to their lines to this power."""

_SHRUNK = 300.0
"""Added to the buyers of an item, by whose root its purchases are divided before directions are computed."""
_RIDGE = 500.0
_TEXT_RIDGE = 10.0
_FEW_BUYERS = 10.0
_OF_TEXTS = 0.25
"""This share of the numbers of a vector is for texts."""
_SPREAD, _SPREAD_OF_TEXTS = 0.5, 0.2
"""Standard deviation, over customers and items, of the first scores by taste: by purchases, by texts."""
_ASKED = 300


@dataclass(frozen=True)
class TrainingData:
    """What the model learns from, on the device where it learns.

    Args:
        history: the last orders of all customers.
        trends: what everybody bought, by week.
        texts: vector of each item's text, zeros where it has none, shape (items, width of a text).
        own: number of each item's own part, 0 for none, shape (items,).
        own_ids: the items of the parts 1, 2, …
        weeks: how long ago the moments are, in weeks.
        shares: probability that an item is drawn into the softmax, 0 for what nobody ever bought.
    """

    history: PurchaseHistory
    trends: ItemTrends
    texts: Tensor
    own: Tensor
    own_ids: StringArray
    weeks: IntArray
    shares: FloatArray

    @classmethod
    def of(cls, history: PurchaseHistory, catalogue: Catalogue, settings: SequenceSettings) -> Self:
        """From the purchases of all customers."""
        times = np.bincount(history.items, minlength=len(catalogue))
        frequent = np.flatnonzero(times >= settings.lines_for_own)
        own = np.zeros(len(catalogue), np.int64)
        own[frequent] = 1 + np.arange(len(frequent))
        weights = times**_DRAWN_BY
        shares = np.minimum(1, settings.drawn * weights / max(1, weights.sum()))
        if settings.drawn >= (times > 0).sum():
            shares = (times > 0).astype(float)
        texts = torch.from_numpy(catalogue.unit_text_vectors(np.arange(len(catalogue))))
        device, own_rows = best_device(), torch.from_numpy(own)
        trends = ItemTrends.of(history, catalogue)
        weeks = np.arange(1, 1 + min(settings.weeks, trends.weeks // 2))
        return cls(
            history,
            trends,
            texts.to(device),
            own_rows.to(device),
            catalogue.item_ids[frequent],
            weeks,
            shares,
        )

    def network(self, settings: SequenceSettings) -> Network:
        """A network that has learned nothing yet."""
        texts, own = self.texts.shape[1], len(self.own_ids)
        return Network(texts, own, settings.width, settings.layers, settings.heads, settings.dropout)


def initialise(network: Network, data: TrainingData) -> None:
    """Start with vectors that are alike for items of the same customers, and for items of like texts.

    Most numbers are leading directions of the purchases before the first moment: vectors that know what is
    to be predicted would look better than they are. The projection of the texts approximates them by ridge
    regression, the items' own parts hold the rest, shrunk for items with few buyers. The other numbers are
    leading directions of the texts themselves.
    """
    past = inputs.with_lines(data.history, data.history.ages >= 7 * data.weeks.max(initial=0))
    bought, width = past.bought, network.project.out_features
    buyers = np.bincount(bought.indices, minlength=bought.shape[1])
    rank = min(width - int(_OF_TEXTS * width), *(size - 1 for size in bought.shape))
    if rank < 1 or not buyers.any():
        return
    sample, texts = bought[:_ASKED], data.texts.double().cpu().numpy()
    shrunk = np.sqrt(buyers.mean() / (buyers + _SHRUNK)).astype(np.float32)
    _, strengths, item_directions = randomized_svd(
        bought @ sparse.diags_array(shrunk), rank, n_iter=4, random_state=0
    )
    vectors = item_directions.T * (strengths / np.sqrt(strengths**2 + _RIDGE)) * shrunk[:, None]
    vectors *= _scale(vectors, sample, _SPREAD)
    weighted = texts * buyers[:, None]
    projection = np.linalg.solve(
        weighted.T @ texts + _TEXT_RIDGE * np.eye(texts.shape[1]), weighted.T @ vectors
    )
    rest = (vectors - texts @ projection) * (buyers / (buyers + _FEW_BUYERS))[:, None]
    directions = _directions(texts[buyers > 0])[:, : width - rank]
    directions *= _scale(texts @ directions, sample, _SPREAD_OF_TEXTS)
    with torch.no_grad():
        network.project.weight[:rank] = torch.from_numpy(projection.T)
        network.project.weight[rank : rank + directions.shape[1]] = torch.from_numpy(directions.T)
        network.own.weight[1:, :rank] = torch.from_numpy(rest[data.own.cpu().numpy() > 0]).float()


def _directions(texts: FloatArray) -> FloatArray:
    """Directions of texts about their mean, the leading one first; the mean is orthogonal to all of them."""
    middle = texts.mean(axis=0)
    centred = texts - middle
    eigenvectors = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return eigenvectors - np.outer(middle, middle @ eigenvectors) / max(middle @ middle, 1e-12)


def _scale(vectors: FloatArray, sample: sparse.csr_array, spread: float) -> float:
    """The factor that gives scores by taste such a standard deviation."""
    tastes = (sample @ vectors) / np.sqrt(sample.sum(axis=1) + PRIOR_ITEMS)[:, None]
    return float(np.sqrt(spread / max((tastes @ vectors.T).std(), 1e-12)))


def train(
    network: Network, data: TrainingData, settings: SequenceSettings
) -> Iterator[tuple[Network, float]]:
    """Train step by step, without end: the running mean of the weights, and the loss of each step.

    It ends at once, without learning, if the history is shorter than a week.
    """
    random = np.random.default_rng(0)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.averaged))
    mean = average.module.eval()
    assert isinstance(mean, Network)
    vectors = [network.project.weight, network.own.weight]
    others = [
        parameter for parameter in network.parameters() if all(parameter is not vector for vector in vectors)
    ]
    groups: list[dict[str, Any]] = [
        {"params": others},
        {"params": vectors, "lr": settings.learning_rate * settings.vectors_rate},
    ]
    optimizer = torch.optim.AdamW(groups, settings.learning_rate, weight_decay=settings.decay)
    pace = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / _WARM_UP, total_iters=_WARM_UP)
    weeks = data.weeks
    batches_left: list[IntArray] = []
    while len(weeks):
        batches_left = batches_left or _batches(data.history, settings.customers, random)
        block = _with_newcomers(
            data.history.of(batches_left.pop()), 7 * int(weeks[-1]) + inputs.WINDOW_DAYS, random
        )
        moments = random.choice(weeks, min(settings.moments, len(weeks)), replace=False)
        drawn = np.flatnonzero(random.random(len(data.shares)) < data.shares)
        optimizer.zero_grad()
        step_loss = loss(network, data, block, moments, drawn)
        step_loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        pace.step()
        average.update_parameters(network)
        yield mean, step_loss.item()


def loss(
    network: Network, data: TrainingData, block: PurchaseHistory, weeks: IntArray, drawn: IntArray
) -> Tensor:
    """Mean −log softmax of the items bought in the windows.

    Each customer and moment with purchases counts the same.

    Args:
        network: to be trained.
        data: of all customers.
        block: some of them.
        weeks: how long ago the moments were.
        drawn: rows of the items in the softmax beside those of the block.
    """
    sequence_inputs = inputs.SequenceInputs.of(block, 7 * weeks)
    known, features, wanted = inputs.pairs(block, sequence_inputs.places, 7 * weeks)
    items = np.union1d(block.items, drawn)
    places = np.full(block.width, -1)
    places[items] = np.arange(len(items))
    rows, wanted_row = np.unique(wanted[0] * len(weeks) + wanted[1], return_inverse=True)
    row_of = np.full(len(block) * len(weeks), -1)
    row_of[rows] = np.arange(len(rows))
    known_row = row_of[known[0] * len(weeks) + known[1]]
    is_listed = known_row >= 0

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(data.texts.device)

    vectors, bias = network.vectors(data.texts[tensor(items)], data.own[tensor(items)])
    states = network.states(tensor(places[block.items]), vectors, sequence_inputs).flatten(0, 1)[tensor(rows)]
    trend = tensor(data.trends.features(weeks, items)) @ network.trend
    logits = torch.addmm(bias, states, vectors.T) + trend[tensor(rows % len(weeks))]
    if (data.shares[drawn] < 1).any():
        corrected = tensor(_corrections(data.shares, block, items, places, drawn))
        logits = logits + corrected[tensor(rows // len(weeks))]
    row, item = tensor(known_row[is_listed]), tensor(places[known[2][is_listed]])
    flat, cells = logits.view(-1), row * len(items) + item
    scores_ = flat[cells].detach()
    copied = network.copied(
        states[row].detach(), vectors[item].detach(), tensor(features[is_listed]), scores_
    )
    flat.index_put_((cells,), scores_ + copied)
    counts = tensor(np.bincount(wanted_row, minlength=len(rows)))
    row = tensor(wanted_row)
    target_logits = logits[row, tensor(places[wanted[2]])] / counts[row]
    return (logits.logsumexp(1).sum() - target_logits.sum()) / max(1, len(rows))


def _batches(history: PurchaseHistory, size: int, random: np.random.Generator) -> list[IntArray]:
    """All customers in blocks of similar numbers of lines, the blocks in random order."""
    order = np.argsort(np.diff(history.starts) * random.uniform(0.7, 1.4, len(history)))
    blocks = np.split(order, range(size, len(order), size))
    return [blocks[number] for number in random.permutation(len(blocks))]


def _with_newcomers(block: PurchaseHistory, days: int, random: np.random.Generator) -> PurchaseHistory:
    """The block, in which some customers lose what they bought before a random one of the last days."""
    first = np.full(len(block), np.iinfo(np.int32).max)
    is_newcomer = random.random(len(block)) < _NEWCOMERS
    first[is_newcomer] = random.integers(7, 1 + days, is_newcomer.sum())
    return inputs.with_lines(block, block.ages < first[block.customers])


def _corrections(
    shares: FloatArray, block: PurchaseHistory, items: IntArray, places: IntArray, drawn: IntArray
) -> Float32Array:
    """Log weights with which the sum over drawn items is, in expectation, the sum over all items.

    By Horvitz and Thompson (1952). A drawn item counts one over its share. A customer's own items are there
    for certain and count once; items that are there for other customers alone do not count. Shape
    (customers, items).
    """
    log_weights = np.full(len(shares), -np.inf, np.float32)
    log_weights[drawn] = -np.log(shares[drawn])
    corrections = np.tile(log_weights[items], (len(block), 1))
    corrections[block.customers, places[block.items]] = 0
    return corrections
