"""The text of an item: what the encoder reads, and what says whether an item needs a new vector."""

import hashlib
import re

import ibis
import ibis.expr.types as ir
from pydantic import Field, field_validator

from perennial.foundation import engine
from perennial.foundation.config import Part

_FIELD = re.compile(r"\{(\w+(?:\.\w+)?)\}")
_FIELDS = ("title", "category", "brand")
_ATTRIBUTE = "attributes."
_ALLOWED = ", ".join(f"{{{field}}}" for field in (*_FIELDS, "attributes.NAME"))


class Template(Part):
    """How an item is put into words: parts that each name one field, joined by a separator."""

    parts: tuple[str, ...] = Field(min_length=1)
    separator: str = ". "

    @field_validator("parts")
    @classmethod
    def _one_known_field_each(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        for part in parts:
            fields = _FIELD.findall(part)
            if len(fields) != 1 or not (fields[0] in _FIELDS or fields[0].startswith(_ATTRIBUTE)):
                raise ValueError(f"{part!r} must name one field; allowed: {_ALLOWED}")
        return parts

    @property
    def key(self) -> str:
        """The name of the template in the lake."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


def texts(items: ir.Table, template: Template) -> ir.Table:
    """The text of each item: `item_id, text, text_hash` (its SHA-256), one row for each row of `items`.

    Letters that can be written in several ways are composed (NFC), and any white space is one blank.
    """
    parts = [_part(items, part) for part in template.parts]
    filled = ibis.array(parts).filter(lambda part: part.notnull() & (part != ""))
    text = _plain(filled.join(template.separator).fill_null(""))
    return items.select("item_id", text=text).mutate(text_hash=lambda t: t.text.hexdigest("sha256"))


def _part(items: ir.Table, part: str) -> ir.StringValue:
    """A part of the text; null where its field is null or empty."""
    field = _FIELD.findall(part)[0]
    before, after = part.split(f"{{{field}}}")
    return ibis.literal(before) + _plain(_value(items, field)).nullif("") + ibis.literal(after)


def _value(items: ir.Table, field: str) -> ir.StringValue:
    if field.startswith(_ATTRIBUTE):
        return engine.json_value(items.attributes, field.removeprefix(_ATTRIBUTE))
    return _levels_not_in_title(items) if field == "category" else items[field]


def _levels_not_in_title(items: ir.Table) -> ir.StringValue:
    """The category's path without the levels that the title names, so that nothing comes twice."""
    return items.category.split(" > ").filter(lambda level: ~items.title.contains(level)).join(" > ")


def _plain(text: ir.StringValue) -> ir.StringValue:
    return engine.composed(text).re_replace(r"[\s\p{Z}]+", " ").strip()
