import hashlib
from types import SimpleNamespace

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
from pydantic import ValidationError

from perennial.foundation import contracts
from perennial.foundation.item_texts import Template, texts


def items(*rows: tuple) -> ir.Table:
    names = ("item_id", "title", "category", "brand")
    schema = pa.schema([(name, pa.string()) for name in names])
    return ibis.memtable(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema))


def texts_of(template: Template, *rows: tuple) -> list[str]:
    return texts(items(*rows), template).order_by("item_id").to_pyarrow()["text"].to_pylist()


def test_missing_parts_are_left_out_and_white_space_is_made_one():
    template = Template(parts=("{title}", "by {brand}", "in {category}"))
    assert texts_of(
        template,
        ("1", " Red \n  shoes ", "Clothes > Shoes", "Acme"),
        ("2", "Hat", None, "Acme"),
        ("3", "Hat", "Clothes", None),
        ("4", "Hat", "", " "),
    ) == ["Red shoes. by Acme. in Clothes > Shoes", "Hat. by Acme", "Hat. in Clothes", "Hat"]


def test_a_level_of_the_category_that_the_title_names_does_not_come_twice():
    template = Template(parts=("{title}", "{category}"))
    rows = ("1", "SOUP, 10 OZ", "GROCERY > CANNED > SOUP", None), ("2", "SOUP", "SOUP", None)
    assert texts_of(template, *rows) == ["SOUP, 10 OZ. GROCERY > CANNED", "SOUP"]


def test_the_hash_is_that_of_the_text():
    rows = texts(items(("1", "Käse", None, None)), Template(parts=("{title}",))).to_pyarrow().to_pylist()
    assert rows == [
        {"item_id": "1", "text": "Käse", "text_hash": hashlib.sha256("Käse".encode()).hexdigest()}
    ]


def test_letters_that_look_the_same_are_the_same_and_any_white_space_is_a_blank():
    template = Template(parts=("{title}", "von {brand}"))
    composed, decomposed = "Ka\u0308se\u00a0 jung", "K\u00e4se\u3000jung"
    assert (
        texts_of(template, ("1", composed, None, "\u2003"), ("2", decomposed, None, "")) == ["Käse jung"] * 2
    )
    assert texts_of(template, ("1", "有機\u3000緑茶", None, "伊藤園")) == ["有機 緑茶. von 伊藤園"]


def test_an_attribute_comes_where_the_item_has_it():
    template = Template(parts=("{title}", "in {attributes.colour}", "Größe {attributes.größe}"))
    objects = {
        "1": '{"colour": "red \\"wine\\"", "größe": 42}',
        "2": '{"colour": null, "größe": ""}',
        "3": "no JSON",
        "4": '["red"]',
        "5": None,
    }
    columns = {"item_id": list(objects), "title": ["Hat"] * 5, "attributes": list(objects.values())}
    rows = texts(ibis.memtable(pa.table(columns)), template).order_by("item_id").to_pyarrow()
    assert rows["text"].to_pylist() == ['Hat. in red "wine". Größe 42', *["Hat"] * 4]


def test_a_part_names_one_known_field():
    for part in ("no field", "{title} {brand}", "{colour}", "{attributes}", "{brand.name}"):
        with pytest.raises(ValidationError, match=r"allowed: \{title\}, .*, \{attributes.NAME\}"):
            Template(parts=(part,))


def test_texts_are_expressions_for_spark_as_well(monkeypatch: pytest.MonkeyPatch):
    # Ibis registers this option with its PySpark backend, which is not installed here.
    options = SimpleNamespace(pyspark=SimpleNamespace(treat_nan_as_null=False))
    monkeypatch.setattr("ibis.backends.sql.compilers.pyspark.options", options)
    rows = ibis.table(ibis.Schema.from_pyarrow(contracts.ITEMS.schema), name="items")
    template = Template(parts=("{title}", "{category}", "in {attributes.colour}"))
    assert "SHA2" in ibis.to_sql(texts(rows, template), dialect="pyspark")
