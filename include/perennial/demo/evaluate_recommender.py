"""`python -m perennial.demo.evaluate_recommender NAME=value …`: what `make evaluate-recommender` calls.

`docs/any_data.md` tells of every name, and of what comes out.
"""

import os
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from perennial.demo import state_folder
from perennial.demo.environment import State

if TYPE_CHECKING:
    from perennial.recommend.evaluation.comparison import Comparison
    from perennial.recommend.evaluation.splits import SplitKind

ROLES = (
    *("CUSTOMER", "ITEM", "TIME", "ORDER", "RATING", "QUANTITY", "PRICE", "PAID"),
    *("TITLE", "CATEGORY", "BRAND"),
)
OPTIONS = ("DATA", "ITEMS", "SPLIT", "FROM", "MIN_RATING", "TIME_FORMAT", "OUT", *ROLES)
USAGE = (
    "usage: make evaluate-recommender DATA=purchases.csv [ITEMS=items.csv] [SPLIT=temporal|leave-last] "
    "[FROM=YYYY-MM-DD] [MIN_RATING=4] [TIME_FORMAT=%d.%m.%Y] [OUT=folder] [CUSTOMER=column] …\n"
    f"Names of columns that may be said: {', '.join(ROLES)}."
)


class RequestError(ValueError):
    """What was asked for is not possible: the message says what was found, and what is allowed."""


def main(arguments: list[str]) -> int:
    """Try the recommender. The exit status is 1 if that is not possible: a sentence, not a traceback."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    said = {name: value for name, value in given.items() if value}
    unknown = [name for name in said if name not in OPTIONS]
    if unknown or "DATA" not in said:
        print(*(f"found {name}; allowed are {', '.join(OPTIONS)}" for name in unknown), USAGE, sep="\n")
        return 2
    for name, value in State.of().settings().items():
        os.environ.setdefault(name, value)
    # After the settings are in place: what counts threads counts them as it is loaded.
    from perennial.foundation.config import ConfigError
    from perennial.recommend.any_data.files import TableError
    from perennial.recommend.evaluation.splits import TooShortError

    teller = _Teller()
    try:
        _evaluate(teller, said)
    except (ConfigError, RequestError, TableError, TooShortError) as error:
        teller.show(f"this cannot be evaluated: {error}")
        return 1
    return 0


class _Teller:
    """Prints what is done with the seconds since the beginning, and remembers it."""

    def __init__(self) -> None:
        self.console, self.began = Console(), time.monotonic()
        self.notes: list[str] = []

    def show(self, sentence: str, end: str = "\n") -> None:
        line = f"{time.monotonic() - self.began:5.0f} s  {sentence}"
        self.console.print(line, end=end, markup=False, highlight=False, soft_wrap=True)

    def say(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.show(sentence)

    def told(self, done: int, of: int) -> None:
        if self.console.is_terminal:
            self.show(f"{done:,} of {of:,} customers", end="\r" if done < of else "\n")


def _evaluate(teller: _Teller, said: dict[str, str]) -> None:
    from perennial.foundation.embedding_spaces import embedding_settings
    from perennial.recommend.any_data import report, tables, trial
    from perennial.recommend.any_data.columns import Clock
    from perennial.recommend.any_data.tables import Role
    from perennial.recommend.settings import recommender_settings

    data, first = Path(said["DATA"]), _day(said, "FROM")
    named = {Role(name.lower()): said[name] for name in ROLES if name in said}
    read = tables.purchases(data, named, _number(said, "MIN_RATING"), said.get("TIME_FORMAT"))
    kind = _kind(said, orders_alone=read.clock is Clock.ORDERS)
    teller.say(f"{data.name}: {read.events.num_rows:,} purchases by {read.clock}; {'; '.join(read.notes)}")
    items = None
    if "ITEMS" in said:
        items, found = tables.items(Path(said["ITEMS"]), named)
        teller.say(f"{Path(said['ITEMS']).name}: {items.num_rows:,} items; {'; '.join(found)}")
    else:
        teller.say("no ITEMS: nothing is known of the items but who bought them")
    space, chosen = embedding_settings().start, recommender_settings()
    tried = trial.evaluate(read.events, items, kind, chosen, space, first, teller.say, teller.told)
    text = report.text(tried, teller.notes)
    root = State.of().root
    folder = Path(said.get("OUT") or root / "evaluations" / data.name.partition(".")[0])
    if "OUT" not in said:
        state_folder.mark(root)
    _save(folder, tried.comparison, text)
    teller.console.print(f"\n{text}", markup=False, highlight=False, soft_wrap=True)
    teller.show(f"written: {folder}/report.md, figures.csv, {report.PICTURE}")


def _save(folder: Path, found: "Comparison", text: str) -> None:
    import pyarrow.csv as pa_csv

    from perennial.foundation import pages
    from perennial.recommend.any_data import report
    from perennial.recommend.evaluation import pictures

    folder.mkdir(parents=True, exist_ok=True)
    pa_csv.write_csv(found.figures, folder / "figures.csv")
    picture = pictures.who_wins(found.figures, report.labels(found))
    pages.write(folder / report.PICTURE, picture)
    pages.write(folder / "report.md", text)


def _kind(said: dict[str, str], *, orders_alone: bool) -> "SplitKind":
    from perennial.recommend.evaluation.splits import SplitKind

    kinds = [str(kind) for kind in SplitKind]
    usual = SplitKind.LEAVE_LAST if orders_alone else SplitKind.TEMPORAL
    found = said.get("SPLIT", usual)
    if found not in kinds:
        raise RequestError(f"found SPLIT={found}; allowed are {', '.join(kinds)}")
    if orders_alone and found == SplitKind.TEMPORAL:
        raise RequestError(
            "found SPLIT=temporal, and orders that have numbers and no time; allowed is leave-last"
        )
    if "FROM" in said and found == SplitKind.LEAVE_LAST:
        raise RequestError("found FROM, and a split by each customer's last order; allowed is one by time")
    return SplitKind(found)


def _number(said: dict[str, str], name: str) -> float | None:
    try:
        return float(said[name]) if name in said else None
    except ValueError:
        raise RequestError(f"found {name}={said[name]}; allowed is a number") from None


def _day(said: dict[str, str], name: str) -> date | None:
    try:
        return date.fromisoformat(said[name]) if name in said else None
    except ValueError:
        raise RequestError(f"found {name}={said[name]}; allowed is a day as YYYY-MM-DD") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
