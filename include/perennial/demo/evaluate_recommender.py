"""`python -m perennial.demo.evaluate_recommender NAME=value …`: what `make evaluate-recommender` calls.

`docs/any_data.md` explains every name and the files that are written.
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
    f"Columns that can be named: {', '.join(ROLES)}."
)


class RequestError(ValueError):
    """An option is wrong: the message says what was found, and what is allowed."""


def main(arguments: list[str]) -> int:
    """Evaluate the recommender.

    Returns:
        The exit status: 0; 1 if the data cannot be evaluated, with a message instead of a traceback; 2 for
        unknown options or no DATA.
    """
    given = dict(argument.partition("=")[::2] for argument in arguments)
    options = {name: value for name, value in given.items() if value}
    unknown = [name for name in options if name not in OPTIONS]
    if unknown or "DATA" not in options:
        print(*(f"found {name}; allowed are {', '.join(OPTIONS)}" for name in unknown), USAGE, sep="\n")
        return 2
    for name, value in State.from_environment().settings().items():
        os.environ.setdefault(name, value)
    # Imported only now: libraries read the number of threads from the environment when they are imported.
    from perennial.foundation.config import ConfigError
    from perennial.recommend.any_data.files import TableError
    from perennial.recommend.evaluation.splits import TooShortError

    printer = _Printer()
    try:
        _evaluate(printer, options)
    except (ConfigError, RequestError, TableError, TooShortError) as error:
        printer.show(f"this cannot be evaluated: {error}")
        return 1
    return 0


class _Printer:
    """Prints each step with the seconds since the start, and keeps the notes for the report."""

    def __init__(self) -> None:
        self.console, self.started = Console(), time.monotonic()
        self.notes: list[str] = []

    def show(self, sentence: str, end: str = "\n") -> None:
        line = f"{time.monotonic() - self.started:5.0f} s  {sentence}"
        self.console.print(line, end=end, markup=False, highlight=False, soft_wrap=True)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.show(sentence)

    def progress(self, done: int, total: int) -> None:
        if self.console.is_terminal:
            self.show(f"{done:,} of {total:,} customers", end="\r" if done < total else "\n")


def _evaluate(printer: _Printer, options: dict[str, str]) -> None:
    from perennial.foundation.embedding_spaces import embedding_settings
    from perennial.recommend.any_data import report, tables, trial
    from perennial.recommend.any_data.column_roles import Role
    from perennial.recommend.any_data.columns import Clock
    from perennial.recommend.settings import recommender_settings

    data, first = Path(options["DATA"]), _day(options, "FROM")
    named = {Role(name.lower()): options[name] for name in ROLES if name in options}
    purchases = tables.purchases(data, named, _number(options, "MIN_RATING"), options.get("TIME_FORMAT"))
    kind = _split_kind(options, has_times=purchases.clock is not Clock.ORDERS)
    count = purchases.events.num_rows
    printer.note(f"{data.name}: {count:,} purchases by {purchases.clock}; {'; '.join(purchases.notes)}")
    items = None
    if "ITEMS" in options:
        items, notes = tables.items(Path(options["ITEMS"]), named)
        printer.note(f"{Path(options['ITEMS']).name}: {items.num_rows:,} items; {'; '.join(notes)}")
    else:
        printer.note("no ITEMS: of the items, only their purchases are known")
    evaluated = trial.evaluate(
        purchases.events,
        items,
        kind,
        recommender_settings(),
        embedding_settings().start,
        first,
        printer.note,
        printer.progress,
    )
    text = report.text(evaluated, printer.notes)
    root = State.from_environment().root
    folder = Path(options.get("OUT") or root / "evaluations" / data.name.partition(".")[0])
    if "OUT" not in options:
        state_folder.mark(root)
    _save(folder, evaluated.comparison, text)
    printer.console.print(f"\n{text}", markup=False, highlight=False, soft_wrap=True)
    printer.show(f"written: {folder}/report.md, figures.csv, {report.PICTURE}")


def _save(folder: Path, comparison: "Comparison", text: str) -> None:
    import pyarrow.csv as pa_csv

    from perennial.foundation import pages
    from perennial.recommend.any_data import report
    from perennial.recommend.evaluation import pictures

    folder.mkdir(parents=True, exist_ok=True)
    pa_csv.write_csv(comparison.figures, folder / "figures.csv")
    picture = pictures.who_wins(comparison.figures, report.labels(comparison))
    pages.write(folder / report.PICTURE, picture)
    pages.write(folder / "report.md", text)


def _split_kind(options: dict[str, str], *, has_times: bool) -> "SplitKind":
    from perennial.recommend.evaluation.splits import SplitKind

    kinds = [str(kind) for kind in SplitKind]
    default = SplitKind.TEMPORAL if has_times else SplitKind.LEAVE_LAST
    kind = options.get("SPLIT", default)
    if kind not in kinds:
        raise RequestError(f"found SPLIT={kind}; allowed are {', '.join(kinds)}")
    if not has_times and kind == SplitKind.TEMPORAL:
        raise RequestError(
            "found SPLIT=temporal, but the orders have numbers and no times; allowed is leave-last"
        )
    if "FROM" in options and kind == SplitKind.LEAVE_LAST:
        raise RequestError(
            "found FROM together with SPLIT=leave-last; FROM is allowed with SPLIT=temporal only"
        )
    return SplitKind(kind)


def _number(options: dict[str, str], name: str) -> float | None:
    try:
        return float(options[name]) if name in options else None
    except ValueError:
        raise RequestError(f"found {name}={options[name]}; allowed is a number") from None


def _day(options: dict[str, str], name: str) -> date | None:
    try:
        return date.fromisoformat(options[name]) if name in options else None
    except ValueError:
        raise RequestError(f"found {name}={options[name]}; allowed is a day as YYYY-MM-DD") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
