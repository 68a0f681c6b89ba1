"""Embedding spaces, which of them is in force on a day, and the vectors of items in it.

A vector belongs to a text, not to an item: of the demo's 91,865 items one in five has a text of its own.
Vectors of one *space* (an encoder and a template) can be compared with each other, those of two spaces
cannot. On each day one space is in force; rows of `model_log` with the model `encoder` say which.
"""

from datetime import date

import ibis.expr.types as ir
from pydantic import Field, ValidationInfo, field_validator

from perennial.foundation.config import Part, load
from perennial.foundation.encoder import Choice
from perennial.foundation.item_texts import Template, texts
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import model_log

ENCODER = "encoder"
"""The model's name in `model_log`; `figures` of its rows is a whole space as JSON."""


class EmbeddingSpace(Part):
    """An encoder and a template: vectors with the same key can be compared."""

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
            raise ValueError(
                f"{name!r} is not declared in {info.field_name}s; allowed: {', '.join(declared)}"
            )
        return name

    @property
    def start(self) -> EmbeddingSpace:
        """The space that a shop starts with."""
        return EmbeddingSpace(encoder=self.encoders[self.encoder], text=self.templates[self.template])

    def as_declared(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """The space with the encoder as declared here, if one that gives the same vectors is declared."""
        same = (choice for choice in self.encoders.values() if choice.key == space.encoder.key)
        return space.model_copy(update={"encoder": next(same, space.encoder)})


def embedding_settings() -> EmbeddingSettings:
    """The settings in embeddings.yaml."""
    return load("embeddings", EmbeddingSettings)


def in_force(lake: Lake, day: date) -> EmbeddingSpace:
    """The space of the last row in `model_log` up to the day, else of the first row.

    While `model_log` has no row, it is the space that embeddings.yaml starts with.
    """
    settings, records = embedding_settings(), model_log.records(lake, ENCODER)
    if not records:
        return settings.start
    row = next((record for record in reversed(records) if record.day <= day), records[0])
    return settings.as_declared(EmbeddingSpace.model_validate_json(row.figures))


def item_vectors(lake: Lake, items: ir.Table, day: date) -> ir.Table:
    """The vectors in force on the day: `item_id, text_hash, vector`; items without one are left out."""
    space = in_force(lake, day)
    embeddings = lake.read("item_embeddings")
    vectors = embeddings.filter(embeddings.encoder == space.key).select("text_hash", "vector")
    return texts(items, space.text).drop("text").join(vectors, "text_hash")
