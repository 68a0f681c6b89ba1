import importlib.resources
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.foundation import encoder
from perennial.foundation.embedding_spaces import embedding_settings
from perennial.foundation.encoder import Choice, EncoderError, batches
from perennial.foundation.hardware import Precision, matrix_dtype

BFLOAT16 = matrix_dtype(Precision.AUTO, "cpu").itemsize == 2
TEXTS = [
    "FRZN BOXED VEGETABLES - PLAIN, 10 OZ. GROCERY > FRZN VEGETABLE/VEG DSH",
    "SOUP",
    "a much longer text " * 60,
    "",
    "Käse, 200 g · 特大",
    "SALSA, 16 OZ. DELI > SALADS/DIPS",
]


@pytest.fixture(scope="module")
def packaged() -> Choice:
    return embedding_settings().start.encoder


def test_the_vectors_are_those_of_sentence_transformers(packaged: Choice):
    from sentence_transformers import SentenceTransformer

    folder = str(importlib.resources.files(packaged.name) / "model")
    theirs = SentenceTransformer(folder, device="cpu", local_files_only=True).encode(TEXTS)
    ours = encoder.load(packaged).encode(TEXTS)
    assert ours.shape == (len(TEXTS), 384)
    assert ours.dtype == np.float32
    assert (ours * theirs).sum(axis=1).min() >= 0.999


def test_a_vector_has_unit_length_and_does_not_depend_on_its_company(packaged: Choice):
    loaded = encoder.load(packaged)
    together = loaded.encode(TEXTS)
    alone = np.concatenate([loaded.encode([text]) for text in TEXTS])
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert (together * alone).sum(axis=1).min() >= 0.999


def test_no_texts_have_no_vectors(packaged: Choice):
    assert encoder.load(packaged).encode([]).shape == (0, 384)


def test_other_weights_are_refused(packaged: Choice):
    with pytest.raises(EncoderError, match=r"has SHA-256 53aa.* but 0000.* is pinned .* they are not used"):
        encoder.load(packaged.model_copy(update={"weights_sha256": "0" * 64}))


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(EncoderError, match="'no_such_model': neither a folder, nor an installed package"):
        encoder.load(Choice(name="no_such_model", weights_sha256="0" * 64))


def test_pooling_is_as_the_models_own_files_say(packaged: Choice, tmp_path: Path):
    ours = _copy_with_pooling(packaged, tmp_path / "cls", "pooling_mode_cls_token")
    states = ours.encode(TEXTS[:2])
    assert (states * encoder.load(packaged).encode(TEXTS[:2])).sum(axis=1).max() < 0.999
    with pytest.raises(EncoderError, match="max_tokens"):
        _copy_with_pooling(packaged, tmp_path / "max", "pooling_mode_max_tokens")


@given(st.lists(st.integers(1, 300), max_size=60))
def test_batches_hold_every_text_once_and_keep_to_the_budget(lengths: list[int]):
    found = list(batches(lengths, 256))
    assert sorted(np.concatenate(found).tolist() if found else []) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= 256


@pytest.mark.skipif(not BFLOAT16, reason="this processor does not multiply bfloat16")
@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("longest", [1, 15, 17, 70])
def test_fused_layers_give_the_states_of_the_model_itself(architecture: str, longest: int):
    import torch

    from perennial.foundation.encoder.fused_layers import FusedLayers

    model = _random_model(architecture)
    lengths = [longest, longest, max(1, longest // 2)]
    ids = torch.full((3, longest), model.config.pad_token_id)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.randint(5, 90, (length,), generator=torch.Generator().manual_seed(longest))
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    with torch.inference_mode():
        theirs = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        fused = FusedLayers.of(model.bfloat16())
        assert fused is not None
        ours = fused(ids, mask).float()
        alone = fused(ids[:2], None).float()
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(ours, theirs, dim=2)[mask].min() > 0.999
    assert cosine(alone, theirs[:2], dim=2).min() > 0.999


def test_another_architecture_runs_as_the_model_itself():
    from transformers import DistilBertConfig, DistilBertModel

    from perennial.foundation.encoder.fused_layers import FusedLayers

    assert (
        FusedLayers.of(DistilBertModel(DistilBertConfig(dim=32, n_heads=2, hidden_dim=64, n_layers=1)))
        is None
    )


@pytest.mark.skipif(not BFLOAT16, reason="this processor does not multiply bfloat16")
def test_scores_too_large_for_an_exponential_are_still_shares():
    import torch

    from perennial.foundation.encoder.fused_layers import FusedLayers

    model = _random_model("bert")
    for layer in model.encoder.layer:
        layer.attention.self.query.weight.data *= 2000
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        theirs = model(input_ids=ids).last_hidden_state
        fused = FusedLayers.of(model.bfloat16())
        assert fused is not None
        assert torch.nn.functional.cosine_similarity(fused(ids, None).float(), theirs, dim=2).min() > 0.98


def test_tokens_are_counted_as_the_encoder_reads_them(packaged: Choice):
    said = [*TEXTS, TEXTS[2] * 2]
    counted = encoder.count_tokens(packaged, said)
    assert counted.tolist() == [len(ids) for ids in encoder.load(packaged).tokenize(said)]
    assert counted[-1] == encoder.load(packaged).longest
    assert encoder.count_tokens(packaged, []).shape == (0,)


def test_a_model_of_the_hub_comes_from_the_local_cache_at_its_revision(
    packaged: Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    revision = "1110a243fdf4" + "0" * 28
    kept = tmp_path / "models--some--encoder" / "snapshots" / revision
    shutil.copytree(encoder.folder(packaged), kept)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    of_hub = packaged.model_copy(update={"name": "some/encoder", "revision": revision})
    assert encoder.folder(of_hub) == kept
    assert of_hub.key == f"encoder@{packaged.weights_sha256[:12]}.1110a24"
    assert np.array_equal(encoder.load(of_hub).encode(TEXTS[:1]), encoder.load(packaged).encode(TEXTS[:1]))
    elsewhere = of_hub.model_copy(update={"revision": "2" * 40})
    with pytest.raises(EncoderError, match=r"'some/encoder' at 2222.*neither in the local cache nor"):
        encoder.load(elsewhere)
    with pytest.raises(EncoderError, match="needs its revision"):
        encoder.load(of_hub.model_copy(update={"revision": None}))


def _random_model(architecture: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    return AutoModel.from_config(AutoConfig.for_model(architecture, vocab_size=100, **sizes)).eval()


def _copy_with_pooling(choice: Choice, folder: Path, mode: str) -> encoder.Encoder:
    """The same model, but its files name another way of pooling."""
    original = Path(str(importlib.resources.files(choice.name) / "model"))
    (folder / "1_Pooling").mkdir(parents=True)
    for file in original.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({mode: True, "word_embedding_dimension": 384})
    )
    return encoder.load(choice.model_copy(update={"name": str(folder)}))
