"""reasons.yaml: how a recommendation is explained, in each language that the shop speaks."""

from collections.abc import Sequence
from string import Formatter
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, RootModel, model_validator

from perennial.foundation.arrays import IntArray
from perennial.foundation.config import Part, load

Forms = tuple[str, str]
"""For one, and for many: `{n}` is the number."""
_HELD = {
    **{name: {"n"} for name in ("days_ago", "every", "times", "popularity")},
    **{name: {"item"} for name in ("item_neighbours", "content", "kind", "sequence", "new_item_like")},
    "regular": {"every", "ago"},
    "bought": {"times", "ago"},
}
"""What stands in braces, by sentence; in the others nothing."""


class Phrases(Part):
    """The sentences of a language."""

    days_ago: Forms
    today: str
    every: Forms = Field(description="days between purchases")
    times: Forms = Field(description="purchases")
    regular: str = Field(description="bought before, three times or more")
    bought: str = Field(description="… once or twice")
    item_neighbours: str
    customer_neighbours: str
    content: str
    kind: str
    popularity: Forms
    new_item_like: str
    new_item: str
    sequence: str | None = Field(None, description="missing: the sentence of item_neighbours")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in type(self).model_fields:
            sentence = getattr(self, name)
            allowed = _HELD.get(name, set())
            for form in (sentence,) if isinstance(sentence, str) else sentence or ():
                keys = {key for _, key, *_ in Formatter().parse(form) if key is not None}
                if keys - allowed or (isinstance(sentence, str) and allowed - keys):
                    braces = " and ".join(f"{{{key}}}" for key in sorted(allowed)) or "nothing in braces"
                    raise ValueError(f"{name}: {braces} is meant to be in it; found {form!r}")
        return self

    def ago(self, days: int) -> str:
        """When."""
        return self.today if days == 0 else _counted(self.days_ago, days)

    def repeat(self, times: int, days: int, gap: int | None) -> str:
        """Of something bought so many times, last so many days ago; the gap in days where it is regular."""
        if gap is None:
            return self.bought.format(times=_counted(self.times, times), ago=self.ago(days))
        return self.regular.format(every=_counted(self.every, max(1, gap)), ago=self.ago(days))

    def like(self, reason: str, title: str) -> str:
        """Of something never bought; `reason` is item_neighbours, content, kind or sequence."""
        sentence = getattr(self, reason) or self.item_neighbours
        return str(sentence.format(item=title))

    def popular(self, buyers: int) -> str:
        """Of something that so many customers bought lately."""
        return _counted(self.popularity, buyers)


class Languages(RootModel[dict[str, Phrases]]):
    """Phrases by language; the first is for whoever speaks none of the others."""

    root: dict[str, Phrases] = Field(min_length=1)

    def of(self, locales: pa.Array | pa.ChunkedArray) -> IntArray:
        """The place of each customer's language (BCP 47, `de-AT` or `de`), shape (n,)."""
        languages = pc.utf8_lower(pc.replace_substring_regex(locales.cast(pa.string()), "[-_].*", ""))
        places = pc.index_in(languages, pa.array([name.lower() for name in self.root]))
        return np.asarray(pc.fill_null(places, 0).cast(pa.int64()))

    def __getitem__(self, place: int) -> Phrases:
        """The phrases of a place."""
        return tuple(self.root.values())[place]


def languages() -> Languages:
    """What reasons.yaml says."""
    return load("reasons", Languages)


def _counted(forms: Sequence[str], number: int) -> str:
    return forms[number != 1].format(n=number)
