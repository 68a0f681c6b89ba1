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
"""How items are grouped: by the second and the third level of the category, by brand, by brand within a
family, and by what their text says. Items that belong to none of a sort are together in one."""


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
    def meanings(self) -> Float32Array:
        """The vectors in the precision that the processor multiplies quickly."""
        return self.vectors.astype(np.float32)

    @cached_property
    def text_meanings(self) -> Float32Array:
        """The same, and behind them zeros for no text, shape (texts + 1, width)."""
        return np.pad(self.meanings, [(0, 1), (0, 0)])

    @cached_property
    def directions(self) -> Float32Array:
        """The vectors, seen from the middle of all texts, of unit length, and behind them zeros for no text.

        Shape (texts + 1, width).
        """
        middle = self.meanings.sum(axis=0) / max(1, len(self.meanings))
        return _of_length_one(self.meanings - middle)

    def meanings_of(self, rows: IntArray) -> Float32Array:
        """The vector of each item's text, of unit length; zeros without a text. Shape (n, width)."""
        return _of_length_one(self.meanings)[self.texts[rows]]

    @cached_property
    def groups(self) -> dict[str, Int32Array]:
        """The number of each item's group, from 0, for each of `GROUPS`."""
        family, kind, brand = self.levels[:, 1] + 1, self.levels[:, 2] + 1, self.brands + 1
        both = family.astype(np.int64) * (int(brand.max(initial=0)) + 1) + brand
        line = np.unique(both, return_inverse=True)[1].astype(np.int32)
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
        texts, held = np.full(len(item_ids), -1, np.int64), np.zeros((0, 1), np.float16)
        if hashes is not None and vectors is not None and vectors.num_rows:
            at = find(hashes["item_id"], item_ids)
            of_text = find(hashes["text_hash"], vectors["text_hash"].to_numpy())
            texts[at[at >= 0]] = of_text[at >= 0]
            flat = vectors["vector"].combine_chunks().flatten().to_numpy()
            held = flat.reshape(vectors.num_rows, -1).astype(np.float16)
        levels, level_names = zip(*(_level(items["category"], one) for one in range(LEVELS)), strict=True)
        brands, brand_names = _coded(items["brand"])
        titles = items["title"].to_numpy()
        return cls(item_ids, titles, np.stack(levels, 1), level_names, brands, brand_names, texts, held)

    def save(self, path: Path) -> None:
        """Write it as one compressed file, without pickle."""
        names = {f"level_{number}": held.astype(str) for number, held in enumerate(self.level_names)}
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
        with np.load(path) as held:
            return cls(
                item_ids=held["item_ids"].astype(object),
                titles=held["titles"].astype(object),
                levels=held["levels"],
                level_names=tuple(held[f"level_{number}"].astype(object) for number in range(LEVELS)),
                brands=held["brands"],
                brand_names=held["brand_names"].astype(object),
                texts=held["texts"].astype(np.int64),
                vectors=held["vectors"],
            )


def _of_length_one(vectors: Float32Array) -> Float32Array:
    """The vectors, and behind them zeros, which stand for none."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.vstack([vectors / np.maximum(lengths, 1e-9), np.zeros((1, vectors.shape[1]), np.float32)])


def _level(category: pa.ChunkedArray, level: int) -> tuple[Int32Array, StringArray]:
    """The category down to a level."""
    path = pc.split_pattern(category, " > ")
    return _coded(pc.binary_join(pc.list_slice(path, 0, level + 1), " > "))


def _coded(names: pa.ChunkedArray) -> tuple[Int32Array, StringArray]:
    """Names as codes in the order of the names, −1 for none."""
    found = names.combine_chunks()
    known = pc.unique(found.drop_null()).sort()
    known_names = known.to_numpy(zero_copy_only=False).astype(object)
    return find(found, known_names).astype(np.int32), known_names
