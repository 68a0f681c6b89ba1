"""The folder of an encoder: where it is, whether its weights are the pinned ones, and its settings."""

import hashlib
import importlib.resources
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_WEIGHTS = "model.safetensors"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NEEDED = ["*.json", "*.txt", "*.model", _WEIGHTS]
_POOLINGS = {"mean_tokens": "mean", "cls_token": "cls"}
"""Older name of a pooling in Sentence Transformers → its name."""
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta")
"""Architectures that number the positions of a text from the padding's number + 1."""


class EncoderError(RuntimeError):
    """The encoder cannot be used; the message says why, and what was expected."""


@dataclass(frozen=True)
class Files:
    """The settings in the files of an encoder.

    Args:
        folder: where the files are.
        pooling: how the states of a text's tokens become one vector: `mean` or `cls`.
        longest: tokens of a text that are read, at most.
    """

    folder: Path
    pooling: str
    longest: int


@cache
def find(name: str, revision: str | None) -> Files:
    """The files of an encoder: a folder, an installed package with a model folder, or one of the model hub.

    A model of the hub comes from the local cache; files that are not there yet are downloaded, once.

    Raises:
        EncoderError: there is no such model, or it is of a kind that is not supported.
    """
    folder = _folder(name, revision)
    return Files(folder, _pooling(folder), _longest(folder))


def check_weights(name: str, folder: Path, sha256: str) -> None:
    """Refuse weights that are not the pinned ones.

    Raises:
        EncoderError: they differ, or are missing.
    """
    path = folder / _WEIGHTS
    if not path.is_file():
        raise EncoderError(f"encoder {name!r}: {path} is missing")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise EncoderError(
            f"encoder {name!r}: {path} has SHA-256 {found}, but {sha256} is pinned in embeddings.yaml; "
            "these are other weights, and they are not used"
        )


def _folder(name: str, revision: str | None) -> Path:
    if Path(name).is_dir():
        return Path(name)
    if _HUB_ID.fullmatch(name):
        return _downloaded(name, revision)
    try:
        return Path(str(importlib.resources.files(name) / "model"))
    except (ModuleNotFoundError, ValueError, TypeError):
        raise EncoderError(
            f"encoder {name!r}: neither a folder, nor an installed package, nor an id of the model hub"
        ) from None


def _downloaded(name: str, revision: str | None) -> Path:
    if revision is None:
        raise EncoderError(f"encoder {name!r}: a model of the hub needs its revision, the hash of a commit")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[*_NEEDED, "*/config.json"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise EncoderError(
            f"encoder {name!r} at {revision}: neither in the local cache nor available from the hub: {reason}"
        ) from error


def _longest(folder: Path) -> int:
    transformer, config = _read(folder / "sentence_bert_config.json"), _read(folder / "config.json")
    positions = config.get("max_position_embeddings", transformer["max_seq_length"])
    if config.get("model_type") in _POSITIONS_AFTER_PADDING:
        positions -= config["pad_token_id"] + 1
    return min(transformer["max_seq_length"], positions)


def _pooling(folder: Path) -> str:
    kinds = [module["type"].rsplit(".", 1)[-1] for module in _read(folder / "modules.json")]
    config = _read(folder / "1_Pooling" / "config.json")
    older = [key.removeprefix("pooling_mode_") for key, on in config.items() if on is True]
    modes = config.get("pooling_mode") or [_POOLINGS.get(name, name) for name in older]
    pooling = [modes] if isinstance(modes, str) else modes
    if set(kinds) - {"Transformer", "Pooling", "Normalize"} or pooling not in (["mean"], ["cls"]):
        raise EncoderError(
            f"{folder}: modules {kinds} with the pooling {pooling} are not supported; "
            "allowed is the pooling mean or cls"
        )
    return str(pooling[0])


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EncoderError(f"{path} is missing; a sentence-transformers model folder has it") from None
