"""Neighbours among 100,000 vectors for 10,000 queries: those of brute force, and how quickly."""

from collections.abc import Iterator

import numpy as np

from perennial.foundation.arrays import Float32Array
from perennial.foundation.neighbours import Neighbours, nearest
from tests.acceptance.lines import Line, at_least, none_of
from tests.benchmarks import bench
from tests.benchmarks import neighbours as measured
from tests.benchmarks.neighbours import QUERIES, ROWS, K

_BLOCK = 500


def neighbours() -> Iterator[Line]:
    """The nearest items of items against all products in float64; time against numpy and faiss."""
    base = measured.catalogue_vectors()
    own = np.random.default_rng(0).permutation(ROWS)[:QUERIES]
    found = nearest(base[own], base, K, own=own)
    yield at_least("embed.neighbours_queries", len(found.rows), QUERIES, "")
    yield none_of("embed.neighbours_not_brute_force", "queries", _wrong(base, own, found))
    results = list(measured.over(base, QUERIES))
    bench.save(results)
    for result in results:
        print(f"  {result}")
        yield at_least(f"embed.{result.name}_ratio", result.ratio, 1, "x")


def _wrong(base: Float32Array, own: np.ndarray, found: Neighbours) -> list[str]:
    """The queries whose neighbours or scores are not those of brute force; of equals the first come first."""
    exact, wrong = base.astype(np.float64), []
    for start in range(0, len(own), _BLOCK):
        rows = own[start : start + _BLOCK]
        scores = (exact[rows] @ exact.T).astype(np.float32)
        scores[np.arange(len(rows)), rows] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        block = slice(start, start + len(rows))
        same = (found.rows[block] == order) & (found.scores[block] == np.take_along_axis(scores, order, 1))
        wrong += [f"item {row}" for row in rows[~same.all(axis=1)]]
    return wrong
