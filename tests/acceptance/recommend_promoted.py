"""What it adds to know two weeks ahead what the shop promotes: a track of its own, beside `months`.

The same test months and the same peers, who know nothing of promotions, as `recommend.months`; the
recommender is trained and judged twice, without promotions and with those of the demo, each known two weeks
before it begins.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from perennial.recommend.evaluation.ranking_task import Slice
from tests.acceptance import recommend_shop
from tests.acceptance.lines import Line, at_least
from tests.acceptance.recommend_months import BARS, OURS, against_best, paired, standings
from tests.acceptance.recommend_shop import MONTHS, TESTED, TUNED_ON, Month

AHEAD = timedelta(days=14)
PLAIN = "perennial without promotions"


def promoted() -> Iterator[Line]:
    """NDCG@10 on three test months, promotions being known two weeks ahead, and without them."""
    months = recommend_shop.months(*MONTHS)
    promoted_months = recommend_shop.months(*TESTED, promoted_ahead=AHEAD)
    yield from compared(months[TUNED_ON], [(months[first], promoted_months[first]) for first in TESTED])


def compared(tuned_on: Month, tested: Sequence[tuple[Month, Month]]) -> Iterator[Line]:
    """The comparison, peers tuned on a month; of each tested one without and with promotions."""
    by_name = standings(tuned_on, [{PLAIN: month, OURS: promoted} for month, promoted in tested])
    plain = by_name.pop(PLAIN)
    for part, bar in BARS.items():
        less = paired(by_name[OURS], plain, part)
        ends = f"95 % {less.low:+.4f} to {less.high:+.4f}"
        print(f"  {part}, with promotions less without: {less.mean:+.4f}, {ends}, paired")
        yield from against_best(by_name, part, bar, "promoted_")
        if part is Slice.EXPLORE:
            yield at_least("recommend.promoted_explore_gain_low", less.low, 0, "")
