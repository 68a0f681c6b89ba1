"""Which of many things a customer buys: a small network that compares candidates.

For each customer it spreads one probability over the candidates (a softmax) and learns to put it where the
purchases were, as ListNet does (Cao et al., 2007): what all candidates of a customer have in common cannot
mislead it. How many things a customer buys at all is said by a logistic regression on top, with the log
of that share and what is known of the customer, so that the answer is a probability.
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
"""Standard deviations: what lies farther out is drawn in."""
_LEAST_SPREAD = 1e-6
_HARDLY_EVER = -9.0
"""Log odds of what was never seen to happen."""
_THREADS = 1
"""The products are small: a second thread would mostly wait, for seconds on a busy machine."""
_ROWS = 8192
_LEVEL_CASES = 100_000
"""Enough for the dozen numbers of the level."""


@dataclass(frozen=True)
class CandidateLists:
    """Candidates of customers with what became of them; to learn from, a share of what nobody bought.

    Args:
        features: shape (n, columns), by customer.
        starts: where each customer's candidates begin, shape (customers,).
        labels: were they bought in the window, shape (n,).
        customers: of each customer, what tells how many new things they buy, shape (customers, columns).
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
    """Networks of one hidden layer or two beside a linear part, their answers averaged; and the level.

    Args:
        middle: of each column.
        spread: its standard deviation.
        networks: weights of each.
        level: logistic regression: constant, log share, then the customers' columns.
    """

    middle: Float32Array
    spread: Float32Array
    networks: tuple[torch.nn.Module, ...]
    level: FloatArray
    hidden: tuple[int, ...]

    @classmethod
    def fit(cls, lists: Sequence[CandidateLists], chosen: ListwiseSettings, negatives: float = 1.0) -> Self:
        """Learn from past windows; the same lists give the same network.

        Args:
            lists: candidates with what became of them.
            chosen: how.
            negatives: the share of what nobody bought that the lists hold.
        """
        rows = np.ascontiguousarray(np.concatenate([one.features for one in lists]))
        middle, spread = rows.mean(axis=0), _spread(rows)
        whole = _joined(lists, _evened(rows, middle, spread, out=rows))
        if not whole.labels.any():
            level = np.r_[_HARDLY_EVER, np.zeros(1 + whole.customers.shape[1])]
            return cls(middle, spread, (), level, tuple(chosen.hidden))
        torch.set_num_threads(_THREADS)
        networks = tuple(_learn(whole, chosen, negatives, seed) for seed in range(chosen.networks))
        found = cls(np.zeros_like(middle), np.ones_like(spread), networks, np.zeros(0), tuple(chosen.hidden))
        # What was drawn of a list stands for all of it: in a whole list the shares are smaller.
        share = found._share(whole.features, whole.starts, np.where(whole.labels, 0, -np.log(negatives)))
        some = sample_rows(len(share), _LEVEL_CASES)
        list_of = np.repeat(np.arange(len(whole.starts)), whole.lengths)[some]
        told = np.column_stack([share[some], whole.customers[list_of]])
        wide = _spread(told)
        labels = whole.labels[some]
        fitted = LogisticRegression(max_iter=300).fit(told / wide, labels, np.where(labels, 1, 1 / negatives))
        level = np.r_[fitted.intercept_, fitted.coef_[0] / wide]
        return cls(middle, spread, networks, level, tuple(chosen.hidden))

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
        """What the networks say on average, some rows at a time, so that they stay close to the processor."""
        found = np.zeros(len(features))
        torch.set_num_threads(_THREADS)
        with torch.inference_mode():
            for start in range(0, len(features) if self.networks else 0, _ROWS):
                some = slice(start, start + _ROWS)
                even = torch.from_numpy(_evened(features[some].T, self.middle[:, None], self.spread[:, None]))
                for network in self.networks:
                    found[some] += network(even).numpy() / len(self.networks)
        return found

    def save(self, path: Path) -> None:
        """Write it as one file, without pickle."""
        held = {"middle": self.middle, "spread": self.spread, "level": self.level}
        held["hidden"] = np.array(self.hidden)
        for number, network in enumerate(self.networks):
            state = network.state_dict()
            held |= {f"{number}/{name}": np.asarray(one) for name, one in state.items()}
        np.savez(path, **held)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as held:
            hidden = tuple(int(one) for one in held["hidden"])
            states: dict[str, dict[str, torch.Tensor]] = {}
            for name in held.files:
                number, _, part = name.partition("/")
                if part:
                    states.setdefault(number, {})[part] = torch.from_numpy(held[name])
            networks = [_Network(len(held["middle"]), hidden, 0.0).eval() for _ in states]
            for network, state in zip(networks, states.values(), strict=True):
                network.load_state_dict(state)
            return cls(held["middle"], held["spread"], tuple(networks), held["level"], hidden)


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
        """(columns, n) to (n,); features come column by column, and so are they multiplied quickest."""
        found = columns
        for one in self.deep:
            found = _linear(one, found) if isinstance(one, torch.nn.Linear) else one(found)
        return (found + _linear(self.plain, columns))[0]


def _linear(layer: torch.nn.Linear, columns: torch.Tensor) -> torch.Tensor:
    return torch.addmm(layer.bias[:, None], layer.weight, columns)


def _spread(rows: RealArray) -> RealArray:
    """The standard deviation of each column.

    Infinite where it never varied: nothing can be learned of that, so it counts for nothing, whatever comes.
    """
    found = rows.std(axis=0)
    found[found < _LEAST_SPREAD] = np.inf
    return found


def _evened(
    rows: Float32Array, middle: Float32Array, spread: Float32Array, out: Float32Array | None = None
) -> Float32Array:
    """Rows about their middle in units of their spread, drawn in; in place if `out` are the rows."""
    found = np.subtract(rows, middle, out=out)
    found /= spread
    return np.clip(found, -_WIDEST, _WIDEST, out=found)


def _joined(lists: Sequence[CandidateLists], even: Float32Array) -> CandidateLists:
    """All lists as one."""
    before = np.cumsum([0, *(len(one.features) for one in lists[:-1])])
    starts = np.concatenate([one.starts + at for one, at in zip(lists, before, strict=True)])
    labels = np.concatenate([one.labels for one in lists])
    return CandidateLists(even, starts, labels, np.concatenate([one.customers for one in lists]))


def _learn(lists: CandidateLists, chosen: ListwiseSettings, negatives: float, seed: int) -> _Network:
    """One network, by the lists in which something was bought."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = _Network(lists.features.shape[1], chosen.hidden, chosen.dropout).train()
    ends = lists.starts + lists.lengths
    told = np.flatnonzero(np.add.reduceat(lists.labels, lists.starts) > 0)
    batches = -(-len(told) // chosen.batch)
    epochs = max(chosen.epochs, -(-chosen.least_steps // batches))
    optimiser = torch.optim.AdamW(network.parameters(), chosen.learning_rate, weight_decay=chosen.decay)
    pace = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, chosen.learning_rate, batches * epochs, pct_start=0.15
    )
    for _ in range(epochs):
        order = random.permutation(told)
        for batch in np.array_split(order, batches):
            rows = np.concatenate([np.arange(lists.starts[one], ends[one]) for one in batch])
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
    """Cross-entropy of each list; one with n purchases counts √n, and drawn negatives stand for all."""
    bought = torch.from_numpy(lists.labels[rows].astype(np.float32))
    at = torch.from_numpy(place)
    said = network(torch.from_numpy(lists.features[rows].T))
    level = said - (1 - bought) * float(np.log(negatives))
    most = torch.full((customers,), -torch.inf).scatter_reduce(0, at, level.detach(), "amax")
    total = torch.zeros(customers).index_add(0, at, torch.exp(level - most[at]))
    purchases = torch.zeros(customers).index_add(0, at, bought)
    extra = (torch.log(total) + most)[at] - said
    return (extra * bought / torch.sqrt(purchases)[at]).sum() / customers
