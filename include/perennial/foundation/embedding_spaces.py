"""What an item says of itself, and the vector that stands for it. Shared by all who turn items into meaning.

A vector belongs to a text, not to an item: of the demo's 91,865 items one in five has a text of its own.
Vectors of one *space* (an encoder and a template) can be compared with each other, those of two cannot. On
each day one space is in force; rows of `model_log` with the model `encoder` say which.
"""

import hashlib
import re
from datetime import date

import ibis
import ibis.expr.types as ir
from pydantic import Field, ValidationInfo, field_validator

from perennial.foundation import engine
from perennial.foundation.config import Part, load
from perennial.foundation.encoder import Choice
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import model_log

ENCODER = "encoder"
"""Under this name `model_log` holds the spaces: `figures` is the whole of one as JSON."""

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
            found = _FIELD.findall(part)
            if len(found) != 1 or not (found[0] in _FIELDS or found[0].startswith(_ATTRIBUTE)):
                raise ValueError(f"{part!r} must name one field; allowed: {_ALLOWED}")
        return parts

    @property
    def key(self) -> str:
        """Names the template in the lake."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


class EmbeddingSpace(Part):
    """An encoder and a template: whatever has the same key can be compared."""

    encoder: Choice
    text: Template

    @property
    def key(self) -> str:
        """What `item_embeddings.encoder` holds: the encoder, its weights and the template."""
        return f"{self.encoder.key}#{self.text.key}"


class EmbeddingSettings(Part):
    """embeddings.yaml."""

    encoders: dict[str, Choice] = Field(min_length=1)
    templates: dict[str, Template] = Field(min_length=1)
    encoder: str
    template: str
    tokens_per_shard: int = Field(200_000, ge=1)

    @field_validator("encoder", "template")
    @classmethod
    def _declared(cls, name: str, info: ValidationInfo) -> str:
        declared = info.data.get(f"{info.field_name}s")
        if declared is not None and name not in declared:
            raise ValueError(f"none of that name in {info.field_name}s; allowed: {', '.join(declared)}")
        return name

    @property
    def start(self) -> EmbeddingSpace:
        """What a shop starts with."""
        return EmbeddingSpace(encoder=self.encoders[self.encoder], text=self.templates[self.template])

    def as_declared(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """The space, its encoder found and fed as declared here, if one that gives the same vectors is."""
        same = (choice for choice in self.encoders.values() if choice.key == space.encoder.key)
        return space.model_copy(update={"encoder": next(same, space.encoder)})


def embedding_settings() -> EmbeddingSettings:
    """The settings in embeddings.yaml."""
    return load("embeddings", EmbeddingSettings)


def in_force(lake: Lake, day: date) -> EmbeddingSpace:
    """The space in force on the day: of the last row in `model_log` up to it, else of the first one.

    As long as there is none, it is the one that embeddings.yaml starts with.
    """
    chosen, held = embedding_settings(), model_log.records(lake, ENCODER)
    if not held:
        return chosen.start
    row = next((record for record in reversed(held) if record.day <= day), held[0])
    return chosen.as_declared(EmbeddingSpace.model_validate_json(row.figures))


def texts(items: ir.Table, template: Template) -> ir.Table:
    """The text of each item: `item_id, text, text_hash` (its SHA-256), one row for each row of `items`.

    Letters that can be written in several ways are composed (NFC), and any white space is one blank.
    """
    parts = [_part(items, part) for part in template.parts]
    spoken = ibis.array(parts).filter(lambda part: part.notnull() & (part != "")).join(template.separator)
    text = _plain(spoken.fill_null(""))
    return items.select("item_id", text=text).mutate(text_hash=lambda t: t.text.hexdigest("sha256"))


def item_vectors(lake: Lake, items: ir.Table, day: date) -> ir.Table:
    """The vectors in force on the day: `item_id, text_hash, vector`; items without one are left out."""
    space = in_force(lake, day)
    held = lake.read("item_embeddings")
    held = held.filter(held.encoder == space.key).select("text_hash", "vector")
    return texts(items, space.text).drop("text").join(held, "text_hash")


def _part(items: ir.Table, part: str) -> ir.StringValue:
    """A part of the text; null where its field is."""
    field = _FIELD.findall(part)[0]
    before, after = part.split(f"{{{field}}}")
    return ibis.literal(before) + _plain(_said(items, field)).nullif("") + ibis.literal(after)


def _said(items: ir.Table, field: str) -> ir.StringValue:
    if field.startswith(_ATTRIBUTE):
        return engine.json_value(items.attributes, field.removeprefix(_ATTRIBUTE))
    return _levels_not_in_title(items) if field == "category" else items[field]


def _levels_not_in_title(items: ir.Table) -> ir.StringValue:
    """The category's path without the levels that the title names: nothing is said twice."""
    return items.category.split(" > ").filter(lambda level: ~items.title.contains(level)).join(" > ")


def _plain(text: ir.StringValue) -> ir.StringValue:
    return engine.composed(text).re_replace(r"[\s\p{Z}]+", " ").strip()
