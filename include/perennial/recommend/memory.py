"""What is remembered at the end of a day, as arrays: who bought what, what sells, what may be offered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Self

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from perennial.recommend import catalogue, popularity, repeat
from perennial.recommend.config import RecommenderSettings

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Shelf:
    """The items that a recommender knows, in the order of their ids, and the vectors of their texts.

    Args:
        item_ids: shape (items,).
        titles: shape (items,).
        texts: row of each item's vector, −1 for none.
        vectors: shape (texts, width), float16, unit length.
    """

    item_ids: NDArray[np.object_]
    titles: NDArray[np.object_]
    texts: Whole
    vectors: NDArray[np.float16]

    @cached_property
    def meanings(self) -> NDArray[np.float32]:
        """The vectors in the precision that the processor multiplies quickly."""
        return self.vectors.astype(np.float32)

    def find(self, item_ids: pa.Array | pa.ChunkedArray) -> Whole:
        """The rows of items, −1 for those not on the shelf."""
        return _find(item_ids, self.item_ids)

    def save(self, path: Path) -> None:
        """Write it as one compressed file, without pickle."""
        np.savez_compressed(
            path,
            item_ids=self.item_ids.astype(str),
            titles=self.titles.astype(str),
            texts=self.texts.astype(np.int32),
            vectors=self.vectors,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as held:
            ids, titles = held["item_ids"].astype(object), held["titles"].astype(object)
            return cls(ids, titles, held["texts"].astype(np.int64), held["vectors"])


@dataclass(frozen=True)
class Memory:
    """Purchases as of a day over the items of a shelf; the remembered purchases by customer, then item.

    Args:
        customer_ids: shape (customers,), ascending.
        starts: where each customer's remembered purchases begin, shape (customers + 1,).
        items: row of the item of each remembered purchase.
        weights: how much it weighs, 1 for a purchase of that very day.
        times: how often it was bought.
        age_days: since it was last bought.
        buyers: how many customers bought each item lately, shape (items,).
        sellable: may the item be recommended, shape (items,).
    """

    customer_ids: NDArray[np.object_]
    starts: Whole
    items: Whole
    weights: NDArray[np.float32]
    times: Whole
    age_days: Whole
    buyers: Whole
    sellable: NDArray[np.bool_]

    def find(self, customer_ids: pa.Array | pa.ChunkedArray) -> Whole:
        """The rows of customers, −1 for those who are not remembered."""
        return _find(customer_ids, self.customer_ids)

    def purchases(self, customer_ids: pa.Array) -> Whole:
        """How many purchases are remembered of each customer; 0 of unknown ones."""
        rows, ends = self.find(customer_ids), np.concatenate([[0], np.cumsum(self.times)])
        return np.where(rows < 0, 0, (ends[self.starts[1:]] - ends[self.starts[:-1]])[rows])

    def texts(self, shelf: Shelf) -> sparse.csr_array:
        """The weight of each text of the shelf for each customer, shape (customers, texts)."""
        texts = shelf.texts[self.items]
        known = texts >= 0
        rows = np.repeat(np.arange(len(self.customer_ids)), np.diff(self.starts))[known]
        shape = len(self.customer_ids), len(shelf.vectors)
        return sparse.csr_array((self.weights[known], (rows, texts[known])), shape=shape)

    def save(self, path: Path) -> None:
        """Write it as one compressed file, without pickle."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        held["customer_ids"] = self.customer_ids.astype(str)
        small = {name: _shrunk(values) for name, values in held.items()}
        np.savez_compressed(path, **small)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as held:
            return cls(**{field.name: _grown(held[field.name]) for field in fields(cls)})


def known(bought: ir.Table, items: ir.Table, day: date, chosen: RecommenderSettings) -> ir.Table:
    """What is known at the end of the day: remembered purchases, and a row for every other item.

    Args:
        bought: `catalogue.purchases` as known at the end of the day.
        items: as known at the end of the day.
        day: the day.
        chosen: half-life, spans and sizes.

    Returns:
        `customer_id, item_id, title, weight, times, age_days, buyers, place`, by customer and item. Only
        items that may be recommended; `place` counts a customer's items from the heaviest, and those from
        `items_remembered` on are there only to say that their item exists.
    """
    wares = catalogue.merchandise(items, chosen.excluded_categories)
    pairs = repeat.histories(bought, day, chosen.half_life_days)
    pairs = popularity.counted(
        catalogue.offered(pairs, wares, chosen.sold_within_days), chosen.popularity_days
    )
    placed = repeat.placed(pairs)
    found = placed.filter((placed.place < chosen.items_remembered) | placed.first_of_item).drop(
        "first_of_item"
    )
    return found.order_by("customer_id", "item_id")


def remember(found: pa.Table, shelf: Shelf, remembered: int) -> Memory:
    """The rows of `known` as arrays over the items of a shelf that holds them all."""
    size = len(shelf.item_ids)
    items = shelf.find(found["item_id"])
    buyers, sellable = np.zeros(size, np.int64), np.zeros(size, bool)
    buyers[items], sellable[items] = found["buyers"].to_numpy(), True
    customers = found["customer_id"].combine_chunks().dictionary_encode()
    kept = found["place"].to_numpy() < remembered
    counts = np.bincount(customers.indices.to_numpy()[kept], minlength=len(customers.dictionary))
    return Memory(
        customer_ids=customers.dictionary.to_numpy(zero_copy_only=False),
        starts=np.r_[0, np.cumsum(counts)],
        items=items[kept],
        weights=(found["weight"].to_numpy()[kept] / repeat.UNIT).astype(np.float32),
        times=found["times"].to_numpy()[kept],
        age_days=found["age_days"].to_numpy()[kept],
        buyers=buyers,
        sellable=sellable,
    )


def titles(memories: Iterable[pa.Table]) -> dict[str, str]:
    """The items in the rows of `known` of several days, with their titles; the later day's title counts."""
    found: dict[str, str] = {}
    for rows in memories:
        found |= dict(zip(rows["item_id"].to_pylist(), rows["title"].to_pylist(), strict=True))
    return dict(sorted(found.items()))


def shelf(titles_of: Mapping[str, str], hashes: pa.Table, vectors: pa.Table) -> Shelf:
    """The items of a shelf with the vectors of their texts.

    Args:
        titles_of: title of each item, by item.
        hashes: `item_id, text_hash`, a row for each item.
        vectors: `text_hash, vector`, a row for each text that has one, by hash.
    """
    item_ids = np.array(list(titles_of), dtype=object)
    hash_of = np.full(len(item_ids), None, dtype=object)
    hash_of[_find(hashes["item_id"], item_ids)] = hashes["text_hash"].to_numpy()
    texts = _find(pa.array(hash_of, pa.string()), vectors["text_hash"].to_numpy())
    flat = vectors["vector"].combine_chunks().flatten().to_numpy()
    held = flat.reshape(vectors.num_rows, -1) if vectors.num_rows else np.zeros((0, 1))
    return Shelf(item_ids, np.array(list(titles_of.values()), dtype=object), texts, held.astype(np.float16))


def _find(wanted: pa.Array | pa.ChunkedArray, among: NDArray[np.object_]) -> Whole:
    found = pc.index_in(wanted, pa.array(among, pa.string()))
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    return pc.fill_null(found, -1).cast(pa.int64()).to_numpy()


def _shrunk(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32) if values.dtype == np.int64 else values


def _grown(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.int32:
        return values.astype(np.int64)
    return values.astype(object) if values.dtype.kind == "U" else values
