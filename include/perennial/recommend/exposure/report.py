"""The page of a day: which brands, categories, prices and popular items are shown, and how concentrated."""

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
        customers: how many customers got a list.
        drawn: how many places were filled by chance with new items.
        counts: how often each item of the catalogue was shown, shape (items,).
    """

    customers: int
    drawn: int
    counts: IntArray

    @property
    def places(self) -> int:
        """How many places all lists have together."""
        return int(self.counts.sum())


def publish(shown: ShownItems, fit: Fit, version: int, day: date, words: ReportWords, reports: Path) -> str:
    """Write the page of a day and the list of all days.

    Args:
        shown: what was recommended on the day.
        fit: the fit that recommended it.
        version: of the recommender.
        day: the day.
        words: the words of the reports.
        reports: the folder of the reports.

    Returns:
        The path of the page below the folder of the reports.
    """
    item_features, catalogue = fit.sources.item_features, fit.sources.catalogue
    buyers = item_features.buyers_lately.astype(np.int64)
    bought = np.bincount(fit.history.items, minlength=len(catalogue)).astype(float)
    prices = np.where(bought > 0, np.exp(item_features.column("log_price")), np.nan)
    table = exposure(groupings(catalogue, buyers, prices), shown.counts, bought)
    spread = Spread.of(shown.counts, buyers)
    page = (
        templates(_TEMPLATES)
        .get_template("exposure.html.j2")
        .render(
            words=words,
            shown=shown,
            version=version,
            day=day,
            rows=table.to_pylist(),
            picture=pictures.shares(table),
            sentence=_sentence(shown, spread),
            percent=lambda share: f"{share:.1%}",
            date_of=date_of,
        )
    )
    folder = reports / FOLDER
    write(folder / f"{day}.html", page)
    # Another process may write the page of another day meanwhile: list the days until nothing changes.
    days: list[date] = []
    while days != (days := sorted(_days(folder.glob("*-*-*.html")), reverse=True)):
        index = templates(_TEMPLATES).get_template("exposure_days.html.j2")
        write(folder / "index.html", index.render(words=words, days=days, date_of=date_of))
    return f"{FOLDER}/{day}.html"


def _sentence(shown: ShownItems, spread: Spread) -> str:
    drawn = shown.drawn / max(1, shown.places)
    return (
        f"{spread.coverage:.1%} of the items are shown to at least one customer "
        f"(concentration {spread.gini:.2f}); "
        f"{spread.head:.1%} of all places go to the tenth of items with most buyers, "
        f"and {drawn:.1%} of the places were drawn by chance for new items."
    )


def _days(pages: Iterable[Path]) -> list[date]:
    return [date.fromisoformat(page.stem) for page in pages]
