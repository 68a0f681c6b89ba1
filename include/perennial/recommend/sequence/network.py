"""The network of the sequence model; `sequence` says what it is for."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from perennial.recommend.sequence import popularity as market
from perennial.recommend.sequence.inputs import FACTS, SPANS, SequenceInputs

_COPY_WIDTH = 32
_IN_COPY = 8
_LOG_HALF_LIVES = 0.6, 2.3
"""Heads start with half-lives from 4 to 200 days."""

_NEVER = -1e9
"""Days."""

PRIOR_ITEMS = 10
"""A taste made of few items is drawn to nothing, as if the customer had bought so many more without any."""


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
        self.trend = nn.Parameter(0.2 * (torch.arange(len(market.FACTS)) < len(market.WEEKS)))
        self.gain = nn.Parameter(torch.ones(width))
        self.start = nn.Parameter(torch.zeros(width))
        self.gap, self.silence = nn.Embedding(SPANS, width), nn.Embedding(SPANS, width)
        self.entry = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        leave, judge = nn.Linear(width, width), nn.Linear(_COPY_WIDTH, 1)
        self.exit = nn.Sequential(nn.LayerNorm(width), leave)
        self.drop = nn.Dropout(dropout)
        self.item_in_copy, self.state_in_copy = nn.Linear(width, _IN_COPY), nn.Linear(width, _IN_COPY)
        self.plain = nn.Linear(len(FACTS) + 1, 1)
        self.copy = nn.Sequential(nn.Linear(len(FACTS) + 1 + 2 * _IN_COPY, _COPY_WIDTH), nn.GELU(), judge)
        for part in (self.own, self.plain, leave, judge):
            nn.init.zeros_(part.weight)
        for table in (self.gap, self.silence):
            nn.init.normal_(table.weight, std=0.1)
        # It starts as the usual rule: what was bought more often and more lately comes first.
        with torch.no_grad():
            self.plain.bias.fill_(9.0)
            self.plain.weight[0, -2] = 1.0
            self.plain.weight[0, -1] = -0.7

    def vectors(self, texts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Vector and bias of items, from the vectors of their texts and the rows of their own parts."""
        part = self.own(own)
        return self.project(texts) + part[:, :-1], part[:, -1]

    def states(self, items: Tensor, vectors: Tensor, read: SequenceInputs) -> Tensor:
        """The state of each customer at each moment, shape (customers, moments, width).

        Args:
            items: row in `vectors` of each line of the block.
            vectors: of items.
            read: the block.
        """
        at, ages, gaps, places, silences, new, bags = (
            torch.from_numpy(held).to(vectors.device)
            for held in (read.at, read.ages, read.gaps, read.places, read.silences, read.new, read.bags)
        )
        once = torch.cat([vectors, torch.ones_like(vectors[:, :1])], 1)
        weights = self.drop(new.to(vectors.dtype))
        orders = functional.embedding_bag(items, once, bags, mode="sum", per_sample_weights=weights)
        kept = self.drop(torch.ones_like(weights))
        whole = functional.embedding_bag(items, vectors, bags, mode="sum", per_sample_weights=kept)
        whole = self.entry(whole)
        found = vectors.new_zeros((*ages.shape, vectors.shape[1])).index_put((at[0], at[1]), whole)
        found = torch.cat([self.start.expand(len(found), 1, -1), found[:, 1:]], 1) + self.gap(gaps)
        found = self.drop(found)
        everywhere = torch.arange(ages.shape[1], device=ages.device).expand_as(ages)
        for place, layer in zip((everywhere,) * (len(self.layers) - 1) + (places,), self.layers, strict=True):
            found = layer(_at(found, place), found, _days(ages, place))
        sums = vectors.new_zeros((*ages.shape, once.shape[1])).index_put((at[0], at[1]), orders).cumsum(1)
        sums = _at(sums, places)
        taste = sums[..., :-1] / (sums[..., -1:] + PRIOR_ITEMS).sqrt()
        return taste * self.gain + self.drop(self.exit(found + self.silence(silences)))

    def copied(self, states: Tensor, vectors: Tensor, features: Tensor, scores: Tensor) -> Tensor:
        """What is added for items that were bought before, shape (n,).

        Args:
            states: shape (n, width).
            vectors: of the items, shape (n, width).
            features: shape (n, len(FACTS)).
            scores: without it, shape (n,).
        """
        features = torch.cat([features, scores[:, None]], 1)
        about = torch.cat([features, self.item_in_copy(vectors), self.state_in_copy(states)], 1)
        return (self.plain(features) + self.copy(about))[:, 0]


class _Layer(nn.Module):
    """Attention that fades with the days between orders, at a pace that each head learns; a perceptron."""

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

    def forward(self, asking: Tensor, found: Tensor, days: Tensor) -> Tensor:
        """What is known at the places that ask, shape (customers, asking, width).

        Args:
            asking: what stands at these places, shape (customers, asking, width).
            found: what stands at all places, shape (customers, places, width).
            days: from each place that asks to all places, ≤ 0, shape (customers, asking, places).
        """
        width = found.shape[2]
        ask, look = self.ask.weight.split([width, 2 * width])
        asked, looked = self.ask.bias.split([width, 2 * width])
        query = self._split(functional.linear(self.before(asking), ask, asked))
        key, value = map(self._split, functional.linear(self.before(found), look, looked).chunk(2, 2))
        fading = self.log_pace.exp()[:, None, None] * days[:, None]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=fading)
        asking = asking + self.drop(self.answer(mixed.transpose(1, 2).flatten(2)))
        return asking + self.think(self.between(asking))

    def _split(self, found: Tensor) -> Tensor:
        return found.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _days(ages: Tensor, places: Tensor) -> Tensor:
    """From places to all places, ≤ 0, those that are yet to come being as good as never."""
    days = (ages.gather(1, places)[:, :, None] - ages[:, None, :]).float()
    return days.masked_fill(torch.arange(ages.shape[1], device=ages.device) > places[:, :, None], _NEVER)


def _at(found: Tensor, places: Tensor) -> Tensor:
    """What stands at the places, shape (customers, moments, …)."""
    return found.gather(1, places[:, :, None].expand(-1, -1, found.shape[2]))
