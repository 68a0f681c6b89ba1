"""Ways to rank items for customers: the ranker, each source alone, what anybody would try first."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import Float32Array, FloatArray, IntArray
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import HALF_LIFE_DAYS, Candidates
from perennial.recommend.fit import Fit, ScoringRule, popularity
from perennial.recommend.settings import PurchaseWeighting
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources

RANKER, FREQUENCY, CHANCE = "ranker", "frequency", "chance"
Scorers = Callable[[PurchaseHistory], dict[str, Float32Array]]
"""From customers to what each way says of each item, shape (customers, items) each; −∞: it is not ranked."""

_TIE = np.float32(1e-6)
"""What popularity weighs where it only fills up."""
_TASTE = PurchaseWeighting(half_life_days=HALF_LIFE_DAYS, power=1)


def warm_item_scorers(fit: Fit, wide: CandidateSources, items: IntArray) -> Scorers:
    """The ranker, every source that has something to go by, and how often the customer bought an item.

    Args:
        fit: what was learned.
        wide: the sources as each speaks alone; of items outside their pool the popular ones come first, after
            all that are in it.
        items: rows of the items that are ranked.
    """
    popular = fit.sources.item_features.buyers_lately[items]
    most = np.float32(max(popular.max(initial=0), 1))
    columns = np.full(len(fit.sources.catalogue), -1)
    columns[items] = np.arange(len(items))
    inside = columns[wide.pool] >= 0
    pool, silent = columns[wide.pool][inside], _silent(wide.catalogue)

    def ways(asked: PurchaseHistory) -> dict[str, Float32Array]:
        found = {RANKER: _probabilities(fit, asked, columns, len(items))}
        for name, said in wide.scores(CustomerBlock(asked, wide.catalogue, wide.item_features)).items():
            if name not in silent:
                below = said.min(axis=1, keepdims=True, initial=0) - 2
                found[name] = (below + popular / most).astype(np.float32)
                found[name][:, pool] = said[:, inside]
        own = asked.weights(HALF_LIFE_DAYS)[:, items].toarray()
        return found | {FREQUENCY: own + _TIE / most * popular}

    return ways


def cold_item_scorers(fit: Fit, whole: Catalogue, items: IntArray) -> Scorers:
    """What can be said of items that nobody or hardly anybody bought.

    Args:
        fit: what was learned.
        whole: its catalogue, and items that nobody has bought.
        items: rows of the items that are ranked, on the whole catalogue.
    """
    catalogue = fit.sources.catalogue
    history = on_wider_catalogue(whole, fit.history, catalogue)
    new, kind = NewItems.fit(history, whole, items, _TASTE), whole.groups["kind"]
    buyers = np.bincount(history.bought.indices, minlength=len(whole))
    chance = np.random.default_rng(0).permutation(len(items)) / len(items)
    of_all = {
        CHANCE: chance,
        "popularity": buyers[items],
        "popularity of the kind": np.bincount(kind, buyers)[kind[items]] + chance,
    }

    def ways(asked: PurchaseHistory) -> dict[str, Float32Array]:
        shape, block = (len(asked), len(items)), on_wider_catalogue(whole, asked, catalogue)
        found = {name: np.broadcast_to(said.astype(np.float32), shape) for name, said in of_all.items()}
        found["new items"] = new.scores(block)
        return found | ({"content": new.content.cosines(block)} if len(whole.vectors) else {})

    return ways


def on_wider_catalogue(whole: Catalogue, history: PurchaseHistory, catalogue: Catalogue) -> PurchaseHistory:
    """The same purchases on a wider catalogue."""
    at = whole.find(pa.array(catalogue.item_ids, pa.string()))
    return replace(history, items=at[history.items].astype(np.int32), width=len(whole))


def _silent(catalogue: Catalogue) -> set[str]:
    """Sources that have nothing to go by, for nothing is said of the items."""
    texts, kinds, brands = (
        len(catalogue.vectors) > 0,
        (catalogue.levels >= 0).any(),
        (catalogue.brands >= 0).any(),
    )
    needed = {"content": texts, "needs_text": texts, "needs_kind": kinds, "needs_brand_line": kinds or brands}
    return {name for name, known in needed.items() if not known}


def _probabilities(fit: Fit, asked: PurchaseHistory, columns: IntArray, width: int) -> Float32Array:
    """Of the ranker's candidates, −∞ for all others."""
    said = np.full((len(asked), width), -np.inf, np.float32)
    for rows, _, found, probability in fit.candidates(asked):
        at = columns[found.items]
        said[rows[found.rows][at >= 0], at[at >= 0]] = probability[at >= 0]
    return said


def frequency(block: CustomerBlock, found: Candidates) -> FloatArray:
    """What the customer bought often and lately, filled up with what is popular."""
    weight = block.pairs.weight(HALF_LIFE_DAYS)
    popular = popularity(block, found)
    own = found.pair >= 0
    said = popular / (1 + popular.max(initial=0.0))
    said[own] = 1 + weight[found.pair[own]]
    return said


RULES: dict[str, ScoringRule] = {"frequency": frequency, "popularity": popularity}
"""What the ranker has to beat."""
