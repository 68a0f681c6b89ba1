"""Texts into vectors, by a language model whose weights are checked before they are used."""

from perennial.foundation.encoder.encoder import (
    Choice,
    Encoder,
    batches,
    count_tokens,
    folder,
    load,
)
from perennial.foundation.encoder.model_files import EncoderError

__all__ = [
    "Choice",
    "Encoder",
    "EncoderError",
    "batches",
    "count_tokens",
    "folder",
    "load",
]
