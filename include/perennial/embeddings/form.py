"""The form of the DAG `backfill_embeddings`, and the space that it names."""

from pydantic import ConfigDict, ValidationError

from perennial.foundation.config import Part, problems_of
from perennial.foundation.embedding_spaces import EmbeddingSettings, EmbeddingSpace
from perennial.foundation.encoder import Choice
from perennial.foundation.item_texts import Template


class Form(Part):
    """An encoder and a template, by their names in embeddings.yaml; or an encoder by its id or path.

    An empty field keeps what is in force.
    """

    model_config = ConfigDict(str_strip_whitespace=True)

    encoder: str = ""
    revision: str = ""
    weights_sha256: str = ""
    template: str = ""

    def space(self, known: EmbeddingSettings, now: EmbeddingSpace) -> EmbeddingSpace:
        """The space that the form names.

        Args:
            known: the encoders and templates of embeddings.yaml.
            now: the space in force.

        Raises:
            ValueError: there is no such encoder or template, or the form contradicts itself.
        """
        return EmbeddingSpace(encoder=self._encoder(known, now), text=self._template(known, now))

    def _encoder(self, known: EmbeddingSettings, now: EmbeddingSpace) -> Choice:
        pinned = {"revision": self.revision, "weights_sha256": self.weights_sha256}
        given = {name: text for name, text in pinned.items() if text}
        if given and (not self.encoder or self.encoder in known.encoders):
            raise ValueError(
                f"form: {' and '.join(given)} belong to an encoder given by Hugging Face id or path; found "
                f"encoder {self.encoder!r}, which is pinned already"
            )
        if not self.encoder:
            return now.encoder
        if self.encoder in known.encoders:
            return known.encoders[self.encoder]
        if not self.weights_sha256:
            raise ValueError(
                f"form: encoder: found {self.encoder!r}; allowed are {', '.join(known.encoders)} "
                "(embeddings.yaml), or a Hugging Face id or path together with weights_sha256 (and revision)"
            )
        try:
            return Choice.model_validate({"name": self.encoder, **given})
        except ValidationError as error:
            raise ValueError(problems_of("form", error)) from None

    def _template(self, known: EmbeddingSettings, now: EmbeddingSpace) -> Template:
        if not self.template:
            return now.text
        if self.template not in known.templates:
            allowed = ", ".join(known.templates)
            raise ValueError(
                f"form: template: found {self.template!r}; allowed are {allowed} (embeddings.yaml)"
            )
        return known.templates[self.template]
