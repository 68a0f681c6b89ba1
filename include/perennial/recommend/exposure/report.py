"""The page of a day: which brands, categories, prices and favourites are shown, and how narrowly."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from perennial.foundation.arrays import IntArray
from perennial.foundation.pages import ReportWords, date_of, templates, write
from perennial.recommend.exposure import pictures
from perennial.recommend.exposure.shares import Spread, exposure, groupings
from perennial.recommend.fit import Fit

FOLDER = "recommendations"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ShownItems:
    """What was recommended.

    Args:
        customers: who got a list.
        drawn: places that chance filled.
        counts: how often each item of the catalogue was shown, shape (items,).
    """

    customers: int
    drawn: int
    counts: IntArray

    @property
    def places(self) -> int:
        """Of all lists."""
        return int(self.counts.sum())


def publish(found: ShownItems, fit: Fit, version: int, day: date, words: ReportWords, reports: Path) -> str:
    """Write the page of a day and the list of all days; the page's path below the folder of the reports.

    Args:
        found: what was recommended on the day.
        fit: by what.
        version: of the recommender.
        day: the day.
        words: how reports speak.
        reports: their folder.
    """
    item_features, catalogue = fit.sources.item_features, fit.sources.catalogue
    buyers = item_features.buyers_lately.astype(np.int64)
    bought = np.bincount(fit.history.items, minlength=len(catalogue)).astype(float)
    prices = np.where(bought > 0, np.exp(item_features.column("log_price")), np.nan)
    table = exposure(groupings(catalogue, buyers, prices), found.counts, bought)
    spread = Spread.of(found.counts, buyers)
    page = (
        templates(_TEMPLATES)
        .get_template("exposure.html.j2")
        .render(
            words=words,
            shown=found,
            version=version,
            day=day,
            rows=table.to_pylist(),
            picture=pictures.shares(table),
            sentence=lambda one: _sentence(one, spread),
            percent=lambda share: f"{share:.1%}",
            date_of=date_of,
        )
    )
    folder = reports / FOLDER
    write(folder / f"{day}.html", page)
    days: list[date] = []
    while days != (days := sorted(_days(folder.glob("*-*-*.html")), reverse=True)):
        index = templates(_TEMPLATES).get_template("exposure_days.html.j2")
        write(folder / "index.html", index.render(words=words, days=days, date_of=date_of))
    return f"{FOLDER}/{day}.html"


def _sentence(found: ShownItems, spread: Spread) -> str:
    drawn = found.drawn / max(1, found.places)
    return (
        f"{spread.coverage:.1%} of the items are shown to somebody (concentration {spread.gini:.2f}); "
        f"{spread.head:.1%} of all places go to the tenth of items with most buyers, "
        f"and {drawn:.1%} of the places were drawn by chance for new items."
    )


def _days(pages: Iterable[Path]) -> list[date]:
    return [date.fromisoformat(page.stem) for page in pages]
