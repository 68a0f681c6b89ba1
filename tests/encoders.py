"""A second encoder without the model hub: small, with random weights and the packaged encoder's tokenizer.

`small_encoder` and `two_encoders` are fixtures.
"""

import hashlib
import importlib.resources
import json
import shutil
from pathlib import Path

import pytest
import yaml

from perennial.foundation import settings
from perennial.foundation.config import path_of
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.encoder import Choice

WIDTH = 64


def small(folder: Path, seed: int = 0) -> Choice:
    """Make the model folder of an encoder of two layers; another seed makes another encoder."""
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    packaged = Path(str(importlib.resources.files(embedding_settings().start.encoder.name) / "model"))
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2}
    config = AutoConfig.from_pretrained(packaged, local_files_only=True, num_attention_heads=2, **sizes)
    torch.manual_seed(seed)
    AutoModel.from_config(config).save_pretrained(folder)
    for file in (*packaged.glob("*.json"), *packaged.glob("*.txt")):
        if file.name != "config.json":
            shutil.copy(file, folder)
    pooling = json.loads((packaged / "1_Pooling" / "config.json").read_text())
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps(pooling | {"word_embedding_dimension": WIDTH})
    )
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return Choice(name=str(folder), weights_sha256=weights)


def declare(choice: Choice, config: Path, tokens_per_shard: int) -> None:
    """Write the settings, with the encoder as `small` and a template `short`, into another folder."""
    shutil.copytree(settings.settings().config, config)
    declared = yaml.safe_load(path_of("embeddings", config).read_text())
    declared["encoders"]["small"] = choice.model_dump(mode="json")
    declared["templates"]["short"] = {"parts": ["{title}"]}
    (config / "embeddings.yaml").write_text(yaml.safe_dump(declared | {"tokens_per_shard": tokens_per_shard}))


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> Choice:
    """Another encoder than the packaged one, in a folder."""
    return small(tmp_path_factory.mktemp("encoders") / "small")


@pytest.fixture
def two_encoders(shop: Path, small_encoder: Choice, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop with the small encoder declared too, and shards of about five short texts."""
    declare(small_encoder, shop / "config", 25)
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    settings.settings.cache_clear()
    return shop
