"""Exact nearest neighbours by inner product: of unit vectors, by cosine.

A quick look narrows the base down, and exact products decide. The quick look multiplies blocks in bfloat16
where the processor has it (several times as fast as float32), and keeps every row that may be among the best,
however the numbers were rounded. With q' and b' the rounded vectors,

    |q·b − q'·b'| = |(q − q')·b + q'·(b − b')| ≤ ‖q − q'‖ ‖b‖ + ‖q'‖ ‖b − b'‖        (Cauchy, Schwarz);

adding up n products in float32 is off by at most (n + 8) 2⁻²⁴ ‖q'‖ ‖b'‖ (Higham, Accuracy and Stability of
Numerical Algorithms, 3.1), and rounding the sum to the quick precision by its unit roundoff times ‖q'‖ ‖b'‖.
Let e be all of this together. k rows have true scores of at least t − e, where t is a lower bound of the k-th
best quick score; a row whose quick score is below t − 2e is therefore worse than k others. The rows that
remain are multiplied in float64.

A score is that product rounded to float32, and of equal scores the lower row comes first: the result does not
depend on blocks, threads or hardware.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from perennial.foundation import encoder
from perennial.foundation.arrays import BoolArray, Float32Array, IntArray
from perennial.foundation.encoder import Precision
from perennial.foundation.settings import settings

if TYPE_CHECKING:
    import torch


_QUERIES, _ROWS = 512, 4096
"""The quick scores of so many queries and rows are looked at while they are in the cache."""
_GROUP = 32
"""So many rows share one maximum; only groups with a good one are looked into."""
_HELD = 1 << 17
"""Rows that are held in quick precision."""
_WAITING = 1 << 20
"""Pairs that wait for their exact product."""
_GATHERED = 2048
"""Pairs whose vectors are multiplied at once."""


@dataclass(frozen=True)
class Neighbours:
    """The best rows for each query, best first: shape (queries, k) both.

    Where there are fewer than k rows to choose from, row −1 with score −inf fills up.
    """

    rows: IntArray
    scores: Float32Array


@dataclass(frozen=True)
class _Quick:
    """Vectors in quick precision, filled up with zeros to whole groups.

    `lengths` and `errors` are the Euclidean lengths of the vectors and of what rounding took from them.
    """

    vectors: "torch.Tensor"
    lengths: "torch.Tensor"
    errors: "torch.Tensor"


def nearest(
    queries: Float32Array,
    base: Float32Array,
    k: int,
    *,
    own: IntArray | None = None,
    allowed: BoolArray | None = None,
) -> Neighbours:
    """The k rows of the base with the largest inner products with each query.

    Beside arguments and result it needs about 300 MB at a width of 384, and where very many rows are equally
    near 400 MB a thread, whatever the sizes; the base may be a memory map. It runs on the GPU where there is
    one.

    Args:
        queries: shape (queries, width).
        base: shape (rows, width).
        k: how many, at least 1.
        own: the row of the base that is the query itself and does not count, −1 for none.
        allowed: which rows of the base count, shape (rows,); by default all.

    Raises:
        ValueError: the widths differ, or a vector has no finite length.
    """
    if queries.shape[1] != base.shape[1]:
        raise ValueError(f"queries are {queries.shape[1]} wide, the base {base.shape[1]}; they must agree")
    import torch

    shape = len(queries), k
    found = Neighbours(np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32))
    rows = np.arange(len(base)) if allowed is None else np.flatnonzero(allowed)
    firsts = range(0, len(queries), _QUERIES)
    own = np.full(len(queries), -1) if own is None else own
    # A thread a block of queries: on cores that others use too, threads that share one product wait for each
    # other most of the time.
    with ThreadPoolExecutor(settings().threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for start in range(0, len(rows), _HELD):
            held = rows[start : start + _HELD]
            quick = pool.submit(_rounded, base, held).result()
            list(pool.map(partial(_search, queries, base, own, held, quick, found), firsts))
    torch.set_num_threads(settings().threads)
    return found


def _search(
    queries: Float32Array,
    base: Float32Array,
    own: IntArray,
    held: IntArray,
    quick: _Quick,
    found: Neighbours,
    first: int,
) -> None:
    """Put what the held rows have for a block of queries among what was found before."""
    block = slice(first, first + _QUERIES)
    asked, best = queries[block], Neighbours(found.rows[block], found.scores[block])
    rounded, depth = _rounded(asked, np.arange(len(asked))), best.rows.shape[1] + 1
    for query, place in _promising(rounded, quick, best.scores[:, -1], depth):
        row = held[place]
        counts = row != own[block][query]
        query, row = query[counts], row[counts]
        _settle(best, query, row, _products(asked, base, query, row))


def _promising(
    asked: _Quick, held: _Quick, reached: Float32Array, depth: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs (query, held row) that may be among the query's `depth` best; all others are certainly not.

    Args:
        asked: the queries.
        held: the rows.
        reached: scores that a pair has to reach to be of interest.
        depth: how many rows of each query.
    """
    import torch

    bound = _bound(asked, held)
    floor = torch.from_numpy(reached).to(bound.device) - bound
    tops = torch.full((len(bound), depth), -torch.inf, device=bound.device)
    lowest = torch.finfo(bound.dtype).min  # −inf is no row
    waiting: list[tuple[torch.Tensor, ...]] = []
    for start in range(0, len(held.vectors), _ROWS):
        scores = asked.vectors[: len(bound)] @ held.vectors[start : start + _ROWS].T
        scores[:, max(0, len(held.lengths) - start) :] = -torch.inf
        grouped = scores.view(len(bound), _GROUP, -1)
        maxima = grouped.amax(1).float()
        # Maxima of different groups are scores of different rows: the depth-th of them bounds that of all.
        tops = torch.cat([tops, maxima], 1).topk(depth).values
        bar = torch.maximum(floor, tops[:, -1] - 2 * bound).clamp(min=lowest)
        query, group = (maxima >= bar[:, None]).nonzero(as_tuple=True)
        inside = grouped[query, :, group].float()
        pair, member = (inside >= bar[query, None]).nonzero(as_tuple=True)
        places = start + member * maxima.shape[1] + group[pair]
        waiting.append((query[pair], places, inside[pair, member]))
        last = start + _ROWS >= len(held.vectors)
        if last or sum(len(pairs) for pairs, _, _ in waiting) > _WAITING:
            query, place, score = (torch.cat(parts) for parts in zip(*waiting, strict=True))
            still = score >= bar[query]
            yield query[still].cpu().numpy(), place[still].cpu().numpy()
            waiting = []


def _bound(asked: _Quick, held: _Quick) -> "torch.Tensor":
    """How far the quick score of each query with any held row may be off."""
    import torch

    width, precision = asked.vectors.shape[1], torch.finfo(asked.vectors.dtype)
    lengths, error = held.lengths.max(), held.errors.max()
    sums = (width + 8) * 2.0**-24 + (precision.eps / 2 if precision.bits < 32 else 0)
    rounded = (asked.lengths + asked.errors) * (error + (lengths + error) * sums)
    # The lengths are rounded themselves.
    return (asked.errors * lengths + rounded) * 1.001


def _rounded(vectors: Float32Array, rows: IntArray) -> _Quick:
    """These rows of the vectors in quick precision."""
    import torch

    device = encoder.best_device()
    whole = -(-len(rows) // _GROUP) * _GROUP
    quick = torch.zeros((whole, vectors.shape[1]), dtype=_precision(device), device=device)
    lengths, errors = torch.zeros(len(rows), device=device), torch.zeros(len(rows), device=device)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, min(start + _ROWS, len(rows)))
        exact = torch.from_numpy(vectors[rows[part]]).to(device)
        quick[part] = exact
        lengths[part], errors[part] = exact.norm(dim=1), (exact - quick[part]).norm(dim=1)
    if not math.isfinite(lengths.sum()):
        raise ValueError("a vector has no finite length; all its numbers must be finite")
    return _Quick(quick, lengths, errors)


def _precision(device: str) -> "torch.dtype":
    """What the processor multiplies fastest; a GPU is quick enough in float32."""
    return encoder.kind(Precision.AUTO if device == "cpu" else Precision.FLOAT32, device)


def _products(queries: Float32Array, base: Float32Array, query: IntArray, row: IntArray) -> Float32Array:
    """The inner product of each pair, in float64 and then rounded."""
    exact, found = queries.astype(np.float64), np.empty(len(row), np.float32)
    for start in range(0, len(row), _GATHERED):
        part = slice(start, start + _GATHERED)
        found[part] = np.einsum("ij,ij->i", base[row[part]], exact[query[part]])
    return found


def _settle(best: Neighbours, query: IntArray, row: IntArray, score: Float32Array) -> None:
    """Put pairs among the best of their queries."""
    queries, k = best.rows.shape
    query = np.concatenate([np.repeat(np.arange(queries), k), query])
    row, score = np.concatenate([best.rows.ravel(), row]), np.concatenate([best.scores.ravel(), score])
    order = np.lexsort((row, -score, query))
    first = np.searchsorted(query[order], np.arange(queries))
    kept = order[first[:, None] + np.arange(k)]
    best.rows[:], best.scores[:] = row[kept], score[kept]
