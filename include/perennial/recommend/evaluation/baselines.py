"""What the ranker is compared with: each source alone, and simple rules."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from perennial.foundation.arrays import Float32Array, FloatArray, IntArray
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.features.pairs import HALF_LIFE_DAYS, Candidates
from perennial.recommend.fit import Fit, ScoringRule
from perennial.recommend.ranking.unknown_customers import popularity
from perennial.recommend.settings import PurchaseWeighting
from perennial.recommend.sources.new_items import NewItems
from perennial.recommend.sources.retrieval import CandidateSources

RANKER, FREQUENCY, CHANCE = "ranker", "frequency", "chance"
Scorers = Callable[[PurchaseHistory], dict[str, Float32Array]]
"""From customers to the scores of each method, shape (customers, items) each; −∞: the item is not ranked."""

_TIE_WEIGHT = np.float32(1e-6)
"""The weight of popularity where it only orders items with the same score."""
_TASTE = PurchaseWeighting(half_life_days=HALF_LIFE_DAYS, power=1)


def warm_item_scorers(fit: Fit, wide_sources: CandidateSources, items: IntArray) -> Scorers:
    """Score warm items by the ranker, by each source that knows something, and by purchase frequency.

    Args:
        fit: the fitted recommender.
        wide_sources: the sources, each scored alone. Items outside their pool come after all items in it,
            most popular first.
        items: rows of the ranked items in the catalogue.
    """
    buyers = fit.sources.item_features.buyers_lately[items]
    most_buyers = np.float32(max(buyers.max(initial=0), 1))
    columns = np.full(len(fit.sources.catalogue), -1)
    columns[items] = np.arange(len(items))
    is_ranked = columns[wide_sources.pool] >= 0
    pool = columns[wide_sources.pool][is_ranked]
    unusable = _sources_without_data(wide_sources.catalogue)

    def score(customers: PurchaseHistory) -> dict[str, Float32Array]:
        scores = {RANKER: _probabilities(fit, customers, columns, len(items))}
        block = CustomerBlock(customers, wide_sources.catalogue, wide_sources.item_features)
        for name, pool_scores in wide_sources.scores(block).items():
            if name not in unusable:
                below_pool = pool_scores.min(axis=1, keepdims=True, initial=0) - 2
                scores[name] = (below_pool + buyers / most_buyers).astype(np.float32)
                scores[name][:, pool] = pool_scores[:, is_ranked]
        own_purchases = customers.weights(HALF_LIFE_DAYS)[:, items].toarray()
        return scores | {FREQUENCY: own_purchases + _TIE_WEIGHT / most_buyers * buyers}

    return score


def cold_item_scorers(fit: Fit, whole_catalogue: Catalogue, items: IntArray) -> Scorers:
    """Score items with few purchases or none: by new items, content, popularity and chance.

    Args:
        fit: the fitted recommender.
        whole_catalogue: the catalogue of the fit, and items without a purchase.
        items: rows of the ranked items in the whole catalogue.
    """
    catalogue = fit.sources.catalogue
    history = on_wider_catalogue(whole_catalogue, fit.history, catalogue)
    new_items, kind = NewItems.fit(history, whole_catalogue, items, _TASTE), whole_catalogue.groups["kind"]
    buyers = np.bincount(history.bought.indices, minlength=len(whole_catalogue))
    chance = np.random.default_rng(0).permutation(len(items)) / len(items)
    same_for_all_customers = {
        CHANCE: chance,
        "popularity": buyers[items],
        "popularity of the kind": np.bincount(kind, buyers)[kind[items]] + chance,
    }

    def score(customers: PurchaseHistory) -> dict[str, Float32Array]:
        shape = len(customers), len(items)
        wider = on_wider_catalogue(whole_catalogue, customers, catalogue)
        scores = {
            name: np.broadcast_to(of_items.astype(np.float32), shape)
            for name, of_items in same_for_all_customers.items()
        }
        scores["new items"] = new_items.scores(wider)
        if len(whole_catalogue.vectors):
            scores["content"] = new_items.content.cosines(wider)
        return scores

    return score


def on_wider_catalogue(
    whole_catalogue: Catalogue, history: PurchaseHistory, catalogue: Catalogue
) -> PurchaseHistory:
    """The same purchases, with the item rows of a wider catalogue."""
    rows = whole_catalogue.find(pa.array(catalogue.item_ids, pa.string()))
    return replace(history, items=rows[history.items].astype(np.int32), width=len(whole_catalogue))


def _sources_without_data(catalogue: Catalogue) -> set[str]:
    """The scores that have no data: the items have no text, no category or no brand."""
    has_texts = len(catalogue.vectors) > 0
    has_kinds, has_brands = (catalogue.levels >= 0).any(), (catalogue.brands >= 0).any()
    has_data = {
        "content": has_texts,
        "needs_text": has_texts,
        "needs_kind": has_kinds,
        "needs_brand_line": has_kinds or has_brands,
    }
    return {name for name, known in has_data.items() if not known}


def _probabilities(fit: Fit, customers: PurchaseHistory, columns: IntArray, width: int) -> Float32Array:
    """The probabilities of the ranker's candidates, −∞ for all other items, shape (customers, width).

    Args:
        fit: the fitted recommender.
        customers: whose candidates.
        columns: the column of each item of the catalogue, −1 for an item that is not ranked.
        width: the number of columns.
    """
    probabilities = np.full((len(customers), width), -np.inf, np.float32)
    for rows, _, candidates, of_candidates in fit.candidates(customers):
        at = columns[candidates.items]
        is_ranked = at >= 0
        probabilities[rows[candidates.rows][is_ranked], at[is_ranked]] = of_candidates[is_ranked]
    return probabilities


def frequency(block: CustomerBlock, candidates: Candidates) -> FloatArray:
    """The weight of the customer's own purchases; for items never bought, a score below 1 by popularity."""
    weight = block.pairs.weight(HALF_LIFE_DAYS)
    popular = popularity(block, candidates)
    is_bought = candidates.pair >= 0
    scores = popular / (1 + popular.max(initial=0.0))
    scores[is_bought] = 1 + weight[candidates.pair[is_bought]]
    return scores


RULES: dict[str, ScoringRule] = {"frequency": frequency, "popularity": popularity}
"""The simple rules that the ranker has to beat."""
