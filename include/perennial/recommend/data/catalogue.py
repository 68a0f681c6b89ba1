"""The items that a recommender knows, as arrays: names, categories, brands, vectors of their texts."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.foundation.arrays import Float32Array, Int32Array, IntArray, StringArray
from perennial.recommend.arrays.lookup import find
from perennial.recommend.settings import LEVELS

GROUPS = ("family", "kind", "brand", "brand_line", "text")
"""How items are grouped: by the second level of the category (family), by the third (kind), by brand, by
brand
within a family, and by text. Items without a category, a brand or a text are one group."""


@dataclass(frozen=True)
class Catalogue:
    """Items in the order of their ids, with the vectors of their texts.

    Args:
        item_ids: shape (items,), ascending.
        titles: shape (items,).
        levels: the category down to each level as a code, −1 for none, shape (items, LEVELS).
        level_names: the path of each code, one array for each level.
        brands: code of the brand, −1 for none, shape (items,).
        brand_names: of each code.
        texts: row of each item's vector, −1 for none.
        vectors: shape (texts, width), float16, unit length.
    """

    item_ids: StringArray
    titles: StringArray
    levels: Int32Array
    level_names: tuple[StringArray, ...]
    brands: Int32Array
    brand_names: StringArray
    texts: IntArray
    vectors: NDArray[np.float16]

    def __len__(self) -> int:
        """How many items."""
        return len(self.item_ids)

    @cached_property
    def text_vectors(self) -> Float32Array:
        """The vectors in single precision, shape (texts, width)."""
        return self.vectors.astype(np.float32)

    @cached_property
    def text_vectors_or_zeros(self) -> Float32Array:
        """The same, and a last row of zeros for items without a text, shape (texts + 1, width)."""
        return np.pad(self.text_vectors, [(0, 1), (0, 0)])

    @cached_property
    def text_directions(self) -> Float32Array:
        """The vectors less their mean, of unit length, and a last row of zeros, shape (texts + 1, width)."""
        middle = self.text_vectors.sum(axis=0) / max(1, len(self.text_vectors))
        return _unit_and_zeros(self.text_vectors - middle)

    def unit_text_vectors(self, rows: IntArray) -> Float32Array:
        """The vector of each item's text, of unit length; zeros without a text. Shape (n, width)."""
        return _unit_and_zeros(self.text_vectors)[self.texts[rows]]

    @cached_property
    def groups(self) -> dict[str, Int32Array]:
        """The number of each item's group, from 0, for each of `GROUPS`."""
        family, kind, brand = self.levels[:, 1] + 1, self.levels[:, 2] + 1, self.brands + 1
        family_and_brand = family.astype(np.int64) * (int(brand.max(initial=0)) + 1) + brand
        line = np.unique(family_and_brand, return_inverse=True)[1].astype(np.int32)
        return dict(zip(GROUPS, (family, kind, brand, line, (self.texts + 1).astype(np.int32)), strict=True))

    def find(self, item_ids: pa.Array | pa.ChunkedArray) -> IntArray:
        """The rows of items, −1 for those not in the catalogue."""
        return find(item_ids, self.item_ids)

    @classmethod
    def of(cls, items: pa.Table, hashes: pa.Table | None = None, vectors: pa.Table | None = None) -> Self:
        """The items with the vectors of their texts.

        Args:
            items: `item_id, title, category (a > b > c), brand`, a row for each item.
            hashes: `item_id, text_hash`, a row for each item.
            vectors: `text_hash, vector`, a row for each text that has one.
        """
        items = items.sort_by("item_id")
        item_ids = items["item_id"].to_numpy()
        texts, text_vectors = np.full(len(item_ids), -1, np.int64), np.zeros((0, 1), np.float16)
        if hashes is not None and vectors is not None and vectors.num_rows:
            item_rows = find(hashes["item_id"], item_ids)
            text_rows = find(hashes["text_hash"], vectors["text_hash"].to_numpy())
            texts[item_rows[item_rows >= 0]] = text_rows[item_rows >= 0]
            flat = vectors["vector"].combine_chunks().flatten().to_numpy()
            text_vectors = flat.reshape(vectors.num_rows, -1).astype(np.float16)
        levels, level_names = zip(*(_level(items["category"], level) for level in range(LEVELS)), strict=True)
        brands, brand_names = _coded(items["brand"])
        titles = items["title"].to_numpy()
        return cls(
            item_ids, titles, np.stack(levels, 1), level_names, brands, brand_names, texts, text_vectors
        )

    def save(self, path: Path) -> None:
        """Write it as one compressed file, without pickle."""
        names = {f"level_{level}": paths.astype(str) for level, paths in enumerate(self.level_names)}
        np.savez_compressed(
            path,
            item_ids=self.item_ids.astype(str),
            titles=self.titles.astype(str),
            levels=self.levels,
            brands=self.brands,
            brand_names=self.brand_names.astype(str),
            texts=self.texts.astype(np.int32),
            vectors=self.vectors,
            **names,  # type: ignore[arg-type]
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(
                item_ids=arrays["item_ids"].astype(object),
                titles=arrays["titles"].astype(object),
                levels=arrays["levels"],
                level_names=tuple(arrays[f"level_{level}"].astype(object) for level in range(LEVELS)),
                brands=arrays["brands"],
                brand_names=arrays["brand_names"].astype(object),
                texts=arrays["texts"].astype(np.int64),
                vectors=arrays["vectors"],
            )


def _unit_and_zeros(vectors: Float32Array) -> Float32Array:
    """The vectors scaled to unit length, and a last row of zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.vstack([vectors / np.maximum(lengths, 1e-9), np.zeros((1, vectors.shape[1]), np.float32)])


def _level(category: pa.ChunkedArray, level: int) -> tuple[Int32Array, StringArray]:
    """The category down to a level."""
    path = pc.split_pattern(category, " > ")
    return _coded(pc.binary_join(pc.list_slice(path, 0, level + 1), " > "))


def _coded(names: pa.ChunkedArray) -> tuple[Int32Array, StringArray]:
    """Names as codes in the order of the names, −1 for missing ones; and the name of each code."""
    column = names.combine_chunks()
    known = pc.unique(column.drop_null()).sort()
    known_names = known.to_numpy(zero_copy_only=False).astype(object)
    return find(column, known_names).astype(np.int32), known_names
