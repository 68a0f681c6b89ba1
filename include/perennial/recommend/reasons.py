"""One sentence with each recommended item, from the source that brought it up, and the items it rests on."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.recommend.memory import Memory, Shelf, Whole

if TYPE_CHECKING:
    from perennial.recommend.recommender import Ranking

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("rank", pa.int64()),
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("evidence", pa.list_(pa.string())),
    ]
)


def table(
    shelf: Shelf, memory: Memory, names: NDArray[np.object_], customers: Whole, ranking: "Ranking"
) -> pa.Table:
    """A row for each recommended item, by customer and rank.

    Args:
        shelf: the items.
        memory: what is known of the customers.
        names: the customers' ids, shape (customers,).
        customers: their rows in the memory, −1 for unknown ones.
        ranking: their best items.
    """
    at, place = np.nonzero(ranking.items >= 0)
    items, remembered = ranking.items[at, place], ranking.remembered[at, place]
    alike = np.full(len(items), -1, np.int64)
    for one in np.flatnonzero(ranking.by_content[at, place] & (remembered < 0)):
        alike[one] = _most_alike(shelf, memory, customers[at[one]], items[one])
    triples = zip(items.tolist(), remembered.tolist(), alike.tolist(), strict=True)
    said = [_sentence(shelf, memory, *triple) for triple in triples]
    sources, sentences, evidence = zip(*said, strict=True) if said else ((), (), ())
    columns = [
        names[at],
        place + 1,
        shelf.item_ids[items],
        ranking.scores[at, place],
        sources,
        sentences,
        evidence,
    ]
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], SCHEMA
    )


def _sentence(
    shelf: Shelf, memory: Memory, item: int, remembered: int, like: int
) -> tuple[str, str, list[str]]:
    """Source, reason and evidence of one item."""
    if remembered >= 0:
        times, age = memory.times[remembered], memory.age_days[remembered]
        often = "once" if times == 1 else f"{times} times"
        lately = "today" if age == 0 else f"{age} day{'' if age == 1 else 's'} ago"
        return "repeat", f"bought {often}, last {lately}", [shelf.item_ids[item]]
    if like >= 0:
        return "content", f"like {shelf.titles[like]}, which was bought before", [shelf.item_ids[like]]
    count = memory.buyers[item]
    return "popularity", f"bought by {count} customer{'' if count == 1 else 's'} lately", []


def _most_alike(shelf: Shelf, memory: Memory, customer: int, item: int) -> int:
    """The item of the customer's history whose text is most like the item's."""
    held = memory.items[memory.starts[customer] : memory.starts[customer + 1]]
    held = held[shelf.texts[held] >= 0]
    return int(held[np.argmax(shelf.meanings[shelf.texts[held]] @ shelf.meanings[shelf.texts[item]])])
