"""Texts → vectors, by a Hugging Face encoder on this machine: offline, with checked weights.

Texts are sorted by length and go through the model in batches of a fixed number of tokens, so that little is
padded. The arithmetic is bfloat16 where the processor or the GPU has it: against float32 the cosine stays
above 0.999.
"""

import hashlib
import importlib.resources
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from perennial.foundation.config import Part
from perennial.foundation.settings import settings

if TYPE_CHECKING:
    import torch

_WEIGHTS = "model.safetensors"


class EncoderError(RuntimeError):
    """The encoder cannot be used; the message says why and what was expected."""


class Choice(Part):
    """Which encoder, and how much it may take at once."""

    name: str = Field(min_length=1, description="package with a model folder, or the path of one")
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of model.safetensors")
    tokens_per_batch: int = Field(2048, ge=256, description="padded tokens in one pass through the model")

    @property
    def key(self) -> str:
        """Names the encoder in the lake: two encoders with the same key give the same vectors."""
        return f"{Path(self.name).name}@{self.weights_sha256[:12]}"


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder. Get it with `load`."""

    tokenizer: Any
    model: Any
    pooling: str
    longest: int
    tokens_per_batch: int
    device: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of the texts, in their order: shape (n, width), unit length.

        Of each text the first `longest` tokens count, as the model's own files say.
        """
        import torch

        torch.set_num_threads(settings().threads)
        tokens = self._tokenize(texts)
        vectors = np.zeros((len(tokens), self.model.config.hidden_size), np.float32)
        with torch.inference_mode():
            for batch in batches([len(ids) for ids in tokens], self.tokens_per_batch):
                vectors[batch] = self._forward([tokens[position] for position in batch]).cpu().numpy()
        return vectors

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        if not len(texts):
            return []
        options = {"return_attention_mask": False, "return_token_type_ids": False}
        return self.tokenizer(list(texts), truncation=True, max_length=self.longest, **options)["input_ids"]

    def _forward(self, tokens: list[list[int]]) -> "torch.Tensor":
        """One batch through the model: pooled in float32, unit length."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        ids = [torch.tensor(row) for row in tokens]
        padded = pad_sequence(ids, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        lengths = torch.tensor([len(row) for row in tokens])
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).to(self.device)
        # Without padding there is nothing to mask, and attention without a mask is quicker.
        attention = None if bool(mask.all()) else mask.long()
        states = self.model(input_ids=padded.to(self.device), attention_mask=attention).last_hidden_state
        return torch.nn.functional.normalize(_pool(states.float(), mask, self.pooling), dim=1)


def batches(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[NDArray[np.intp]]:
    """Positions of texts, longest first, in batches of at most `tokens_per_batch` tokens with their padding.

    A text that is longer than the whole budget has a batch to itself. Equal lengths keep their order.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        fit = max(1, tokens_per_batch // max(1, lengths[order[start]]))
        yield order[start : start + fit]
        start += fit


@cache
def load(choice: Choice) -> Encoder:
    """The encoder, ready to use, on the GPU where there is one.

    Raises:
        EncoderError: there is no such model, its weights are not the pinned ones, or its pooling is unknown.
    """
    folder = _folder(choice.name)
    _check_weights(folder / _WEIGHTS, choice)
    pooling = _pooling(folder)
    # Waiting OpenMP threads spin by default; beside other tasks on the same cores that made encoding 3 to 7
    # times slower. It has to be set before torch is loaded; what the environment says already stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=_precision(device)
    )
    read = _read(folder / "sentence_bert_config.json")["max_seq_length"]
    longest = min(read, model.config.max_position_embeddings)
    return Encoder(tokenizer, model.eval().to(device), pooling, longest, choice.tokens_per_batch, device)


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(str(importlib.resources.files(name) / "model"))
    except (ModuleNotFoundError, ValueError, TypeError):
        raise EncoderError(f"encoder {name!r}: neither a folder nor an installed package") from None


def _check_weights(path: Path, choice: Choice) -> None:
    if not path.is_file():
        raise EncoderError(f"encoder {choice.name!r}: {path} is missing")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != choice.weights_sha256:
        raise EncoderError(
            f"encoder {choice.name!r}: {path} has SHA-256 {found}, but {choice.weights_sha256} is pinned in "
            "embeddings.yaml; these are other weights, and they are not used"
        )


def _pooling(folder: Path) -> str:
    """How the model's own files say that token states become one vector: `mean` or `cls`."""
    kinds = [module["type"].rsplit(".", 1)[-1] for module in _read(folder / "modules.json")]
    modes = _read(folder / "1_Pooling" / "config.json")
    chosen = [name.removeprefix("pooling_mode_") for name, on in modes.items() if on is True]
    known = {"mean_tokens": "mean", "cls_token": "cls"}
    if set(kinds) - {"Transformer", "Pooling", "Normalize"} or len(chosen) != 1 or chosen[0] not in known:
        raise EncoderError(
            f"{folder}: modules {kinds} with pooling {chosen} are not known here; mean_tokens or cls_token is"
        )
    return known[chosen[0]]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EncoderError(f"{path} is missing; a sentence-transformers model folder has it") from None


def _pool(states: "torch.Tensor", mask: "torch.Tensor", pooling: str) -> "torch.Tensor":
    if pooling == "cls":
        return states[:, 0]
    weights = mask[:, :, None].float()
    return (states * weights).sum(1) / weights.sum(1)


def _precision(device: str) -> "torch.dtype":
    """bfloat16 where the hardware multiplies it; elsewhere it would be emulated, slower than float32."""
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("amx_bf16") or able.get("avx512_bf16") else torch.float32
