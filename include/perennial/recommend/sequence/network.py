"""The network of the sequence model; `sequence.model` says what it is for."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from perennial.recommend.sequence import popularity
from perennial.recommend.sequence.inputs import FEATURES, SPANS, SequenceInputs

_COPY_WIDTH = 32
_IN_COPY = 8
_LOG_HALF_LIVES = 0.6, 2.3
"""Heads start with half-lives from 4 to 200 days."""

_NEVER = -1e9
"""Days."""

PRIOR_ITEMS = 10
"""Tastes of few items are shrunk toward zero, as if so many items of no taste had been bought too."""


class Network(nn.Module):
    """Scores of items for customers at moments.

    Args:
        texts: width of the vectors of texts.
        own: how many items have a part of their own.
        width: of an item's vector and of the state.
        layers: of the transformer.
        heads: of a layer.
        dropout: while it learns.
    """

    def __init__(self, texts: int, own: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(texts, width, bias=False)
        self.own = nn.Embedding(own + 1, width + 1, padding_idx=0)
        self.trend = nn.Parameter(0.2 * (torch.arange(len(popularity.FEATURES)) < len(popularity.WEEKS)))
        self.gain = nn.Parameter(torch.ones(width))
        self.start = nn.Parameter(torch.zeros(width))
        self.gap, self.silence = nn.Embedding(SPANS, width), nn.Embedding(SPANS, width)
        self.entry = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        leave, judge = nn.Linear(width, width), nn.Linear(_COPY_WIDTH, 1)
        self.exit = nn.Sequential(nn.LayerNorm(width), leave)
        self.drop = nn.Dropout(dropout)
        self.item_in_copy, self.state_in_copy = nn.Linear(width, _IN_COPY), nn.Linear(width, _IN_COPY)
        self.plain = nn.Linear(len(FEATURES) + 1, 1)
        self.copy = nn.Sequential(nn.Linear(len(FEATURES) + 1 + 2 * _IN_COPY, _COPY_WIDTH), nn.GELU(), judge)
        for part in (self.own, self.plain, leave, judge):
            nn.init.zeros_(part.weight)
        for table in (self.gap, self.silence):
            nn.init.normal_(table.weight, std=0.1)
        # It starts as the usual rule: items bought more often and more recently come first.
        with torch.no_grad():
            self.plain.bias.fill_(9.0)
            self.plain.weight[0, -2] = 1.0
            self.plain.weight[0, -1] = -0.7

    def vectors(self, texts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Vector and bias of items, from the vectors of their texts and the rows of their own parts."""
        part = self.own(own)
        return self.project(texts) + part[:, :-1], part[:, -1]

    def states(self, items: Tensor, vectors: Tensor, inputs: SequenceInputs) -> Tensor:
        """The state of each customer at each moment, shape (customers, moments, width).

        Args:
            items: row in `vectors` of each line of the block.
            vectors: of items.
            inputs: of the block.
        """
        at, ages, gaps, places, silences, new, bags = (
            torch.from_numpy(array).to(vectors.device)
            for array in (
                inputs.at,
                inputs.ages,
                inputs.gaps,
                inputs.places,
                inputs.silences,
                inputs.new,
                inputs.bags,
            )
        )
        vectors_and_one = torch.cat([vectors, torch.ones_like(vectors[:, :1])], 1)
        weights = self.drop(new.to(vectors.dtype))
        orders = functional.embedding_bag(
            items, vectors_and_one, bags, mode="sum", per_sample_weights=weights
        )
        keep = self.drop(torch.ones_like(weights))
        order_vectors = functional.embedding_bag(items, vectors, bags, mode="sum", per_sample_weights=keep)
        order_vectors = self.entry(order_vectors)
        entries = vectors.new_zeros((*ages.shape, vectors.shape[1])).index_put((at[0], at[1]), order_vectors)
        entries = torch.cat([self.start.expand(len(entries), 1, -1), entries[:, 1:]], 1) + self.gap(gaps)
        entries = self.drop(entries)
        all_places = torch.arange(ages.shape[1], device=ages.device).expand_as(ages)
        for place, layer in zip((all_places,) * (len(self.layers) - 1) + (places,), self.layers, strict=True):
            entries = layer(_at(entries, place), entries, _days(ages, place))
        sums = (
            vectors.new_zeros((*ages.shape, vectors_and_one.shape[1]))
            .index_put((at[0], at[1]), orders)
            .cumsum(1)
        )
        sums = _at(sums, places)
        taste = sums[..., :-1] / (sums[..., -1:] + PRIOR_ITEMS).sqrt()
        return taste * self.gain + self.drop(self.exit(entries + self.silence(silences)))

    def copied(self, states: Tensor, vectors: Tensor, features: Tensor, scores: Tensor) -> Tensor:
        """What is added for items that were bought before, shape (n,).

        Args:
            states: shape (n, width).
            vectors: of the items, shape (n, width).
            features: shape (n, len(FEATURES)).
            scores: without it, shape (n,).
        """
        features = torch.cat([features, scores[:, None]], 1)
        about = torch.cat([features, self.item_in_copy(vectors), self.state_in_copy(states)], 1)
        return (self.plain(features) + self.copy(about))[:, 0]


class _Layer(nn.Module):
    """Attention that decays with the days between orders, at a rate that each head learns; a perceptron."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(dropout)
        )
        self.drop = nn.Dropout(dropout)
        half_lives = torch.logspace(*_LOG_HALF_LIVES, heads)
        self.log_pace = nn.Parameter((math.log(2) / half_lives).log())

    def forward(self, queries: Tensor, entries: Tensor, days: Tensor) -> Tensor:
        """The new states at the places of the queries, shape (customers, queries, width).

        Args:
            queries: states at these places, shape (customers, queries, width).
            entries: states at all places, shape (customers, places, width).
            days: from each query to all places, ≤ 0, shape (customers, queries, places).
        """
        width = entries.shape[2]
        query_weight, rest_weight = self.ask.weight.split([width, 2 * width])
        query_bias, rest_bias = self.ask.bias.split([width, 2 * width])
        query = self._split(functional.linear(self.before(queries), query_weight, query_bias))
        key, value = map(
            self._split, functional.linear(self.before(entries), rest_weight, rest_bias).chunk(2, 2)
        )
        fading = self.log_pace.exp()[:, None, None] * days[:, None]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=fading)
        queries = queries + self.drop(self.answer(mixed.transpose(1, 2).flatten(2)))
        return queries + self.think(self.between(queries))

    def _split(self, heads_and_width: Tensor) -> Tensor:
        return heads_and_width.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _days(ages: Tensor, places: Tensor) -> Tensor:
    """Days from places to all places, ≤ 0; places that come later count as never."""
    days = (ages.gather(1, places)[:, :, None] - ages[:, None, :]).float()
    return days.masked_fill(torch.arange(ages.shape[1], device=ages.device) > places[:, :, None], _NEVER)


def _at(entries: Tensor, places: Tensor) -> Tensor:
    """The entries at the places, shape (customers, moments, …)."""
    return entries.gather(1, places[:, :, None].expand(-1, -1, entries.shape[2]))
