"""A small network over a customer's orders that predicts when the next one comes: a hazard model.

Each order is described by averages over the orders up to it, at several half-lives, of the gaps between
them, of their values and of their sizes. The network gives the hazard of the next order in each span of
days since the order. It learns from every order and from what followed it, also from the silence after the
last one (a discrete-time survival
model: Gensheimer and Narasimhan 2019). The probability of an order within any window follows from the
    hazards and the silence so far; a longer window never has a smaller probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from perennial.foundation.arrays import BoolArray, Float32Array, FloatArray, IntArray
from perennial.models import features
from perennial.models.features import ORDERS_SEEN
from perennial.models.settings import OrderHazardSettings

_HALF_LIVES = (1.0, 3.0, 8.0, 24.0, np.inf)
_GAPS = ("log_gap", "same_day", "short_gap", "squared_log_gap", "closeness")
_SERIES = (*_GAPS, "log_value", "log_quantity")
_LAST = ("log_gap", "log_value", "log_quantity")
NAMES: tuple[str, ...] = (
    *(f"{name}_{half_life:g}" for half_life in _HALF_LIVES for name in _SERIES),
    *(f"{name}_last" for name in _LAST),
    *("log_orders", "log_span"),
)
"""What the network reads of each customer, in the order of the columns."""

_DAYS = [*range(29), *range(30, 57, 2), *range(59, 92, 4), *range(98, 183, 7), *range(196, 365, 28)]
_EDGES = np.array([*_DAYS, 1_000_000])
"""A span holds the gaps from its edge to the next one; the last span is open."""

_LONGEST_SILENCE = 336
"""Longer silences count as so many days."""

_THREADS = 1
"""The network is small: two threads wait for one another, for minutes on a busy machine."""

_LEAST_WEIGHT = 0.5
"""Averages are shrunk toward the mean of all customers, which counts with this weight."""


@dataclass(frozen=True)
class OrderExamples:
    """What followed each order.

    Args:
        inputs: what was known of the customer at the order, shape (n, len(NAMES)).
        days: until the next order; where there is none, days of silence; shape (n,).
        followed: whether there was a next order, shape (n,).
    """

    inputs: Float32Array
    days: IntArray
    followed: BoolArray


@dataclass(frozen=True)
class OrderHazardNetwork:
    """A trained network. Get it with `fit`.

    Args:
        centre: everybody's mean of each series, shape (len(_SERIES),).
        mean, scale: of the inputs in training.
        weights: of the layers, by torch's names.
    """

    centre: FloatArray
    mean: Float32Array
    scale: Float32Array
    weights: dict[str, Float32Array]

    def inputs(self, rows: pa.Table) -> Float32Array:
        """What the network reads of each profile row, shape (n, len(NAMES))."""
        return _inputs(rows, self.centre, last_only=True)[:, -1]

    def probabilities(self, inputs: FloatArray, recency: FloatArray, windows: Sequence[int]) -> FloatArray:
        """P(order within so many days) for each customer and window, shape (n, len(windows)).

        Args:
            inputs: as `inputs` gives them.
            recency: days since the last order, shape (n,).
            windows: in days.
        """
        torch.set_num_threads(_THREADS)
        network = _network(len(self.mean), len(self.weights["0.bias"]), 0.0)
        network.load_state_dict({name: torch.from_numpy(weight) for name, weight in self.weights.items()})
        silence = torch.from_numpy(np.minimum(np.nan_to_num(recency), _LONGEST_SILENCE).astype(np.int64))
        with torch.inference_mode():
            scaled = torch.from_numpy(((inputs - self.mean) / self.scale).astype(np.float32))
            survived = _log_survival(network.eval()(scaled))
            until_now = _at(survived, silence)
            later = [1 - torch.exp(_at(survived, silence + days) - until_now) for days in windows]
            return torch.stack(later, 1).double().numpy()

    def save(self, path: Path) -> None:
        """Write it as one safetensors file."""
        save_file({"centre": self.centre, "mean": self.mean, "scale": self.scale, **self.weights}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        weights = load_file(path)
        return cls(weights.pop("centre"), weights.pop("mean"), weights.pop("scale"), weights)


def fit(rows: pa.Table, settings: OrderHazardSettings) -> OrderHazardNetwork:
    """Learn from the recent orders of customers: the same rows give the same network.

    Args:
        rows: profiles as of one day, `features.COLUMNS`, of customers with an order.
        settings: of the network and of training.
    """
    random = np.random.default_rng(0)
    if rows.num_rows > settings.customers:
        rows = rows.take(np.sort(random.choice(rows.num_rows, settings.customers, replace=False)))
    centre = _centre(rows)
    data = examples(rows, centre)
    mean, scale = data.inputs.mean(axis=0), data.inputs.std(axis=0) + np.float32(1e-6)
    weights = _train(data, (data.inputs - mean) / scale, settings)
    return OrderHazardNetwork(centre, mean, scale, weights)


def examples(rows: pa.Table, centre: FloatArray) -> OrderExamples:
    """Every order in the profiles, and what followed it."""
    values, gaps = (features.recent_orders(rows, name) for name in ("value", "gap_days"))
    orders = ~np.isnan(values)
    recency = rows["recency_days"].cast(pa.float64()).to_numpy()
    days = np.column_stack([gaps[:, 1:], recency])[orders]
    followed = np.ones(gaps.shape, bool)
    followed[:, -1] = False
    return OrderExamples(_inputs(rows, centre)[orders], days.astype(np.int64), followed[orders])


def _train(
    data: OrderExamples, scaled: Float32Array, settings: OrderHazardSettings
) -> dict[str, Float32Array]:
    """The weights of greatest likelihood."""
    torch.set_num_threads(_THREADS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network(scaled.shape[1], settings.hidden, settings.dropout)
        inputs, days, followed = map(torch.from_numpy, (scaled, data.days, data.followed))
        steps = min(settings.most_steps, settings.epochs * -(-len(inputs) // settings.batch))
        optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=0.01)
        pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps + 1)
        batches: list[Tensor] = []
        for _ in range(steps):
            batches = batches or list(torch.randperm(len(inputs)).split(settings.batch))
            batch = batches.pop()
            optimizer.zero_grad()
            _loss(network(inputs[batch]), days[batch], followed[batch]).backward()
            optimizer.step()
            pace.step()
    return {name: weight.numpy().copy() for name, weight in network.state_dict().items()}


def _network(inputs: int, hidden: int, dropout: float) -> nn.Sequential:
    """Inputs to the log odds of the hazard in each span."""
    return nn.Sequential(
        *(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout)),
        *(nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout)),
        nn.Linear(hidden, len(_EDGES) - 1),
    )


def _loss(odds: Tensor, days: Tensor, followed: Tensor) -> Tensor:
    """Mean −log likelihood: the hazard if an order followed, else survival of the silence."""
    survived = _log_survival(odds)
    span = _span(days)[:, None]
    before = torch.cat([torch.zeros(len(odds), 1), survived], 1).gather(1, span)[:, 0]
    log_order = before + logsigmoid(odds).gather(1, span)[:, 0]
    return -torch.where(followed, log_order, _at(survived, days)).mean()


def _log_survival(odds: Tensor) -> Tensor:
    """Logarithm of P(no order until the end of each span), shape (n, spans)."""
    return logsigmoid(-odds).cumsum(1)


def _at(survived: Tensor, days: Tensor) -> Tensor:
    """Logarithm of P(no order within so many days), shape (n,); the days of a span share its hazard."""
    span = _span(days)
    edges = torch.from_numpy(_EDGES)
    share = (days + 1 - edges[span]) / (edges[span + 1] - edges[span])
    known = torch.cat([torch.zeros(len(survived), 1), survived], 1)
    before, after = (known.gather(1, (span + add)[:, None])[:, 0] for add in (0, 1))
    return before + share * (after - before)


def _span(days: Tensor) -> Tensor:
    return torch.bucketize(days, torch.from_numpy(_EDGES[1:-1]), right=True)


def _inputs(rows: pa.Table, centre: FloatArray, *, last_only: bool = False) -> Float32Array:
    """The columns `NAMES` at each recent order, shape (n, ORDERS_SEEN, len(NAMES)); or at the last alone."""
    series, known = _series(rows)
    ages = np.arange(ORDERS_SEEN)[:, None] - np.arange(ORDERS_SEEN)[None, :]
    ages = ages[-1:] if last_only else ages
    decays = [np.where(ages >= 0, 0.5 ** (np.maximum(ages, 0) / half_life), 0.0) for half_life in _HALF_LIVES]
    shifted = {name: np.where(known[name], series[name] - centre[i], 0.0) for i, name in enumerate(_SERIES)}
    columns = [
        (shifted[name] @ weights.T) / (known[name] @ weights.T + _LEAST_WEIGHT)
        for weights in decays
        for name in _SERIES
    ]
    places = slice(-1, None) if last_only else slice(None)
    columns += [shifted[name][:, places] for name in _LAST]
    orders = known["log_value"].cumsum(axis=1)[:, places]
    gaps = np.where(known["log_gap"], np.expm1(series["log_gap"]), 0.0)
    columns += [np.log1p(orders), np.log1p(gaps.cumsum(axis=1)[:, places])]
    return np.stack(columns, axis=-1).astype(np.float32)


def _series(rows: pa.Table) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
    """Each series of the recent orders and where it is known, all of shape (n, ORDERS_SEEN)."""
    values, gaps, pieces = (features.recent_orders(rows, name) for name in ("value", "gap_days", "quantity"))
    log_gap = np.log1p(gaps)
    series = {
        "log_gap": log_gap,
        "same_day": (gaps == 0).astype(float),
        "short_gap": np.minimum(gaps, 60),
        "squared_log_gap": log_gap**2,
        "closeness": 1 / (1 + gaps),
        "log_value": np.log1p(np.maximum(values, 0)),
        "log_quantity": np.log1p(np.maximum(pieces, 0)),
    }
    with_gap, with_order = ~np.isnan(gaps), ~np.isnan(values)
    return series, {name: with_gap if name in _GAPS else with_order for name in _SERIES}


def _centre(rows: pa.Table) -> FloatArray:
    series, known = _series(rows)
    sums = [(np.where(known[name], series[name], 0).sum(), known[name].sum()) for name in _SERIES]
    return np.array([total / max(count, 1) for total, count in sums])
