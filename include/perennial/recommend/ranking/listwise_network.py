"""A small network that compares a customer's candidates, and a logistic regression for probabilities.

For each customer the network distributes one unit over the candidates (a softmax) and learns to put it on
the items bought, as ListNet does (Cao et al., 2007): what all candidates of a customer have in common
cannot mislead it. How many items a customer buys at all comes from a logistic regression over the log of
that share and features of the customer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from perennial.foundation.arrays import BoolArray, Float32Array, FloatArray, IntArray, RealArray
from perennial.recommend.arrays.lookup import sample_rows
from perennial.recommend.settings import ListwiseSettings

_WIDEST = 4.0
"""Features are clipped at so many standard deviations."""
_LEAST_SPREAD = 1e-6
_HARDLY_EVER = -9.0
"""Log odds where no candidate was ever bought."""
_THREADS = 1
"""The products are small: a second thread would mostly wait, for seconds on a busy machine."""
_ROWS = 8192
_LEVEL_CASES = 100_000
"""Enough for the dozen numbers of the level."""


@dataclass(frozen=True)
class CandidateLists:
    """Candidates of customers with labels; for training, only a share of those not bought.

    Args:
        features: shape (n, columns), by customer.
        starts: where each customer's candidates begin, shape (customers,).
        labels: were they bought in the window, shape (n,).
        customers: features of each customer, shape (customers, columns).
    """

    features: Float32Array
    starts: IntArray
    labels: BoolArray
    customers: Float32Array

    @property
    def lengths(self) -> IntArray:
        """How many candidates each customer has."""
        return np.diff(np.r_[self.starts, len(self.features)])


@dataclass(frozen=True)
class ListwiseNetwork:
    """Networks whose answers are averaged, and the logistic regression on top.

    Args:
        middle: mean of each feature.
        spread: standard deviation of each feature.
        networks: perceptrons, each beside a linear part.
        level: coefficients of the logistic regression: constant, log share, then the features of the
            customer.
        hidden: units of each hidden layer.
    """

    middle: Float32Array
    spread: Float32Array
    networks: tuple[torch.nn.Module, ...]
    level: FloatArray
    hidden: tuple[int, ...]

    @classmethod
    def fit(cls, lists: Sequence[CandidateLists], settings: ListwiseSettings, negatives: float = 1.0) -> Self:
        """Learn from past windows; the same lists give the same network.

        Args:
            lists: candidates with labels.
            settings: of the networks.
            negatives: the share of candidates not bought that the lists hold.
        """
        rows = np.ascontiguousarray(np.concatenate([block.features for block in lists]))
        middle, spread = rows.mean(axis=0), _spread(rows)
        whole = _joined(lists, _standardised(rows, middle, spread, out=rows))
        if not whole.labels.any():
            level = np.r_[_HARDLY_EVER, np.zeros(1 + whole.customers.shape[1])]
            return cls(middle, spread, (), level, tuple(settings.hidden))
        torch.set_num_threads(_THREADS)
        networks = tuple(_learn(whole, settings, negatives, seed) for seed in range(settings.networks))
        network_alone = cls(
            np.zeros_like(middle), np.ones_like(spread), networks, np.zeros(0), tuple(settings.hidden)
        )
        # A drawn part stands for the whole list, in which the shares are smaller.
        share = network_alone._share(
            whole.features, whole.starts, np.where(whole.labels, 0, -np.log(negatives))
        )
        sampled = sample_rows(len(share), _LEVEL_CASES)
        list_of = np.repeat(np.arange(len(whole.starts)), whole.lengths)[sampled]
        regressors = np.column_stack([share[sampled], whole.customers[list_of]])
        scales = _spread(regressors)
        labels = whole.labels[sampled]
        fitted = LogisticRegression(max_iter=300).fit(
            regressors / scales, labels, np.where(labels, 1, 1 / negatives)
        )
        level = np.r_[fitted.intercept_, fitted.coef_[0] / scales]
        return cls(middle, spread, networks, level, tuple(settings.hidden))

    def log_odds(self, features: Float32Array, starts: IntArray, customers: Float32Array) -> FloatArray:
        """Log odds that each candidate is bought within the window, shapes as in `CandidateLists`."""
        share = self._share(features, starts)
        lengths = np.diff(starts, append=len(features))
        return np.repeat(self.level[0] + customers @ self.level[2:], lengths) + self.level[1] * share

    def _share(self, features: Float32Array, starts: IntArray, extra: FloatArray | float = 0) -> FloatArray:
        """The log of each candidate's share in its customer's list, shape (n,).

        Args:
            features: of the candidates.
            starts: where each list begins.
            extra: log of how many candidates each one stands for in the whole list.
        """
        values = self._values(features)
        lengths = np.diff(starts, append=len(values))
        most = np.repeat(np.maximum.reduceat(values, starts), lengths)
        total = np.repeat(np.add.reduceat(np.exp(values + extra - most), starts), lengths)
        return values - most - np.log(total)

    def _values(self, features: Float32Array) -> FloatArray:
        """The mean value of the networks, in blocks of rows that stay in the cache."""
        values = np.zeros(len(features))
        torch.set_num_threads(_THREADS)
        with torch.inference_mode():
            for start in range(0, len(features) if self.networks else 0, _ROWS):
                rows = slice(start, start + _ROWS)
                scaled = torch.from_numpy(
                    _standardised(features[rows].T, self.middle[:, None], self.spread[:, None])
                )
                for network in self.networks:
                    values[rows] += network(scaled).numpy() / len(self.networks)
        return values

    def save(self, path: Path) -> None:
        """Write it as one file, without pickle."""
        arrays = {"middle": self.middle, "spread": self.spread, "level": self.level}
        arrays["hidden"] = np.array(self.hidden)
        for number, network in enumerate(self.networks):
            state = network.state_dict()
            arrays |= {f"{number}/{name}": np.asarray(weights) for name, weights in state.items()}
        np.savez(path, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            hidden = tuple(int(units) for units in arrays["hidden"])
            states: dict[str, dict[str, torch.Tensor]] = {}
            for name in arrays.files:
                number, _, part = name.partition("/")
                if part:
                    states.setdefault(number, {})[part] = torch.from_numpy(arrays[name])
            networks = [_Network(len(arrays["middle"]), hidden, 0.0).eval() for _ in states]
            for network, state in zip(networks, states.values(), strict=True):
                network.load_state_dict(state)
            return cls(arrays["middle"], arrays["spread"], tuple(networks), arrays["level"], hidden)


class _Network(torch.nn.Module):
    """A perceptron beside a linear part that starts at zero."""

    def __init__(self, columns: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for before, after in zip([columns, *hidden], hidden, strict=False):
            layers += [torch.nn.Linear(before, after), torch.nn.GELU(), torch.nn.Dropout(dropout)]
        self.deep = torch.nn.Sequential(*layers, torch.nn.Linear(hidden[-1], 1))
        self.plain = torch.nn.Linear(columns, 1)
        torch.nn.init.zeros_(self.plain.weight)

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """From shape (columns, n) to (n,): products of columns are faster than of rows."""
        values = columns
        for layer in self.deep:
            values = _linear(layer, values) if isinstance(layer, torch.nn.Linear) else layer(values)
        return (values + _linear(self.plain, columns))[0]


def _linear(layer: torch.nn.Linear, columns: torch.Tensor) -> torch.Tensor:
    return torch.addmm(layer.bias[:, None], layer.weight, columns)


def _spread(rows: RealArray) -> RealArray:
    """The standard deviation of each column.

    Infinite where it never varied: such a column counts nothing, whatever its values are later.
    """
    deviations = rows.std(axis=0)
    deviations[deviations < _LEAST_SPREAD] = np.inf
    return deviations


def _standardised(
    rows: Float32Array, middle: Float32Array, spread: Float32Array, out: Float32Array | None = None
) -> Float32Array:
    """Rows less the mean, in units of the standard deviation, clipped; in place if `out` are the rows."""
    scaled = np.subtract(rows, middle, out=out)
    scaled /= spread
    return np.clip(scaled, -_WIDEST, _WIDEST, out=scaled)


def _joined(lists: Sequence[CandidateLists], scaled: Float32Array) -> CandidateLists:
    """All lists as one."""
    before = np.cumsum([0, *(len(block.features) for block in lists[:-1])])
    starts = np.concatenate([block.starts + offset for block, offset in zip(lists, before, strict=True)])
    labels = np.concatenate([block.labels for block in lists])
    return CandidateLists(scaled, starts, labels, np.concatenate([block.customers for block in lists]))


def _learn(lists: CandidateLists, settings: ListwiseSettings, negatives: float, seed: int) -> _Network:
    """Train one network on the lists in which something was bought."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = _Network(lists.features.shape[1], settings.hidden, settings.dropout).train()
    ends = lists.starts + lists.lengths
    with_purchase = np.flatnonzero(np.add.reduceat(lists.labels, lists.starts) > 0)
    batches = -(-len(with_purchase) // settings.batch)
    epochs = max(settings.epochs, -(-settings.least_steps // batches))
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.decay)
    pace = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, batches * epochs, pct_start=0.15
    )
    for _ in range(epochs):
        order = random.permutation(with_purchase)
        for batch in np.array_split(order, batches):
            rows = np.concatenate([np.arange(lists.starts[list_], ends[list_]) for list_ in batch])
            place = np.searchsorted(np.sort(lists.starts[batch]), rows, side="right") - 1
            loss = _loss(network, lists, rows, place, len(batch), negatives)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            pace.step()
    return network.eval()


def _loss(
    network: _Network,
    lists: CandidateLists,
    rows: IntArray,
    place: IntArray,
    customers: int,
    negatives: float,
) -> torch.Tensor:
    """Cross-entropy of each list; a list of n purchases counts √n, and drawn negatives stand for all."""
    bought = torch.from_numpy(lists.labels[rows].astype(np.float32))
    list_of_row = torch.from_numpy(place)
    values = network(torch.from_numpy(lists.features[rows].T))
    level = values - (1 - bought) * float(np.log(negatives))
    most = torch.full((customers,), -torch.inf).scatter_reduce(0, list_of_row, level.detach(), "amax")
    total = torch.zeros(customers).index_add(0, list_of_row, torch.exp(level - most[list_of_row]))
    purchases = torch.zeros(customers).index_add(0, list_of_row, bought)
    extra = (torch.log(total) + most)[list_of_row] - values
    return (extra * bought / torch.sqrt(purchases)[list_of_row]).sum() / customers
