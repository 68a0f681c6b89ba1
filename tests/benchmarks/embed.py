"""The whole catalogue from nothing to committed vectors, against Sentence Transformers and the processor.

Ours is every step of `embed_items`: texts, what is missing, shards, encoding, commits. The peer encodes the
*different* texts as its manual says, with its defaults; it is measured over a sample and scaled. The floor is
what the products of matrices alone would take, at the speed at which this machine multiplies large ones.
Imports and the loading of models are not counted in any.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median

import ibis
import pyarrow as pa

from perennial.demo import complete_journey
from perennial.embeddings import pipeline
from perennial.foundation import contracts, encoder
from perennial.foundation.embedding_spaces import EmbeddingSpace, embedding_settings
from perennial.foundation.encoder import Choice
from perennial.foundation.hardware import Precision, best_device, matrix_dtype
from perennial.foundation.item_texts import texts
from perennial.foundation.lake import open_lake
from perennial.foundation.settings import settings
from tests.benchmarks import bench
from tests.benchmarks.bench import Result

SAMPLE = 6000
"""Texts that the peer encodes; its time over all is scaled from these."""
DAY = date(2018, 1, 1)
"""By then all items have landed."""
_SIDES = (1024, 2048, 4096)
"""Of the square matrices by which the machine's speed is measured; the best counts."""


@dataclass(frozen=True)
class Speeds:
    """What was measured beside the result.

    Args:
        items: in the catalogue.
        texts: different ones among them.
        tokens: of these.
        encoder_s: seconds of the encoder alone over all texts, tokens in, vectors out.
        matrix_flops: floating point operations a second of large bfloat16 (or float32) products.
        flops_per_token: of the encoder, at the texts' mean length.
        cosine: mean with the vectors calculated in float32, over the sample.
    """

    items: int
    texts: int
    tokens: int
    encoder_s: float
    matrix_flops: float
    flops_per_token: float
    cosine: float

    @property
    def of_matrix_speed(self) -> float:
        """What part of the machine's matrix speed the encoder reaches."""
        return self.tokens * self.flops_per_token / self.encoder_s / self.matrix_flops


def run(sizes: tuple[int, ...]) -> Iterator[Result]:
    """Catalogues of the given sizes, at most all items."""
    most = catalogue().num_rows
    for size in dict.fromkeys(min(size, most) for size in sizes):
        yield over(size)[0]


def over(size: int) -> tuple[Result, Speeds]:
    """The result over the first `size` items, and what else was measured on the way."""
    choice = embedding_settings().start.encoder
    with _shop(catalogue().slice(0, size)) as folder:
        ours_s, peak_mb = bench.seconds(partial(_embedded, folder)), bench.peak_mb()
        rows = open_lake().read("item_embeddings").order_by("text_hash").to_pyarrow()
    texts = rows["text"].to_pylist()
    sample = texts[:SAMPLE]
    peer_name, peer_s = _sentence_transformers(choice, sample, len(texts))
    tokens = int(encoder.count_tokens(choice, texts).sum())
    encoder_s, matrix_flops = _alone(choice, texts)
    speeds = Speeds(
        items=size,
        texts=len(texts),
        tokens=tokens,
        encoder_s=encoder_s,
        matrix_flops=matrix_flops,
        flops_per_token=_flops_per_token(choice, tokens / len(texts)),
        cosine=_cosine(choice, sample),
    )
    floor_s = tokens * speeds.flops_per_token / speeds.matrix_flops
    return bench.result("embed", size, ours_s, (peer_name, peer_s), floor_s, peak_mb), speeds


def of_matrix_speed() -> float:
    """What part of the machine's matrix speed the encoder reaches over the texts of all items."""
    space = embedding_settings().start
    said = different_texts(space)
    tokens = int(encoder.count_tokens(space.encoder, said).sum())
    encoder_s, matrix_flops = _alone(space.encoder, said)
    return tokens * _flops_per_token(space.encoder, tokens / len(said)) / encoder_s / matrix_flops


def different_texts(space: EmbeddingSpace) -> list[str]:
    """Of all items, sorted."""
    return sorted(set(texts(ibis.memtable(catalogue()), space.text).text.to_pyarrow().to_pylist()))


def catalogue() -> pa.Table:
    """All items of the demo's data, as they lie in the lake."""
    found = complete_journey.items().to_pyarrow()
    names = contracts.ITEMS.schema.names
    day = pa.array([DAY] * found.num_rows, pa.date32())
    given = {name: found[name] for name in names if name in found.column_names}
    stamped = dict.fromkeys(("valid_from", "landed_on", "known_on"), day)
    available = {"available": pa.array([True] * found.num_rows)}
    columns = {name: {**available, **given, **stamped}.get(name) for name in names}
    nothing = pa.nulls(found.num_rows)
    filled = {name: nothing if column is None else column for name, column in columns.items()}
    return pa.table(filled).cast(pa.schema([field.with_nullable(True) for field in contracts.ITEMS.schema]))


def matrix_speed() -> float:
    """Floating point operations a second of large products, in the precision that an encoder would use."""
    import torch

    torch.set_num_threads(settings().threads)
    device = best_device()
    dtype = matrix_dtype(Precision.AUTO, device)
    with torch.inference_mode():
        return max(_product_speed(torch.randn(side, side, device=device).to(dtype)) for side in _SIDES)


def _product_speed(matrix: "torch.Tensor") -> float:  # noqa: F821 - torch takes seconds to import
    import torch

    taken = []
    for _ in range(10):
        began = time.perf_counter()
        for _ in range(3):
            matrix @ matrix
        if matrix.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append((time.perf_counter() - began) / 3)
    return 2 * len(matrix) ** 3 / median(taken[3:])


@contextmanager
def _shop(items: pa.Table) -> Iterator[Path]:
    """A lake that knows the items and no vector, in a folder that the settings point into."""
    with tempfile.TemporaryDirectory(prefix="perennial-embed-") as name:
        folder = Path(name)
        for place in ("lake", "vault"):
            os.environ[f"PERENNIAL_{place.upper()}"] = str(folder / place)
        os.environ["PERENNIAL_LEDGER"] = f"sqlite:///{folder}/ledger.db"
        settings.cache_clear()
        open_lake().replace("items", items, DAY)
        (folder / "lake").rename(folder / "before")
        yield folder


def _embedded(folder: Path) -> int:
    """Everything that `embed_items` does, in this process; how many texts were encoded."""
    shutil.rmtree(folder / "lake", ignore_errors=True)
    shutil.copytree(folder / "before", folder / "lake")
    return pipeline.embed(str(DAY))


def _sentence_transformers(choice: Choice, sample: Sequence[str], texts: int) -> tuple[str, float]:
    """The peer's name and version, and its seconds over all texts, scaled from the sample."""
    import sentence_transformers

    folder = encoder.folder(choice)
    model = sentence_transformers.SentenceTransformer(str(folder), local_files_only=True)
    seconds = bench.seconds(partial(model.encode, list(sample)))
    name = (
        f"sentence_transformers {sentence_transformers.__version__}, {len(sample)} of {texts} texts, scaled"
    )
    return name, seconds * texts / len(sample)


def _alone(choice: Choice, texts: Sequence[str]) -> tuple[float, float]:
    """Seconds of the encoder over the texts, and the matrix speed: medians, measured in turn."""
    loaded = encoder.load(choice)
    tokens = loaded.tokenize(texts)
    loaded.encode_tokens(tokens)
    encoding, products = [], []
    for _ in range(bench.REPEATS):
        began = time.perf_counter()
        loaded.encode_tokens(tokens)
        encoding.append(time.perf_counter() - began)
        products.append(matrix_speed())
    return median(encoding), median(products)


def _flops_per_token(choice: Choice, length: float) -> float:
    """Of the layers: four products in attention and two behind it, and each token with each of its text."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(encoder.folder(choice))
    width, inner = config.hidden_size, config.intermediate_size
    return config.num_hidden_layers * (2 * (4 * width * width + 2 * width * inner) + 4 * length * width)


def _cosine(choice: Choice, sample: Sequence[str]) -> float:
    """Mean cosine of the vectors with those calculated in float32."""
    exact = choice.model_copy(update={"precision": Precision.FLOAT32})
    ours, theirs = (encoder.load(one).encode(sample) for one in (choice, exact))
    return float((ours * theirs).sum(axis=1).mean())
