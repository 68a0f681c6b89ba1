"""What does each source add to the ranker? It is trained again without each source.

The item features (recent buyers, shares of their kind) stay with the ranker, so a source counts only for
what nothing else knows. Items bought before are ranked mostly by when and how often they were bought. So the
bar is on items never bought.
"""

from collections.abc import Iterator
from dataclasses import replace

from perennial.recommend.evaluation.ranking_task import Slice
from perennial.recommend.fit import fit_recommender
from perennial.recommend.sources.retrieval import CandidateSources
from tests.acceptance import recommend_shop
from tests.acceptance.lines import Line, at_least
from tests.acceptance.recommend_months import Standing, ndcg, paired
from tests.acceptance.recommend_peers import RANKED
from tests.acceptance.recommend_shop import MONTHS, TESTED, Month

KEPT = "popularity"
"""The source that never goes: something has to name candidates."""


def fewer(sources: CandidateSources, silent: tuple[str, ...]) -> CandidateSources:
    """All sources but those whose names begin so."""
    candidates = {
        name: count for name, count in sources.settings.candidates.items() if not name.startswith(silent)
    }
    return replace(
        sources,
        settings=sources.settings.model_copy(update={"candidates": candidates}),
        sources=tuple(source for source in sources.sources if not source.name.startswith(silent)),
    )


def drop_one() -> Iterator[Line]:
    """NDCG@10 of the newest test month without each source, and without all of them but popularity."""
    yield from without(recommend_shop.months(*MONTHS)[TESTED[-1]])


def without(month: Month) -> Iterator[Line]:
    """The table of a month."""
    whole = _standing(month, ())
    kinds = sorted({source.name.split("_")[0] for source in month.sources.sources} - {KEPT})
    for silent in [*((kind,) for kind in kinds), tuple(kinds)]:
        without_them, name = _standing(month, silent), " and ".join(silent)
        for part in RANKED:
            less = paired([whole], [without_them], part)
            print(
                f"  without {name}, {part}: {ndcg([without_them], part):.4f}; "
                f"all less without {less.mean:+.4f}, "
                f"95 % {less.low:+.4f} to {less.high:+.4f}, paired",
                flush=True,
            )
            if len(silent) == len(kinds) and part is Slice.EXPLORE:
                yield at_least("recommend.drop_all_explore_low", less.low, 0, "")


def _standing(month: Month, silent: tuple[str, ...]) -> Standing:
    if not silent:
        learned, seconds = month.learned
    else:
        windows = [replace(window, sources=fewer(window.sources, silent)) for window in month.windows()]
        learned, seconds = fit_recommender(fewer(month.sources, silent), month.eve.history, windows), 0.0
    return Standing.of(month, month.probabilities(learned, month.history), seconds)
