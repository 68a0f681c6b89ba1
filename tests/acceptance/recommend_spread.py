"""What do a penalty on popular items and more variety in a list cost? Accuracy and spread."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from perennial.foundation.arrays import IntArray
from perennial.recommend.data.window_purchases import purchase_matrix
from perennial.recommend.evaluation.metrics import diversity
from perennial.recommend.lists.selection import ListSelector
from perennial.recommend.settings import DiversitySettings, ExplorationSettings
from tests.acceptance import recommend_cost_curve, recommend_shop
from tests.acceptance.lines import Line, at_least, at_most
from tests.acceptance.recommend_cost_curve import Step, cost_curve
from tests.acceptance.recommend_shop import TUNED_ON, Month

K = 10
PENALTIES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
STRENGTHS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
MOST_COST = 0.01
"""Of NDCG@10, that the values shipped may cost."""


def spread() -> Iterator[Line]:
    """Curves of a penalty on popularity and of variety; what is shipped costs at most 1 % of NDCG@10."""
    month = recommend_shop.months(TUNED_ON)[TUNED_ON]
    folder = Path(tempfile.mkdtemp(prefix="perennial-spread-"))
    for name, values, settings in (
        ("popularity_penalty", PENALTIES, lambda value: DiversitySettings(popularity_penalty=value)),
        ("strength", STRENGTHS, lambda value: DiversitySettings(strength=value)),
    ):
        steps, varied = _curve(month, values, settings)
        picture = folder / f"{name}.svg"
        picture.write_text(recommend_cost_curve.picture(steps, name.replace("_", " ")))
        for step, variety in zip(steps, varied, strict=True):
            change, wide = step.change, step.spread
            print(
                f"  {name} {step.setting:<4} NDCG@{K} {step.ndcg.mean:.4f} ({change.mean:+.4f}, "
                f"95 % {change.low:+.4f} to {change.high:+.4f}, paired), coverage {wide.coverage:.1%}, "
                f"Gini {wide.gini:.3f}, {wide.head:.1%} from the most bought tenth, "
                f"distance within a list {variety:.3f}",
                flush=True,
            )
        print(f"  picture: {picture}", flush=True)
        if name == "strength":
            yield at_least("recommend.variety_gained", varied[-1] / varied[0], 1.05, "x")
        else:
            last, first = steps[-1].spread, steps[0].spread
            yield at_least("recommend.coverage_gained", last.coverage / first.coverage, 1.05, "x")
    shipped, _ = _curve(
        month, (0.0, 1.0), lambda on: month.sources.settings.diversity if on else DiversitySettings()
    )
    yield at_most("recommend.shipped_cost", -shipped[1].change.mean / shipped[0].ndcg.mean, MOST_COST, "")


def _curve(
    month: Month, values: Sequence[float], settings: Callable[[float], DiversitySettings]
) -> tuple[list[Step], list[float]]:
    """The steps, and the mean distance of the texts within the lists of each."""
    fit = month.learned[0]
    blocks = [
        (block, candidates, fit.probability(block, candidates))
        for _, block, candidates in fit.sources.candidates(month.history)
    ]
    varied: list[float] = []
    directions = month.catalogue.text_directions[month.catalogue.texts]

    def lists(value: float) -> IntArray:
        changed = fit.sources.settings.model_copy(
            update={"diversity": settings(value), "exploration": ExplorationSettings(one_in=None)}
        )
        eve = month.first - timedelta(days=1)
        selector = ListSelector.of(
            changed, fit.sources, fit.new_items, np.ones(len(month.catalogue), bool), eve
        )
        rankings = [selector.select(*block, np.ones(len(block[0].history), bool), K) for block in blocks]
        shown = np.concatenate([ranking.items for ranking in rankings])
        varied.append(float(diversity(shown, directions).mean()))
        return shown

    buyers = np.bincount(month.eve.history.bought.indices, minlength=len(month.catalogue))
    wanted = purchase_matrix(month.eve.after, month.history, month.catalogue)
    return cost_curve(values, lists, wanted, buyers), varied
