import importlib.resources
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.foundation import encoder
from perennial.foundation.encoder import Choice, EncoderError, batches
from perennial.foundation.item_vectors import embedding_settings

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
    return embedding_settings().encoder


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
    with pytest.raises(EncoderError, match="'no_such_model': neither a folder nor an installed package"):
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
