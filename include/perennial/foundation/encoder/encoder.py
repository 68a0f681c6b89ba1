"""Texts → vectors, by a Hugging Face encoder on this machine, with checked weights.

Texts of the same length go through the model together, so that there is almost no padding. The arithmetic is
bfloat16 where the processor or the GPU has it; the cosine with float32 vectors stays above 0.999.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from perennial.foundation.arrays import Float32Array, IntArray
from perennial.foundation.config import Part
from perennial.foundation.encoder import model_files
from perennial.foundation.encoder.model_files import EncoderError
from perennial.foundation.hardware import Precision, best_device, matrix_dtype
from perennial.foundation.settings import settings

if TYPE_CHECKING:
    import torch

__all__ = ["Choice", "Encoder", "EncoderError", "batches", "count_tokens", "load"]

_MOST_WORKERS = 8


class Choice(Part):
    """Which encoder, and how it is run."""

    name: str = Field(
        min_length=1, description="installed package with a model folder, path of one, or hub id"
    )
    revision: str | None = Field(
        None, pattern="^[0-9a-f]{7,40}$", description="of a model of the hub: a commit"
    )
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of model.safetensors")
    precision: Precision = Field(Precision.AUTO, description="auto: bfloat16 where the hardware has it")
    tokens_per_batch: int = Field(2048, ge=256, description="padded tokens in one pass through the model")

    @property
    def key(self) -> str:
        """Names the encoder in the lake: two encoders with the same key give the same vectors."""
        revision = f".{self.revision[:7]}" if self.revision else ""
        return f"{Path(self.name).name}@{self.weights_sha256[:12]}{revision}"


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder, as `load` returns it.

    Args:
        tokenizer: of the model.
        states: token ids (n, tokens) and a mask that is true for tokens (None without padding) → states of
            the tokens (n, tokens, width).
        width: of a vector.
        pooling: how states become a vector.
        longest: tokens of a text that are read, at most.
        tokens_per_batch: padded tokens in one pass.
        device: where it calculates.
        workers: passes at the same time, each in a thread.
    """

    tokenizer: Any
    states: "Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]"
    width: int
    pooling: str
    longest: int
    tokens_per_batch: int
    device: str
    workers: int

    def encode(self, texts: Sequence[str]) -> Float32Array:
        """The vectors of the texts, in their order: shape (n, width), unit length.

        The first `longest` tokens of each text are read, as the model's own files have it.
        """
        return self.encode_tokens(self.tokenize(texts))

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text that are read."""
        return _tokenize(self.tokenizer, texts, self.longest)

    def encode_tokens(self, tokens: Sequence[list[int]]) -> Float32Array:
        """As `encode`, from the tokens that `tokenize` returns."""
        vectors = np.zeros((len(tokens), self.width), np.float32)

        def fill(batch: NDArray[np.intp]) -> None:
            vectors[batch] = self._forward([tokens[position] for position in batch])

        with ThreadPoolExecutor(self.workers) as pool:
            deque(pool.map(fill, batches([len(ids) for ids in tokens], self.tokens_per_batch)), maxlen=0)
        return vectors

    def _forward(self, tokens: list[list[int]]) -> Float32Array:
        """One batch through the model: pooled in float32, unit length."""
        import torch

        # Both settings are of the thread.
        torch.set_num_threads(max(1, settings().threads // self.workers))
        with torch.inference_mode():
            ids, mask = _padded(tokens, self.tokenizer.pad_token_id, self.device)
            pooled = _pool(self.states(ids, mask).float(), mask, self.pooling)
            return torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()


def batches(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[NDArray[np.intp]]:
    """Positions of texts, longest first, in batches of at most `tokens_per_batch` tokens with padding.

    A batch ends where the length changes, if it is half full by then, because a batch without padding needs
    no mask. A text that is longer than the whole budget has its own batch. Equal lengths keep their order.
    """
    counts = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-counts, kind="stable")
    start = 0
    while start < len(order):
        longest = counts[order[start]]
        batch = order[start : start + max(1, tokens_per_batch // max(1, longest))]
        alike = int((counts[batch] == longest).sum())
        batch = batch[:alike] if 2 * alike >= len(batch) else batch
        yield batch
        start += len(batch)


def folder(choice: Choice) -> Path:
    """The folder of the encoder's files; the weights are not checked.

    Raises:
        EncoderError: as `load`.
    """
    return model_files.find(choice.name, choice.revision).folder


def count_tokens(choice: Choice, texts: Sequence[str]) -> IntArray:
    """How many tokens the encoder reads of each text, without loading the model: shape (n,)."""
    files = model_files.find(choice.name, choice.revision)
    tokens = _tokenize(_tokenizer(files.folder), texts, files.longest)
    return np.fromiter(map(len, tokens), np.int64, len(tokens))


@cache
def load(choice: Choice) -> Encoder:
    """The encoder, ready to use, on the GPU where there is one.

    Raises:
        EncoderError: there is no such model, its weights are not the pinned ones, or its pooling is unknown.
    """
    files = model_files.find(choice.name, choice.revision)
    model_files.check_weights(choice.name, files.folder, choice.weights_sha256)
    # Waiting OpenMP threads spin by default; beside other tasks on the same cores that made encoding 3 to 7
    # times slower. It has to be set before torch is loaded; a value that the environment has already stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = best_device()
    model = AutoModel.from_pretrained(
        files.folder,
        local_files_only=True,
        use_safetensors=True,
        dtype=matrix_dtype(choice.precision, device),
    )
    return Encoder(
        tokenizer=_tokenizer(files.folder),
        states=_states(model.eval().to(device)),
        width=model.config.hidden_size,
        pooling=files.pooling,
        longest=files.longest,
        tokens_per_batch=choice.tokens_per_batch,
        device=device,
        workers=1 if device == "cuda" else min(_MOST_WORKERS, settings().threads),
    )


def _states(model: Any) -> "Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]":
    import torch

    from perennial.foundation.encoder.fused_layers import FusedLayers

    if model.device.type == "cpu" and model.dtype == torch.bfloat16:
        fused = FusedLayers.of(model)
        if fused is not None:
            return fused

    def states(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        attention = None if mask is None else mask.long()
        return model(input_ids=ids, attention_mask=attention).last_hidden_state

    return states


@cache
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _tokenize(tokenizer: Any, texts: Sequence[str], longest: int) -> list[list[int]]:
    if not len(texts):
        return []
    options = {"return_attention_mask": False, "return_token_type_ids": False}
    return tokenizer(list(texts), truncation=True, max_length=longest, **options)["input_ids"]


def _padded(tokens: list[list[int]], padding: int, device: str) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Texts, the longest first, as one tensor, and a mask that is true for tokens (None without padding)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    if len(tokens[-1]) == len(tokens[0]):
        return torch.tensor(tokens).to(device), None
    ids = pad_sequence([torch.tensor(row) for row in tokens], batch_first=True, padding_value=padding)
    lengths = torch.tensor([len(row) for row in tokens])
    return ids.to(device), (torch.arange(ids.shape[1]) < lengths[:, None]).to(device)


def _pool(states: "torch.Tensor", mask: "torch.Tensor | None", pooling: str) -> "torch.Tensor":
    if pooling == "cls":
        return states[:, 0]
    if mask is None:
        return states.mean(1)
    weights = mask[:, :, None].float()
    return (states * weights).sum(1) / weights.sum(1)
