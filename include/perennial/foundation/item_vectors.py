"""What an item says of itself, and the vector that stands for it. Shared by all who turn items into meaning.

A vector belongs to a text, not to an item: of the demo's 92,331 items one in five has a text of its own.
"""

import hashlib
import re

import ibis
import ibis.expr.types as ir
from pydantic import Field, field_validator

from perennial.foundation.config import Part, load
from perennial.foundation.encoder import Choice
from perennial.foundation.lake import Lake

_FIELD = re.compile(r"\{(\w+)\}")
_FIELDS = ("title", "category", "brand")


class Template(Part):
    """How an item is put into words: parts that each name one field, joined by a separator."""

    parts: tuple[str, ...] = Field(min_length=1)
    separator: str = ". "

    @field_validator("parts")
    @classmethod
    def _one_known_field_each(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        for part in parts:
            found = _FIELD.findall(part)
            if len(found) != 1 or found[0] not in _FIELDS:
                allowed = ", ".join(f"{{{field}}}" for field in _FIELDS)
                raise ValueError(f"{part!r} must name one field; allowed: {allowed}")
        return parts

    @property
    def key(self) -> str:
        """Names the template in the lake."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


class EmbeddingSettings(Part):
    """embeddings.yaml."""

    encoder: Choice
    text: Template
    texts_per_shard: int = Field(10_000, ge=1)

    @property
    def key(self) -> str:
        """What `item_embeddings.encoder` holds: the encoder, its weights and the template."""
        return f"{self.encoder.key}#{self.text.key}"


def embedding_settings() -> EmbeddingSettings:
    """The settings in embeddings.yaml."""
    return load("embeddings", EmbeddingSettings)


def texts(items: ir.Table, template: Template) -> ir.Table:
    """The text of each item: `item_id, text, text_hash` (its SHA-256), one row for each row of `items`."""
    parts = [_part(items, part) for part in template.parts]
    spoken = ibis.array(parts).filter(lambda part: part.notnull() & (part != "")).join(template.separator)
    text = spoken.fill_null("").re_replace(r"\s+", " ").strip()
    return items.select("item_id", text=text).mutate(text_hash=lambda t: t.text.hexdigest("sha256"))


def item_vectors(lake: Lake, items: ir.Table) -> ir.Table:
    """The vectors in force: `item_id, text_hash, vector`; items whose text has none yet are left out."""
    chosen = embedding_settings()
    held = lake.read("item_embeddings")
    held = held.filter(held.encoder == chosen.key).select("text_hash", "vector")
    return texts(items, chosen.text).drop("text").join(held, "text_hash")


def _part(items: ir.Table, part: str) -> ir.StringValue:
    """A part of the text; null where its field is."""
    field = _FIELD.findall(part)[0]
    before, after = part.split(f"{{{field}}}")
    said = _levels_not_in_title(items) if field == "category" else items[field]
    said = said.strip().nullif("")
    return ibis.literal(before) + said + ibis.literal(after)


def _levels_not_in_title(items: ir.Table) -> ir.StringValue:
    """The category's path without the levels that the title names: nothing is said twice."""
    return items.category.split(" > ").filter(lambda level: ~items.title.contains(level)).join(" > ")
