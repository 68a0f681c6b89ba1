"""Exact nearest items: ours, numpy, faiss's flat index, and the matrix product that the quick look needs.

The base is the demo's catalogue, filled up to 100,000 rows: a vector for each item, so that many are equal.
"""

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np

from perennial.demo import complete_journey
from perennial.foundation import encoder, neighbours
from perennial.foundation.arrays import Float32Array
from perennial.foundation.embedding_spaces import embedding_settings, texts
from perennial.foundation.settings import settings
from tests.benchmarks.bench import Result, peak_mb, result, seconds

ROWS, QUERIES, K = 100_000, 10_000, 10
_NUMPY_BLOCK = 1000


def run(_: tuple[int, ...]) -> Iterator[Result]:
    """A size is a number of queries."""
    base = catalogue_vectors()
    for size in (QUERIES // 50, QUERIES // 5, QUERIES):
        yield from over(base, size)


def over(base: Float32Array, size: int) -> Iterator[Result]:
    """One result for each peer."""
    queries = base[:: len(base) // size][:size]
    ours, peak = seconds(lambda: neighbours.nearest(queries, base, K)), peak_mb()
    floor = seconds(lambda: _product(queries, base))
    for name, search in _peers(queries, base).items():
        yield result(f"neighbours_{name.split()[0]}", size, ours, (name, seconds(search)), floor, peak)


def catalogue_vectors() -> Float32Array:
    """The vectors of the demo's items, from the first again when they are through."""
    space = embedding_settings().start
    said = texts(complete_journey.items(), space.text).order_by("item_id").to_pyarrow()["text"]
    different = said.combine_chunks().dictionary_encode()
    vectors = encoder.load(space.encoder).encode(different.dictionary.to_pylist())
    return vectors[np.resize(different.indices.to_numpy(), ROWS)]


def _peers(queries: Float32Array, base: Float32Array) -> dict[str, Callable[[], object]]:
    """Name and version → the search; building the index counts."""
    found: dict[str, Callable[[], object]] = {f"numpy {np.__version__}": lambda: _numpy(queries, base)}
    if importlib.util.find_spec("faiss") is None:
        print("  faiss is not installed: pip install -r requirements-bench.txt")
        return found
    import faiss

    def search() -> object:
        index = faiss.IndexFlatIP(base.shape[1])
        index.add(base)
        return index.search(queries, K)

    return found | {f"faiss {faiss.__version__} IndexFlatIP": search}


def _numpy(queries: Float32Array, base: Float32Array) -> None:
    for start in range(0, len(queries), _NUMPY_BLOCK):
        scores = queries[start : start + _NUMPY_BLOCK] @ base.T
        rows = np.argpartition(scores, len(base) - K, axis=1)[:, len(base) - K :]
        np.argsort(-np.take_along_axis(scores, rows, axis=1), axis=1)


def _product(queries: Float32Array, base: Float32Array) -> None:
    """The blocks of the quick look, multiplied and forgotten."""
    import torch

    torch.set_num_threads(settings().threads)
    kind = encoder.kind(encoder.Precision.AUTO, "cpu")
    asked, held = (torch.from_numpy(np.ascontiguousarray(each)).to(kind) for each in (queries, base))
    for rows in held.split(neighbours._ROWS):
        for block in asked.split(neighbours._QUERIES):
            block @ rows.T
