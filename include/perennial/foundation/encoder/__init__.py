"""Texts into vectors, by a language model whose weights are checked before they are used."""

from perennial.foundation.encoder.encoder import (
    Choice,
    Encoder,
    Precision,
    batches,
    best_device,
    count_tokens,
    folder,
    kind,
    load,
)
from perennial.foundation.encoder.model_files import EncoderError

__all__ = [
    "Choice",
    "Encoder",
    "EncoderError",
    "Precision",
    "batches",
    "best_device",
    "count_tokens",
    "folder",
    "kind",
    "load",
]
