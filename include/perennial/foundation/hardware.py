"""What this machine calculates with: the device, and the numbers that it multiplies fastest."""

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Precision(StrEnum):
    """In what numbers a model calculates."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


def best_device() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def matrix_dtype(precision: Precision, device: str) -> "torch.dtype":
    """The type for products of matrices; AUTO is bfloat16 where the hardware multiplies it, else float32.

    Other hardware would emulate bfloat16, slower than float32.
    """
    import torch

    if precision is not Precision.AUTO:
        return torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float32
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return torch.bfloat16 if fast else torch.float32
